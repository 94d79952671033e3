"""A failing case beside an expected one is red wherever it is told, and what a rule says of a
case is the same in guests, in repetitions, when a cell is run again, and merged."""

from __future__ import annotations

import io
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from executing import OWN_PYTEST, World, cell
from merge_world import CELLS
from merge_world import World as Jobs
from report_samples import make_plan, result
from rich.console import Console

from distromatrix.model import (
    Case,
    CaseCounts,
    CellResult,
    Expectation,
    Plan,
    RunResult,
    Unmatched,
    Verdict,
)
from distromatrix.plan.file import store_plan
from distromatrix.record.journal import Journal
from distromatrix.record.verdicts import run_verdict
from distromatrix.reports.github.annotations import make_annotations
from distromatrix.reports.github.summary import github_summary
from distromatrix.reports.replay import read_run
from distromatrix.reports.terminal.summary import print_summary

pytestmark = pytest.mark.usefixtures("quick")

KNOWN = Expectation(reason="musl has no such thing", cases=("*known*",))


def junit(**fails_when: str) -> str:
    """A suite of cases, each with when it fails (a shell test); its status says whether one did."""
    one = "if {when}; then f='<failure message=\"{name} broke\"/>'; s=1; else f=; fi; "
    add = "t=\"$t<testcase name='{name}'>$f</testcase>\"; "
    body = "".join((one + add).format(name=n, when=w) for n, w in fails_when.items())
    return f't=; s=0; {body}echo "<testsuite>$t</testsuite>" >$DISTROMATRIX_JUNIT; exit $s'


BESIDE = junit(known_one="true", other="true", fine="false")


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


def execute(world: World, script: str, *rules: Expectation, **options: Any) -> RunResult:
    one = {key: options.pop(key) for key in ("cases", "retry_failed") if key in options}
    planned = cell("a/s", script, expect_fail=rules or (KNOWN,), **one)
    return world.execute(planned, cell("b/s", junit(other="false", fine="false")), **options)


def terminal(plan: Plan, result: RunResult) -> str:
    console = Console(file=io.StringIO(), width=150)
    print_summary(console, plan, result, folder=result.folder)
    return console.file.getvalue()  # type: ignore[attr-defined,no-any-return]


# --- told everywhere -------------------------------------------------------------------------


def test_a_failing_case_beside_an_expected_one_is_red_wherever_it_is_told(world: World) -> None:
    run = execute(world, BESIDE)
    assert (run.verdict, run.exit_code) == (Verdict.FAILED, 1)
    assert run.cells[0].cases == CaseCounts(passed=1, failed=1, xfailed=1)
    said = terminal(world.plan, run)
    group = said.partition("fails only on a")[2].partition("the end of")[0]
    assert "s  other" in group and "known_one" not in group
    page = github_summary(world.plan, run)
    assert "❌" in page.partition("</h2>")[0] and "other" in page.partition("<h3>")[2]
    assert "<b><code>known" not in page
    (error,) = make_annotations(world.plan, run)
    assert error.level == "error" and error.title.startswith("other ")


def test_what_is_expected_alone_is_green_wherever_it_is_told(world: World) -> None:
    run = execute(world, junit(known_one="true", fine="false"))
    assert (run.verdict, run.exit_code) == (Verdict.PASSED, 0)
    assert "failed, as expected" in terminal(world.plan, run)
    assert "✅" in github_summary(world.plan, run).partition("</h2>")[0]
    assert make_annotations(world.plan, run) == ()


def test_what_passes_against_a_rule_is_named_wherever_it_is_told(world: World) -> None:
    run = execute(world, junit(known_one="false", fine="false"))
    assert (run.verdict, run.exit_code) == (Verdict.FAILED, 1)
    part = terminal(world.plan, run).partition("passed, though a rule expects a failure")[2]
    assert part.split("\n")[1:3] == ["  known_one", "      a/s: musl has no such thing"]
    page = github_summary(world.plan, run).partition("passed, though a rule expects")[2]
    assert "known_one" in page and "musl has no such thing" in page
    (error,) = make_annotations(world.plan, run)
    assert error.title == "known_one passed, though a rule expects a failure"


def test_what_passes_against_a_rule_beside_a_failure_is_named_too(world: World) -> None:
    run = execute(world, junit(known_one="false", other="true"))
    assert run.cells[0].verdict is Verdict.FAILED
    said = terminal(world.plan, run)
    assert "s  other" in said and "a/s: musl has no such thing" in said
    assert [one.title.split()[0] for one in make_annotations(world.plan, run)] == [
        "other",
        "known_one",
    ]


def test_an_expected_failure_elsewhere_counts_for_where_a_case_fails(world: World) -> None:
    other = Expectation(reason="known there", cases=("other",))
    run = world.execute(
        cell("a/s", junit(other="true"), expect_fail=(other,)), cell("b/s", junit(other="true"))
    )
    assert "fails everywhere (2 of 2)" in terminal(world.plan, run)


@pytest.mark.parametrize("found", [True, False])
def test_a_glob_that_no_case_is_called_by_is_told_once_for_the_run(found: bool) -> None:
    plan = make_plan("debian-11/s", "debian-12/s")
    rule = Expectation(reason="no such", cases=("*icnov*",))
    plan = replace(plan, cells=tuple(replace(c, expect_fail=(rule,)) for c in plan.cells))
    one = (Unmatched(glob="*icnov*", reason="no such", near="libc::iconv"),)
    cells = (
        result("debian-11/s", unmatched=one),
        result("debian-12/s", unmatched=() if found else one),
    )
    verdict, code = run_verdict(cells)
    run = RunResult(run="r", folder=Path("/r"), verdict=verdict, exit_code=code, cells=cells)
    where = "of debian-11/s" if found else "of any cell"
    line = (
        f"a rule expects `*icnov*` to fail, but no case {where} that ran has that name; "
        "did you mean `libc::iconv`? (no such)"
    )
    assert terminal(plan, run).count(line) == 1
    assert line.partition(";")[0] in github_summary(plan, run).replace("&#x27;", "'")


# --- several machines and several runs -------------------------------------------------------


def test_the_journal_says_the_same(world: World, tmp_path: Path) -> None:
    journal = Journal(tmp_path / "journal.jsonl")
    world.on_event = lambda event, _: journal(event)
    run = execute(world, BESIDE)
    journal.close()
    store_plan(world.plan, tmp_path / "plan.json")
    again = read_run(tmp_path)
    assert again.cells == run.cells
    assert (again.verdict, again.exit_code) == (Verdict.FAILED, 1)


def test_a_case_that_fails_in_some_repetitions_is_expected_in_all(world: World) -> None:
    odd = "test $((DISTROMATRIX_REPEAT % 2)) = 1"
    run = execute(world, junit(known_one=odd, fine="false"), repeat=4)
    (first, _) = run.cells
    assert (first.verdict, run.exit_code) == (Verdict.XFAILED, 0)
    assert [one.verdict for one in first.runs] == [Verdict.XFAILED, Verdict.XPASSED] * 2
    assert (first.xpassed, [one.case for one in first.flaky]) == ((), ["known_one"])
    assert first.cases == CaseCounts(passed=4, xfailed=2, xpassed=2)


def test_a_failing_case_beside_it_is_red_in_repetitions(world: World) -> None:
    run = execute(world, BESIDE, repeat=2)
    assert (run.cells[0].verdict, run.exit_code) == (Verdict.FAILED, 1)
    assert [case.name for case in run.cells[0].failing] == ["other"]
    assert [case.name for case in run.cells[0].xfailed] == ["known_one"]


def test_what_never_fails_in_repetitions_is_told_beside_what_does(world: World) -> None:
    # each run skips one of them: what passed is none the better for what failed in the other
    odd = "test $((DISTROMATRIX_REPEAT % 2)) = 1"
    first, second = junit(known_one="true"), junit(known_two="false")
    run = execute(world, f"if {odd}; then {first}; fi; {second}", repeat=2)
    assert [one.verdict for one in run.cells[0].runs] == [Verdict.XFAILED, Verdict.XPASSED]
    assert run.cells[0].verdict is Verdict.XPASSED
    assert [case.name for case in run.cells[0].xpassed] == ["known_two"]


COUNT = "n=$(($(cat {0} 2>/dev/null || echo 0) + 1)); echo $n >{0}; "


@pytest.mark.parametrize("told", [True, False])
def test_what_is_run_again_is_judged_by_the_same_rules(
    world: World, tmp_path: Path, told: bool
) -> None:
    count = COUNT.format(tmp_path / "runs")
    listed = 'test -s "$DISTROMATRIX_CASES" 2>/dev/null && '
    some = f"{count}{listed}{{ {junit(other='false')}; }}; " if told else count
    script = f"{some}{junit(known_one='true', other='test $n = 1')}"
    run = execute(world, script, retry_failed=1, cases=told)
    (first, _) = run.cells
    assert (first.verdict, run.exit_code) == (Verdict.XFAILED, 0)
    assert "flaky" in first.reason and KNOWN.reason in first.reason
    assert [one.case for one in first.flaky] == ["other"]
    assert first.cases == CaseCounts(passed=1, xfailed=1)


def test_an_expected_failure_alone_is_not_run_again(world: World) -> None:
    run = execute(world, junit(known_one="true"), retry_failed=2)
    assert (run.cells[0].verdict, run.cells[0].retries) == (Verdict.XFAILED, ())


@pytest.mark.parametrize("told", [True, False])
def test_what_passed_against_a_rule_still_did_when_the_rest_was_run_again(
    world: World, tmp_path: Path, told: bool
) -> None:
    again = f'if test -s "$DISTROMATRIX_CASES" 2>/dev/null; then {junit(other="false")}; fi; '
    script = again * told + COUNT.format(tmp_path / "runs")
    script += junit(known_one="false", other="test $n = 1")
    run = execute(world, script, retry_failed=1, cases=told)
    assert (run.cells[0].verdict, run.exit_code) == (Verdict.XPASSED, 1)
    assert "expected to fail: known_one" in run.cells[0].reason


PYTEST = f'{OWN_PYTEST} -p no:pytest11.testinfra --junitxml="$DISTROMATRIX_JUNIT"'


@pytest.mark.parametrize(
    ("here", "there", "cases", "verdict"),
    [
        ("assert 0", "assert 0", ("*known*",), Verdict.XFAILED),
        ("pass", "assert 0", ("*known_there",), Verdict.XFAILED),
        ("assert 0", "assert 0", ("*known_here",), Verdict.FAILED),  # what fails there is another
        ("assert 0", "assert 0", ("*known_there",), Verdict.FAILED),
        ("pass", "assert 0", ("*known*",), Verdict.XPASSED),  # whatever failed as expected there
        ("assert 0", "pass", ("*known*",), Verdict.XPASSED),
    ],
)
def test_cases_in_a_guest_are_judged_by_the_same_rules(
    world: World, here: str, there: str, cases: tuple[str, ...], verdict: Verdict
) -> None:
    world.here = {"qemu": ""}
    (world.folder / "product/pytest.ini").write_text("[pytest]\n")
    (world.folder / "product/test_it.py").write_text(
        f"import pytest\ndef test_known_here(): {here}\n"
        f"@pytest.mark.needs('mount')\ndef test_known_there(): {there}\n"
    )
    run = world.execute(cell("a/s", PYTEST, expect_fail=(Expectation(reason="why", cases=cases),)))
    found = run.cells[0]
    assert found.verdict is verdict
    assert found.unmatched == ()
    red = (here == "assert 0") + (there == "assert 0")
    assert found.cases is not None and found.cases.red == red


def test_merged_shards_say_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    jobs = Jobs(tmp_path / "project")
    jobs.plan = replace(
        jobs.plan, cells=tuple(replace(c, expect_fail=(KNOWN,)) for c in jobs.plan.cells)
    )
    known = Case(name="known_one", status="xfailed", expected=KNOWN.reason)
    other = Case(name="other", status="failed")
    passed = Case(name="known_two", status="xpassed", expected=KNOWN.reason)

    def left(cell_id: str, verdict: Verdict, **cases: tuple[Case, ...]) -> CellResult:
        return result(cell_id, verdict, **cases)

    jobs.leave_all(
        left(CELLS[0], Verdict.XFAILED, xfailed=(known,)),
        left(CELLS[1], Verdict.FAILED, failing=(other,), xfailed=(known,)),
        left(CELLS[2], Verdict.XPASSED, xpassed=(passed,)),
    )
    merged = jobs.merged()
    assert (merged.verdict, merged.exit_code) == (Verdict.FAILED, 1)
    assert [c.verdict for c in merged.cells[:3]] == [
        Verdict.XFAILED,
        Verdict.FAILED,
        Verdict.XPASSED,
    ]
    assert merged.cells[1].xfailed == (known,)
    assert merged.cells[2].xpassed == (passed,)
    said = terminal(jobs.plan, merged)
    assert "unit  other" in said or "docs  other" in said
    assert "known_two" in said
