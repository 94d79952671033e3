"""Cells that failed and are run again because their suite asks for it: `retry_failed`."""

from __future__ import annotations

from io import StringIO
from pathlib import Path
from xml.etree import ElementTree

import pytest
from executing import World, cell
from rich.console import Console

from distromatrix.execute.executor import Executor
from distromatrix.model import CellResult, Flaky, RunResult, Verdict
from distromatrix.record.events import CellRetried, CellStarted, Event
from distromatrix.reports.files import results_json, write_junit
from distromatrix.reports.github.annotations import make_annotations
from distromatrix.reports.replay import replay
from distromatrix.reports.terminal.summary import print_summary

# `$N` is the number of the run, from 1: counted outside of the machine, as chance is.
COUNT = "N=$(($(cat {0} 2>/dev/null || echo 0) + 1)); echo $N >{0}; "
JUNIT = 'echo "<testsuite>$t</testsuite>" >$DISTROMATRIX_JUNIT; '


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


@pytest.fixture
def nth(tmp_path: Path) -> str:
    """What begins a suite that wants to know how many times it has run."""
    return COUNT.format(tmp_path / "runs")


def case(name: str, fails_when: str) -> str:
    """Shell that adds a case to the report; it fails where the test `fails_when` is true."""
    failed = f"<testcase name='{name}'><failure message='{name} broke'/></testcase>"
    passed = f"<testcase name='{name}'/>"
    return f'if [ {fails_when} ]; then t="$t{failed}"; s=1; else t="$t{passed}"; fi; '


def suite(nth: str, **cases: str) -> str:
    """A suite of these cases, each with when it fails."""
    body = "".join(case(name, when) for name, when in cases.items())
    return f"{nth}t=; s=0; {body}{JUNIT}exit $s"


def only(world: World, *cells: object, **options: object) -> CellResult:
    (result,) = world.execute(*cells, **options).cells  # type: ignore[arg-type]
    return result


def test_what_passes_when_run_again_is_passed_and_flaky(world: World, nth: str) -> None:
    run = world.execute(cell("a/s", suite(nth, x="$N = 1", y="$N = 0"), retry_failed=2))
    (result,) = run.cells
    assert (result.verdict, run.exit_code) == (Verdict.PASSED, 0)
    assert result.reason == "flaky: 1 case failed first and passed when run again"
    assert result.flaky == (Flaky(case="x", passed=1, failed=1, first=1, message="x broke"),)
    assert result.cases is not None
    assert (result.cases.passed, result.cases.failed, result.failing) == (2, 0, ())
    assert [one.verdict for one in result.retries] == [Verdict.PASSED]
    told = [e for e in world.events if isinstance(e, CellRetried)]
    assert [(e.cell, e.retry, e.of, e.reason) for e in told] == [
        ("a/s", 1, 2, "1 of 2 cases failed")
    ]
    assert replay(world.plan, world.events, world.run).cells == run.cells
    assert world.left() == []


def test_what_fails_each_time_is_failed(world: World, nth: str) -> None:
    run = world.execute(cell("a/s", suite(nth, x="$N -gt 0", y="$N = 1"), retry_failed=2))
    (result,) = run.cells
    assert (result.verdict, run.exit_code) == (Verdict.FAILED, 1)
    assert result.reason == "1 of 2 cases failed (run 3 times)"
    assert [one.name for one in result.failing] == ["x"]
    assert [one.case for one in result.flaky] == ["y"]
    assert len(result.retries) == 2


def test_what_passed_first_and_fails_later_is_failed(world: World, nth: str) -> None:
    result = only(world, cell("a/s", suite(nth, x="$N = 1", y="$N = 2"), retry_failed=5))
    assert result.verdict is Verdict.FAILED
    assert "what passed at first failed later" in result.reason
    assert [one.name for one in result.failing] == ["y"]
    assert len(result.retries) == 1  # one more says nothing else


def test_a_case_that_failed_and_is_gone_has_not_passed(world: World, nth: str) -> None:
    gone = f"{nth}t=\"<testcase name='z'/>\"; s=0; if [ $N = 1 ]; then {case('x', '1 = 1')} fi; "
    result = only(world, cell("a/s", f"{gone}{JUNIT}exit $s", retry_failed=1))
    assert result.verdict is Verdict.FAILED
    assert [one.name for one in result.failing] == ["x"]


def test_a_failing_status_without_a_report_may_pass_too(world: World, nth: str) -> None:
    result = only(world, cell("a/s", f"{nth}[ $N = 2 ]", retry_failed=1))
    assert (result.verdict, result.cases) == (Verdict.PASSED, None)
    assert result.reason == "flaky: it failed first and passed when run again"
    assert result.flaky == (Flaky(case="", passed=1, failed=1, first=1, message="exit status 1"),)


def test_a_setup_that_failed_may_pass_too(world: World, nth: str) -> None:
    result = only(world, cell("a/s", setup=(f"{nth}[ $N = 2 ]",), retry_failed=1))
    assert result.verdict is Verdict.PASSED


def test_each_run_has_a_fresh_machine_and_a_folder_of_its_own(world: World, nth: str) -> None:
    script = f"{nth}[ ! -e mark ] || exit 9; touch mark; echo run $N; [ $N = 3 ]"
    result = only(world, cell("a/s", script, retry_failed=3))
    assert result.verdict is Verdict.PASSED
    logs = [world.run / "cells/a/s" / below / "log.txt" for below in ("", "retry-1", "retry-2")]
    assert [log.read_text() for log in logs] == ["run 1\n", "run 2\n", "run 3\n"]
    assert sum(isinstance(e, CellStarted) for e in world.events) == 1


@pytest.mark.parametrize(
    ("script", "other"),
    [
        ("sleep 60", {"timeout": 0.2}),
        ("echo '<testsuite' >$DISTROMATRIX_JUNIT", {}),  # no report is no failing case
        ("echo no report; # $DISTROMATRIX_JUNIT", {}),
    ],
)
def test_what_is_no_chance_is_not_run_again(
    world: World, script: str, other: dict[str, object]
) -> None:
    result = only(world, cell("a/s", script, retry_failed=3, **other))
    assert (result.verdict, result.retries) == (Verdict.FAILED, ())


def test_a_run_again_that_hangs_ends_it(world: World, nth: str) -> None:
    result = only(
        world, cell("a/s", f"{nth}[ $N = 2 ] || exit 1; sleep 60", retry_failed=5, timeout=0.5)
    )
    assert (result.verdict, len(result.retries)) == (Verdict.FAILED, 1)
    assert "timed out" in result.reason


def test_without_the_key_nothing_is_run_again(world: World, nth: str) -> None:
    result = only(world, cell("a/s", suite(nth, x="$N = 1")))
    assert (result.verdict, result.retries, result.flaky) == (Verdict.FAILED, (), ())


def test_a_suite_that_takes_cases_is_told_those_that_failed(
    world: World, nth: str, tmp_path: Path
) -> None:
    tell = f'if [ -n "$DISTROMATRIX_CASES" ]; then cp $DISTROMATRIX_CASES {tmp_path}/told; fi; '
    script = tell + suite(nth, x="$N = 1", y="$N = 0")
    result = only(world, cell("a/s", script, retry_failed=1, cases=True))
    assert (tmp_path / "told").read_text() == "x\n"
    assert result.verdict is Verdict.PASSED
    assert result.cases is not None
    assert result.cases.passed == 2


def test_after_a_crash_all_of_the_suite_is_run_again(
    world: World, nth: str, tmp_path: Path
) -> None:
    tell = f'echo "${{DISTROMATRIX_CASES-all}}" >>{tmp_path}/told; '
    script = tell + suite(nth, x="$N = 1").replace("exit $s", "[ $N != 1 ] || exit 139; exit $s")
    result = only(world, cell("a/s", script, retry_failed=1, cases=True))
    assert (tmp_path / "told").read_text() == "all\nall\n"
    assert result.verdict is Verdict.PASSED


def test_a_run_again_that_cannot_be_made_leaves_the_failure_as_it_is(
    world: World, nth: str
) -> None:
    def on_event(event: Event, _: Executor) -> None:
        if isinstance(event, CellRetried):
            world.faults(cannot_start={"a/*": 0})

    world.on_event = on_event
    result = only(world, cell("a/s", f"{nth}exit 1", retry_failed=2))
    assert (result.verdict, result.reason) == (Verdict.FAILED, "exit status 1")
    (said,) = result.warnings
    assert said.startswith("it was not run again (")
    assert result.retries == ()


def test_repetitions_are_not_run_again(world: World, nth: str) -> None:
    result = only(world, cell("a/s", suite(nth, x="$N = 1"), retry_failed=3), repeat=2, jobs=1)
    assert (result.verdict, result.retries) == (Verdict.FAILED, ())
    assert len(result.runs) == 2


def test_an_error_of_the_infrastructure_is_not_run_again_as_a_failure(world: World) -> None:
    world.faults(gone={"a/*": 2})
    result = only(world, cell("a/s", "sleep 0.2", retry_failed=3), retries=0)
    assert (result.verdict, result.retries) == (Verdict.ERROR, ())


# --- what is said of it --------------------------------------------------------------------


def summary(world: World, run: RunResult) -> str:
    console = Console(file=StringIO(), width=120)
    print_summary(console, world.plan, run, folder=run.folder)
    return console.file.getvalue()  # type: ignore[attr-defined]


def test_the_answer_says_what_was_flaky_and_is_green(world: World, nth: str) -> None:
    run = world.execute(cell("a/s", suite(nth, x="$N = 1", y="$N = 0"), retry_failed=2))
    said = summary(world, run)
    assert "✓ passed 2 (flaky)" in said
    assert "flaky: failed first, passed when retried" in said
    assert "a/s: passed 1, failed 1 of 2 runs" in said
    assert "✓ 1 passed, 1 flaky" in said
    assert "fails" not in said
    (note,) = make_annotations(world.plan, run)
    assert (note.level, note.title) == ("warning", "x is flaky in a/s")
    (told,) = results_json(world.plan, run)["cells"]
    assert told["verdict"] == "passed"
    assert told["flaky"] == [{"case": "x", "passed": 1, "failed": 1}]
    assert [one["verdict"] for one in told["retries"]] == ["passed"]


def test_junit_tells_of_the_failure_in_the_case_that_passed(world: World, nth: str) -> None:
    run = world.execute(cell("a/s", suite(nth, x="$N = 1", y="$N = 0"), retry_failed=2))
    write_junit(run.folder, world.plan, run)
    root = ElementTree.parse(run.folder / "junit.xml").getroot()
    assert (root.get("tests"), root.get("failures"), root.get("errors")) == ("2", "0", "0")
    first, second = root.iter("testcase")
    (flaky,) = first
    assert (flaky.tag, flaky.get("message"), first.get("name")) == ("flakyFailure", "x broke", "x")
    assert (second.get("name"), len(second)) == ("y", 0)


def test_junit_tells_of_a_flaky_cell_without_cases(world: World, nth: str) -> None:
    run = world.execute(cell("a/s", f"{nth}[ $N = 2 ]", retry_failed=1))
    write_junit(run.folder, world.plan, run)
    (only_case,) = ElementTree.parse(run.folder / "junit.xml").getroot().iter("testcase")
    assert [child.tag for child in only_case] == ["flakyFailure"]


def test_what_still_fails_is_told_as_a_failure_beside_what_is_flaky(world: World, nth: str) -> None:
    run = world.execute(cell("a/s", suite(nth, x="$N -gt 0", y="$N = 1"), retry_failed=1))
    said = summary(world, run)
    assert "✗ fails on a" in said
    assert "flaky: passed and failed in the same cell" in said
    write_junit(run.folder, world.plan, run)
    root = ElementTree.parse(run.folder / "junit.xml").getroot()
    assert (root.get("tests"), root.get("failures")) == ("2", "1")


def test_a_failing_status_is_told_though_a_case_was_flaky(world: World, nth: str) -> None:
    script = suite(nth, x="$N = 1").replace("exit $s", "exit 1")
    run = world.execute(cell("a/s", script, retry_failed=1))
    assert run.cells[0].verdict is Verdict.FAILED
    assert "though none of 1 cases failed" in summary(world, run)


def test_flaky_can_be_made_to_fail_the_run(world: World, nth: str) -> None:
    run = world.execute(cell("a/s", f"{nth}[ $N = 2 ]", retry_failed=1), fail_on_flaky=True)
    assert (run.verdict, run.exit_code) == (Verdict.FAILED, 1)
    assert run.cells[0].verdict is Verdict.PASSED


def test_what_fails_in_too_many_cases_to_be_followed_is_not_green(
    world: World, nth: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("distromatrix.collect.tally.MAX_TRACKED", 1)
    run = world.execute(cell("a/s", suite(nth, x="$N = 1", y="$N = 1"), retry_failed=1))
    assert run.cells[0].verdict is Verdict.FAILED
    write_junit(run.folder, world.plan, run)
    root = ElementTree.parse(run.folder / "junit.xml").getroot()
    assert root.get("failures") == "1"
