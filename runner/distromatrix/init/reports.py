"""Shell that turns what test tools print into JUnit XML, where they cannot write it.

awk is in every base image; these few lines save a product a converter of its own.
"""

from __future__ import annotations

_CONVERTED = r"""
status=0
{ COMMAND || echo $? > /tmp/status; } 2>&1 | tee /tmp/tests.log
[ ! -e /tmp/status ] || status=$(cat /tmp/status)
# what it printed, as JUnit XML
awk 'function say(name, how) {
  gsub(/&/, "\\&amp;", name); gsub(/</, "\\&lt;", name); gsub(/"/, "\\&quot;", name)
  printf "<testcase name=\"%s\">%s</testcase>\n", name,
    how ~ /FAIL/ ? "<failure/>" : how ~ /SKIP/ ? "<skipped/>" : ""
}
BEGIN { print "<testsuite>" }
RULES
END { print "</testsuite>" }' /tmp/tests.log > "$DISTROMATRIX_JUNIT"
exit $status
"""

_GO = r"""
$1 == "---" { say($3, $2) }
/\[(build|setup) failed\]/ { say($2, "FAIL") }
"""

_CARGO = r"""
/^test .* \.\.\. / {
  name = $0; sub(/^test /, "", name); sub(/ \.\.\. .*/, "", name)
  say(name, / \.\.\. ok/ ? "PASS" : / \.\.\. ignored/ ? "SKIP" : "FAIL")
}
"""

# `make check` with a case for each `.trs` file of automake's parallel test harness.
# https://www.gnu.org/software/automake/manual/html_node/Log-files-generation-and-test-results-recording.html
AUTOMAKE_CHECK = r"""
status=0
make check VERBOSE=1 || status=$?
# the results that automake leaves in .trs files, as JUnit XML
{
  echo '<testsuite>'
  find . -name '*.trs' | sort | while read -r trs; do
    echo "<testcase name='${trs#./}'>"
    sed -n 's/^:test-result: SKIP.*/<skipped\/>/p
      s/^:test-result: \(FAIL\|XPASS\|ERROR\).*/<failure\/>/p' "$trs"
    echo '</testcase>'
  done
  echo '</testsuite>'
} > "$DISTROMATRIX_JUNIT"
exit $status
""".strip()


def _converted(command: str, rules: str) -> str:
    return _CONVERTED.strip().replace("COMMAND", command).replace("RULES", rules.strip())


# Cases: each `--- PASS: NAME`; each `test NAME ... ok`.
GO_TEST = _converted("go test -v ./...", _GO)
CARGO_TEST = _converted("cargo test --no-fail-fast", _CARGO)
