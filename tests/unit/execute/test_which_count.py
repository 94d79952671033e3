"""What counts for a run and what does not: cells that are not gating, and suites that skip
themselves."""

from __future__ import annotations

from dataclasses import replace
from itertools import product
from pathlib import Path

import pytest
from executing import World, by_id, cell
from merge_world import World as Shards
from merge_world import by_id as of_merged
from report_samples import failed

from distromatrix.errors import ImageError
from distromatrix.model import CellResult, Expectation, Phase, RunResult, Verdict
from distromatrix.record.journal import Journal
from distromatrix.record.verdicts import run_verdict
from distromatrix.reports.replay import finished, replay

REPORT = "echo '<testsuite>%s</testsuite>' >$DISTROMATRIX_JUNIT"
GREEN, RED = '<testcase name="a"/>', '<testcase name="b"><failure/></testcase>'


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


def one(world: World, run: str, **more: object) -> CellResult:
    return world.execute(cell("a/s", run, skip_status=77, **more)).cells[0]


# --- a suite that skips itself -------------------------------------------------------------


def test_a_suite_that_ends_with_its_skip_status_is_skipped_for_what_it_said_last(
    world: World,
) -> None:
    result = world.execute(
        cell("a/s", "echo looking; echo 'no FUSE here'; echo; exit 77", skip_status=77)
    )
    assert (result.verdict, result.exit_code) == (Verdict.SKIPPED, 0)
    (skipped,) = result.cells
    assert (skipped.verdict, skipped.phase) == (Verdict.SKIPPED, Phase.RUN)
    assert (skipped.reason, skipped.unmet) == ("no FUSE here", False)


def test_it_does_not_fail_a_run_in_which_others_pass(world: World) -> None:
    result = world.execute(cell("a/s", "exit 77", skip_status=77), cell("a/t"))
    assert (result.verdict, result.exit_code) == (Verdict.PASSED, 0)
    assert by_id(result)["a/s"].reason == "it ended with exit status 77, and said no more"


@pytest.mark.parametrize(
    ("run", "verdict"),
    [
        ("exit 77", Verdict.SKIPPED),
        (': "$DISTROMATRIX_JUNIT"; exit 77', Verdict.SKIPPED),  # it owes no report
        (f"{REPORT % ''}; exit 77", Verdict.SKIPPED),  # nor one with cases
        (f"{REPORT % GREEN}; exit 77", Verdict.SKIPPED),
        (f"{REPORT % (GREEN + RED)}; exit 77", Verdict.FAILED),
        ("echo cut >$DISTROMATRIX_JUNIT; exit 77", Verdict.FAILED),
        ("exit 76", Verdict.FAILED),
        ("exit 0", Verdict.PASSED),
        ("kill -9 $$", Verdict.FAILED),
    ],
)
def test_nothing_that_failed_hides_behind_a_skip(world: World, run: str, verdict: Verdict) -> None:
    assert one(world, run).verdict is verdict


@pytest.mark.parametrize(
    ("tap", "verdict"),
    [
        ("echo no FUSE", Verdict.SKIPPED),
        ("echo '1..0 # SKIP no FUSE'", Verdict.SKIPPED),
        ("echo 'ok 1 - a'; echo 1..1", Verdict.SKIPPED),
        ("echo 'not ok 1 - a'; echo 1..1", Verdict.FAILED),
        ("echo 'ok 1 - a'; echo 1..2", Verdict.FAILED),  # cut off
    ],
)
def test_a_skip_owes_no_tap_and_hides_nothing_in_it(
    world: World, tap: str, verdict: Verdict
) -> None:
    assert one(world, f"{tap}; exit 77", report="tap").verdict is verdict


def test_a_skip_matches_no_rule_and_asks_for_none(world: World) -> None:
    expected = (Expectation(reason="a bug", cases=("*iconv*",)),)
    result = one(world, "echo why; exit 77", expect_fail=expected)
    assert (result.verdict, result.unmatched, result.failed_by) == (Verdict.SKIPPED, (), ())


def test_a_timeout_is_no_skip_whatever_it_ends_with(world: World) -> None:
    result = one(world, "trap 'exit 77' TERM; sleep 60", timeout=0.3)
    assert (result.verdict, "timed out" in result.reason) == (Verdict.FAILED, True)


def test_a_setup_cannot_skip(world: World) -> None:
    result = one(world, "true", setup=("echo no; exit 77",))
    assert (result.verdict, result.reason) == (Verdict.FAILED, "setup: exit status 77")


def test_what_setup_said_is_no_reason_of_the_suites(world: World) -> None:
    result = one(world, "exit 77", setup=("echo installing",))
    assert result.reason == "it ended with exit status 77, and said no more"


def test_a_skip_is_a_skip_where_a_failure_was_expected(world: World) -> None:
    result = one(world, "echo why; exit 77", expect_fail=(Expectation(reason="a bug"),))
    assert (result.verdict, result.reason) == (Verdict.SKIPPED, "why")


def test_without_a_skip_status_77_is_a_failure(world: World) -> None:
    assert world.execute(cell("a/s", "exit 77")).cells[0].verdict is Verdict.FAILED


def test_what_a_suite_says_of_its_skip_is_masked_bounded_and_printable(world: World) -> None:
    world.secrets = {"TOKEN": "hunter22"}
    result = one(world, r"printf 'x\033[31m %s %2000d' $TOKEN 0; exit 77")
    assert "hunter22" not in result.reason and "\x1b" not in result.reason
    assert 100 < len(result.reason) <= 500


def test_a_skip_is_an_answer_that_a_resumed_run_need_not_ask_for_again(
    world: World, tmp_path: Path
) -> None:
    world.execute(cell("a/s", "exit 77", skip_status=77))
    with Journal(tmp_path / "journal.jsonl") as journal:
        for event in world.events:
            journal(event)
    assert [r.id for r in finished(tmp_path / "journal.jsonl")] == ["a/s"]


def test_of_several_runs_those_that_skip_are_runs_like_others(world: World) -> None:
    run = "[ $DISTROMATRIX_REPEAT != 2 ] || { echo odd; exit 77; }"
    (result,) = world.execute(cell("a/s", run, skip_status=77), repeat=3).cells
    verdicts = [run.verdict for run in result.runs]
    assert verdicts == [Verdict.PASSED, Verdict.SKIPPED, Verdict.PASSED]
    assert (result.verdict, result.reason) == (Verdict.SKIPPED, "in 1 of 3 runs: odd")


# --- what is not gating --------------------------------------------------------------------


def of(verdict: Verdict, why: str = "", *, unmet: bool = False) -> CellResult:
    return CellResult(id=f"d/{verdict}{why}{unmet}", verdict=verdict, not_gating=why, unmet=unmet)


def test_no_verdict_of_a_cell_that_is_not_gating_changes_that_of_its_run() -> None:
    extra = [of(v, "young", unmet=unmet) for v, unmet in product(Verdict, (False, True))]
    for mix in product(Verdict, repeat=2):
        gating = [of(verdict) for verdict in mix]
        verdict, code = run_verdict(gating)
        told = run_verdict([*gating, *extra])
        assert told[1] == code
        assert told[0] is verdict or (verdict, told[0]) == (Verdict.SKIPPED, Verdict.PASSED)


@pytest.mark.parametrize(
    ("verdict", "said"),
    [
        (Verdict.FAILED, Verdict.SKIPPED),
        (Verdict.ERROR, Verdict.SKIPPED),
        (Verdict.PASSED, Verdict.PASSED),
        (Verdict.XFAILED, Verdict.PASSED),
    ],
)
def test_a_run_of_nothing_that_counts_is_called_passed_only_if_something_passed(
    verdict: Verdict, said: Verdict
) -> None:
    assert run_verdict([of(verdict, "young")]) == (said, 0)


def test_an_interrupted_run_is_an_error_whatever_counts() -> None:
    assert run_verdict([of(Verdict.PASSED, "young")], "SIGINT") == (Verdict.ERROR, 130)


def not_gating(world: World, **options: object) -> RunResult:
    world.images.faults["b"] = ImageError("no such image", phase="image")
    return world.execute(
        cell("a/fuzz", "exit 1", not_gating="young"),
        cell("b/fuzz", not_gating="young"),
        cell("a/need", engine=None, verdict=Verdict.SKIPPED, unmet=True, not_gating="rare"),
        cell("a/good"),
        jobs=1,
        **options,
    )


def test_failures_errors_and_unmet_needs_that_are_not_gating_are_told_and_leave_a_run_green(
    world: World,
) -> None:
    result = not_gating(world)
    assert (result.verdict, result.exit_code) == (Verdict.PASSED, 0)
    found = {r.id: (r.verdict, r.not_gating) for r in result.cells}
    assert found == {
        "a/fuzz": (Verdict.FAILED, "young"),
        "b/fuzz": (Verdict.ERROR, "young"),
        "a/need": (Verdict.SKIPPED, "rare"),
        "a/good": (Verdict.PASSED, ""),
    }


def test_fail_fast_does_not_stop_for_what_is_not_gating(world: World) -> None:
    assert by_id(not_gating(world, fail_fast=True))["a/good"].verdict is Verdict.PASSED


def test_fail_fast_does_not_stop_for_one_of_several_runs_that_is_not_gating(world: World) -> None:
    cells = (cell("a/fuzz", "exit 1", not_gating="young"), cell("a/good"))
    result = world.execute(*cells, jobs=1, repeat=2, fail_fast=True)
    assert [len(r.runs) for r in result.cells] == [2, 2]
    assert result.exit_code == 0


def test_a_journal_is_not_believed_about_what_counts(world: World) -> None:
    result = world.execute(cell("a/s", "exit 1"))
    assert result.exit_code == 1
    lying = [
        replace(event, result=replace(event.result, not_gating="trust me"))
        if hasattr(event, "result")
        else event
        for event in world.events
    ]
    assert [c.not_gating for c in replay(world.plan, lying, world.run).cells] == [""]


def test_a_shard_cannot_say_that_its_failure_does_not_count(tmp_path: Path) -> None:
    world = Shards(tmp_path)
    lie = replace(failed("debian-11/unit", "a", "b"), not_gating="trust me")
    world.leave_all(lie)
    merged = world.merged()
    assert (of_merged(merged)["debian-11/unit"].not_gating, merged.exit_code) == ("", 1)


def test_a_failure_that_the_plan_does_not_count_is_not_counted_in_a_merged_run(
    tmp_path: Path,
) -> None:
    world = Shards(tmp_path)
    cells = (replace(c, not_gating="young" * (c.id == "debian-11/unit")) for c in world.plan.cells)
    world.plan = replace(world.plan, cells=tuple(cells))
    world.leave_all(failed("debian-11/unit", "a", "b"))
    merged = world.merged()
    assert (merged.verdict, merged.exit_code) == (Verdict.PASSED, 0)
    assert of_merged(merged)["debian-11/unit"].not_gating == "young"


def test_a_skip_of_a_suites_own_in_a_shard_is_an_answer(tmp_path: Path) -> None:
    world = Shards(tmp_path)
    skip = CellResult(
        id="debian-11/unit",
        verdict=Verdict.SKIPPED,
        phase=Phase.RUN,
        engine="docker",
        reason="no FUSE",
    )
    for number in (1, 2, 3):  # cut off before their end: what was not run would be an error
        world.leave(number, skip, end=False)
    assert of_merged(world.merged())["debian-11/unit"].reason == "no FUSE"
