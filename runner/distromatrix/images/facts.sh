# What this machine is made of, in sections (`== NAME`), as what prints it prints it.
# For any POSIX sh, with the programs of busybox alone.
set +e
on_path() { # sets $path
	ifs=$IFS
	IFS=:
	for folder in $PATH; do
		if [ -f "$folder/$1" ] && [ -x "$folder/$1" ]; then
			IFS=$ifs
			path=$folder/$1
			return 0
		fi
	done
	IFS=$ifs
	return 1
}
begin_of() { # of a file: no pipe is waited for, nothing read without end
	[ -f "$1" ] && dd if="$1" bs=8192 count=1 2>/dev/null
}
echo "== os"
begin_of /etc/os-release || begin_of /usr/lib/os-release
echo
echo "== uname"
uname -m
uname -r
echo "== libc"
for loader in /lib/ld-musl-*.so.1; do
	[ -e "$loader" ] && "$loader" 2>&1 | head -n 2
done
{ ldd --version || getconf GNU_LIBC_VERSION; } 2>&1 | head -n 1
echo "== locale"
echo "${LC_ALL:-${LC_CTYPE:-${LANG:-}}}"
echo "== timezone"
{ [ -n "${TZ:-}" ] && echo "$TZ"; } || begin_of /etc/timezone || readlink /etc/localtime
echo "== limits"
ulimit -a
echo "== kernels"
ls /lib/modules 2>/dev/null
echo "== commands"
for name in $DISTROMATRIX_COMMANDS; do
	if on_path "$name"; then
		echo "$name $(readlink -f "$path" || echo "$path")"
	fi
done
echo "== versions"
for name in $DISTROMATRIX_VERSIONS; do
	if on_path "$name"; then
		said=--version
		[ "$name" = go ] && said=version
		echo "$name $("$name" $said 2>&1 </dev/null | head -n 3 | grep '[0-9]' | head -n 1)"
	fi
done
if on_path dpkg-query; then
	echo "== dpkg"
	dpkg-query -W -f '${db:Status-Status} ${Package} ${Version} ${source:Package}\n' | sed -n 's/^installed //p'
fi
if on_path rpm; then
	echo "== rpm"
	rpm -qa --qf '%{NAME} %{EPOCHNUM}:%{VERSION}-%{RELEASE} %{SOURCERPM}\n'
fi
for list in /lib/apk/db/installed /usr/lib/apk/db/installed; do
	if [ -f "$list" ]; then
		echo "== apk"
		sed -n '/^[PVo]:/p' "$list"
		break
	fi
done
if on_path pacman; then
	echo "== pacman"
	pacman -Q
fi
if on_path xbps-query; then
	echo "== xbps"
	xbps-query -l | sed -n 's/^ii \([^ ]*\)-\([^- ]*\) .*/\1 \2/p'
fi
exit 0
