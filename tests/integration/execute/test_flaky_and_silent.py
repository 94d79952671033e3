"""Cells that stand still, and cells that are run several times, in real containers."""

from __future__ import annotations

import json
import xml.etree.ElementTree as ET

import pytest
from breaking_world import Project, ended, killed, until

pytestmark = pytest.mark.engine

# one case fails in every run whose number is odd, another one always
FLAKY = """\
echo "run $DISTROMATRIX_REPEAT"
[ ! -e /mark ]; touch /mark
echo "$DISTROMATRIX_REPEAT" >"$DISTROMATRIX_ARTIFACTS/number"
[ $((DISTROMATRIX_REPEAT % 2)) = 0 ] || f='<failure message="odd"/>'
a='<testcase classname="t" name="always"><failure message="ever"/></testcase>'
echo "<testsuite><testcase classname='t' name='race'>$f</testcase>$a</testsuite>" \\
  >"$DISTROMATRIX_JUNIT"
"""


def test_a_silent_cell_says_what_runs_in_it(project: Project) -> None:
    project.suites({"quiet": "echo collected 9 items; sleep 5", "loud": "echo fine"})
    said = project.call("run", "--silent-after", "1s")
    assert said.code == 0
    (line,) = [ln for ln in said.out.splitlines() if ln.startswith("silent") and "for 1." in ln]
    assert line.startswith(f"silent {project.distro}/quiet for 1.")
    assert "running: sleep 5 (for 00:0" in line
    assert line.endswith("the last line: collected 9 items")
    assert f"silent {project.distro}/loud" not in said.out


def test_a_flaky_suite_is_told_apart_with_its_counts_and_debug_output(project: Project) -> None:
    debug = 'echo "debug of $DISTROMATRIX_REPEAT"; cp /mark "$DISTROMATRIX_ARTIFACTS/copied"'
    project.suites({"racy": {"run": FLAKY, "debug": debug}, "steady": "true"})
    said = project.call("run", "--repeat", "4", "-j", "2", "--shuffle", "42")
    assert said.code == 1
    for shown in (said.out, project.call("report").out):
        flaky = shown[shown.index("flaky: ") :]
        assert f"t::race\n      odd\n      {project.distro}/racy: passed 2, failed 2 of 4" in flaky
        assert "t::always" in shown[: shown.index("flaky: ")]
        assert f"debug output of {project.distro}/racy/repeat-1:" in shown
    results = project.results()
    assert [run["verdict"] for run in results["racy"]["runs"]] == ["failed"] * 4
    assert results["racy"]["flaky"] == [{"case": "t::race", "passed": 2, "failed": 2}]
    assert results["racy"]["debug"] == ["debug of 1"]
    assert (results["steady"]["verdict"], results["steady"]["flaky"]) == ("passed", [])
    for number in range(1, 5):
        folder = project.latest / "cells" / project.distro / f"racy/repeat-{number}"
        assert folder.joinpath("log.txt").read_text().startswith(f"run {number}\n")
        assert (folder / "artifacts/number").read_text() == f"{number}\n"
        assert (folder / "artifacts/copied").exists()
    suites = ET.parse(project.latest / "junit.xml").getroot()
    assert (suites.get("tests"), suites.get("failures")) == ("12", "6")
    assert project.left() == []


@pytest.mark.slow
def test_a_killed_run_goes_on_with_the_repetitions_that_are_missing(project: Project) -> None:
    project.suites({"racy": "sleep 0.5; [ $DISTROMATRIX_REPEAT != 1 ]"})
    process = project.start("run", "--repeat", "5", "-j", "1")
    until(lambda: project.journal().count('"repeat-finished"') >= 2)
    killed(process)
    before = project.journal().count('"repeat-finished"')
    assert before < 5
    assert f"failed 1 of {before} runs (5 were requested)" in project.call("report").out
    assert ended(project.start("run", "--resume", "latest")).code == 1
    events = [json.loads(line) for line in project.journal().splitlines()]
    made = [e["repeat"] for e in events if e["type"] == "repeat-finished"]
    assert sorted(made) == [1, 2, 3, 4, 5]
    racy = project.results()["racy"]
    assert [run["verdict"] for run in racy["runs"]] == ["failed", *["passed"] * 4]
    assert racy["flaky"] == [{"case": None, "passed": 4, "failed": 1}]
    assert project.left() == []
