# Reads what strace writes, and says which programs ran (`ran PATH`) and whose the files are that
# were opened or executed (`of`, then what the package manager says). For any POSIX sh.
sed -n '
/ = -1 /d
s|^[0-9]* *execve("\(/[^"]*\)".*|x\1|p
/O_WRONLY/!s|.* = [0-9]*<\(/.*\)>$|o\1|p
' | sort -u | {
	files=
	count=0
	while IFS= read -r line; do
		file=${line#?}
		case $file in "$PWD"/* | /proc/* | /sys/* | /dev/*) continue ;; esac
		[ -f "$file" ] || continue
		count=$((count + 1))
		[ "$count" -le 1500 ] || break
		real=$file
		[ -h "$file" ] && real=$(readlink -f "$file")
		case $line in x*) printf 'ran %s\nran %s\n' "$file" "$real" ;; esac
		# A database may know it by a folder that is a link to the other.
		case $real in /usr/*) other=${real#/usr} ;; *) other=/usr$real ;; esac
		files="$files
$file
$real
$other"
	done
	IFS='
'
	set -f
	# shellcheck disable=SC2086 # a line is a word
	set -- $files
	if command -v dpkg-query >/dev/null; then
		dpkg-query -S "$@"
	elif command -v rpm >/dev/null; then
		rpm -qf --qf '%{NAME}\n' "$@"
	elif command -v apk >/dev/null; then
		apk info -W "$@"
	elif command -v pacman >/dev/null; then
		pacman -Qqo "$@"
	elif command -v xbps-query >/dev/null; then
		for file in "$@"; do
			xbps-query -o "$file"
		done
	fi 2>/dev/null | sed 's/^/of /'
} | sort -u
