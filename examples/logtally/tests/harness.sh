# A test harness in POSIX sh: sourced by the suites, writes JUnit XML where it is asked to.
#
#   check NAME EXPECTED COMMAND…   runs COMMAND; it must exit 0 and print EXPECTED
#   finish                         writes the report; exit status 1 if a case failed
#
# A suite's first argument, if there is one, is the file for the report.

cd "$(dirname "$0")/.." || exit 2
report=${1:-}
suite=$(basename "$0" .sh)
scratch=$(mktemp -d) || exit 2
trap 'rm -rf "$scratch"' EXIT
newline='
'
total=0
failed=0
: >"$scratch/cases"

escape() {
	tr -d '\000-\010\013\014\016-\037' | sed 's/&/\&amp;/g; s/</\&lt;/g; s/>/\&gt;/g; s/"/\&quot;/g'
}

check() {
	name=$1
	printf '%s' "${2:+$2$newline}" >"$scratch/expected"
	shift 2
	total=$((total + 1))
	status=0
	"$@" >"$scratch/stdout" 2>"$scratch/stderr" </dev/null || status=$?
	if [ "$status" -eq 0 ] && cmp -s "$scratch/expected" "$scratch/stdout"; then
		echo "ok      $name"
		printf '<testcase classname="%s" name="%s"/>\n' "$suite" "$name" >>"$scratch/cases"
		return
	fi
	failed=$((failed + 1))
	{
		echo "\$ $*"
		echo "exit status $status, expected 0 and:"
		sed 's/^/  /' "$scratch/expected"
		echo "but got:"
		sed 's/^/  /' "$scratch/stdout" "$scratch/stderr"
	} >"$scratch/why"
	echo "FAILED  $name"
	sed 's/^/        /' "$scratch/why"
	reason=$(sed -n 1p "$scratch/stderr" | escape)
	{
		printf '<testcase classname="%s" name="%s">' "$suite" "$name"
		printf '<failure message="%s">' "${reason:-unexpected output}"
		escape <"$scratch/why"
		printf '</failure></testcase>\n'
	} >>"$scratch/cases"
}

finish() {
	echo "$suite: $((total - failed)) of $total passed"
	if [ -n "$report" ]; then
		{
			echo '<?xml version="1.0" encoding="UTF-8"?>'
			printf '<testsuite name="%s" tests="%d" failures="%d">\n' "$suite" "$total" "$failed"
			cat "$scratch/cases"
			echo '</testsuite>'
		} >"$report"
	fi
	[ "$failed" -eq 0 ]
}
