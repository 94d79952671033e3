"""Which cases a suite is told to run again in a guest, and what is kept of them."""

from __future__ import annotations

import json
from pathlib import Path
from xml.etree import ElementTree

import pytest
from executing import World, by_id, cell
from fallback_world import PYTEST, log, one, write

from distromatrix.execute import workers as crew
from distromatrix.model import CaseCounts, Verdict
from distromatrix.record.events import RepeatFinished
from distromatrix.reports.files import results_json, write_junit
from distromatrix.reports.replay import finished

pytestmark = pytest.mark.usefixtures("quick")

CASES = """\
tc() { echo "<testcase classname='c' name='$1'>$2</testcase>" >>cases; }
skip() { tc "$1" "<skipped message='needs: $2, says the suite'/>"; }
wanted() { test -z "${DISTROMATRIX_CASES:-}" || grep -qx "c::$1" "$DISTROMATRIX_CASES"; }
on() { test "$DISTROMATRIX_ENGINE" = "$1"; }
done_() { { echo "<testsuite>"; cat cases; echo "</testsuite>"; } >"$DISTROMATRIX_JUNIT"; }
"""

WHOLE = f"""{CASES}
tc plain
if on fake; then skip module kernel-modules; else tc module; tc plain2 '<failure/>'; fi
done_
on fake
"""

LISTED = f"""{CASES}
if wanted plain; then tc plain; echo ran plain; fi
if wanted module; then if on fake; then skip module 'kernel-modules, own-kernel >=2.6'
  else tc module; fi; fi
done_
"""


def test_a_suite_that_cannot_be_told_cases_runs_whole_and_only_those_count(world: World) -> None:
    result = one(world, "a/s", WHOLE)
    assert (result.verdict, result.unmet) == (Verdict.PASSED, False)
    (there,) = result.fallback
    assert (there.engine, there.how, there.tests) == ("qemu", "whole", ("c::module",))
    assert (there.verdict, there.cases) == (Verdict.PASSED, CaseCounts(passed=1))
    assert result.cases == CaseCounts(passed=2)


def test_a_suite_that_can_is_told_which(world: World) -> None:
    result = one(world, "a/s", LISTED, cases=True)
    assert (result.verdict, result.unmet) == (Verdict.PASSED, False)
    assert (result.fallback[0].how, result.fallback[0].tests) == ("listed", ("c::module",))
    assert "ran plain" in log(world, "a/s")
    assert "ran plain" not in log(world, "a/s", "qemu")
    assert result.cases == CaseCounts(passed=2)


def test_a_case_that_fails_there_counts_and_one_that_is_missing_is_told(world: World) -> None:
    fails = WHOLE.replace("else tc module;", "else tc module '<failure message=\"no\"/>';")
    result = one(world, "a/s", fails)
    assert (result.verdict, result.reason) == (Verdict.FAILED, "in qemu: 1 of 1 case failed")
    missing = WHOLE.replace("else tc module;", "else").replace("\non fake\n", "\n")
    result = one(world, "a/s", missing)
    assert (result.verdict, result.unmet) == (Verdict.PASSED, True)
    assert [case.test for case in result.needing] == ["c::module"]
    broken = WHOLE.replace("else tc module;", "else exit 3;")
    result = one(world, "a/s", broken)
    assert (result.verdict, result.reason) == (
        Verdict.FAILED,
        "in qemu: exit status 3; it names $DISTROMATRIX_JUNIT but left no file there",
    )


@pytest.mark.parametrize("message", ["needs: ffmpeg", "no network", "needs kernel-modules"])
def test_a_skip_that_names_no_need_is_a_skip_as_ever(world: World, message: str) -> None:
    script = f"{CASES}\ntc plain; tc x \"<skipped message='{message}'/>\"; done_"
    result = one(world, "a/s", script)
    assert (result.verdict, result.unmet, result.fallback) == (Verdict.PASSED, False, ())
    assert result.cases == CaseCounts(passed=1, skipped=1)


def test_whoever_means_something_else_can_say_so(world: World) -> None:
    result = one(world, "a/s", WHOLE, env={"DISTROMATRIX_CASE_NEEDS": "off"})
    assert (result.fallback, result.unmet) == ((), False)


def test_every_repetition_falls_back_once_and_flaky_cases_of_guests_are_found(
    world: World, tmp_path: Path
) -> None:
    write(
        world,
        "@pytest.mark.needs('reboot')\ndef test_it():\n"
        "    assert os.environ['DISTROMATRIX_REPEAT'] == '2'\ndef test_b(): pass\n",
    )
    found = world.execute(cell("a/s", PYTEST), repeat=3)
    result = found.cells[0]
    assert result.verdict is Verdict.FAILED
    assert [run.verdict for run in result.runs] == [Verdict.FAILED, Verdict.PASSED, Verdict.FAILED]
    assert [len(run.fallback) for run in result.runs] == [1, 1, 1]
    assert [(f.case, f.passed, f.failed) for f in result.flaky] == [("test_it::test_it", 1, 2)]
    assert [f.tests for f in result.fallback] == [("test_it.py::test_it",)]
    assert result.cases == CaseCounts(passed=4, failed=2)
    ended = [e for e in world.events if isinstance(e, RepeatFinished)]
    assert sorted(e.repeat for e in ended) == [1, 2, 3]
    assert (world.run / "cells/a/s/repeat-3/guest/qemu/log.txt").exists()


def test_results_and_the_joined_report_say_where_each_case_ran(world: World) -> None:
    found = world.execute(cell("a/s", PYTEST))
    said = results_json(world.plan, found)["cells"][0]["fallback"]
    json.dumps(said)
    assert [(f["engine"], f["how"], f["verdict"], len(f["cases"])) for f in said] == [
        ("qemu", "pytest", "passed", 4),
        ("vagrant", "pytest", "passed", 1),
    ]
    assert said[0]["counts"] == {"passed": 4, "failed": 0, "skipped": 0, "xfailed": 0, "xpassed": 0}
    assert "kernel-modules" in said[0]["reason"]
    write_junit(world.run, world.plan, found)
    (suite,) = ElementTree.parse(world.run / "junit.xml").getroot()
    assert (suite.get("tests"), suite.get("skipped")) == ("6", "0")
    engines = {case.get("name"): [p.get("value") for p in case.iter("property")] for case in suite}
    assert engines == {
        "test_plain": [],
        "test_module": ["qemu"],
        "test_mount[1]": ["qemu"],
        "test_mount[a b]": ["qemu"],
        "test_own_words": ["qemu"],
        "test_unit": ["vagrant"],
    }


def test_a_run_that_stops_before_the_guest_is_gone_on_with(world: World, tmp_path: Path) -> None:
    from distromatrix.record.journal import Journal

    marker = tmp_path / "container-done"
    bad = f"while test ! -e {marker}; do sleep 0.05; done; exit 1"
    write(world, "@pytest.mark.needs('reboot')\ndef test_it(): pass\ndef test_b(): pass\n")
    slow = f"{PYTEST}; touch {marker}; sleep 1.5"
    journal = Journal(tmp_path / "journal.jsonl")
    world.on_event = lambda event, _: journal(event)
    found = by_id(world.execute(cell("a/s", slow), cell("b/bad", bad), fail_fast=True))
    journal.close()
    assert found["a/s"].unmet
    assert "--fail-fast" in found["a/s"].reason
    assert [r.id for r in finished(tmp_path / "journal.jsonl")] == ["b/bad"]


def test_a_guest_engine_that_is_gone_takes_its_cases_only(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(crew, "BACK_WITHIN", 0.5)
    world.guest_faults("qemu", unavailable=True)
    result = one(world, "a/s", PYTEST)
    assert result.verdict is Verdict.ERROR
    assert {f.engine: f.verdict for f in result.fallback} == {
        "qemu": Verdict.ERROR,
        "vagrant": Verdict.PASSED,
    }
    assert result.cases == CaseCounts(passed=2, skipped=4)
