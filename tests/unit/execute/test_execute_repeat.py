"""Cells that are run several times, and in an order of a seed's."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from executing import World, by_id, cell

from distromatrix.errors import ImageError
from distromatrix.execute.executor import Executor
from distromatrix.execute.queue.order import in_order
from distromatrix.model import CellResult, Expectation, Flaky, RunResult, Verdict
from distromatrix.record.events import CellFinished, Event, RepeatFinished
from distromatrix.reports.replay import read_run, replay

# fails in every run whose number is odd, in one of its cases
FLAKY = """\
[ $((DISTROMATRIX_REPEAT % 2)) = 0 ] || f='<failure message="odd"/>'
t="<testcase name='x'>$f</testcase><testcase name='y'/>"
echo "<testsuite>$t</testsuite>" >$DISTROMATRIX_JUNIT
[ -z "$f" ]
"""


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


def verdicts(result: CellResult) -> list[Verdict]:
    return [run.verdict for run in result.runs]


def replayed(world: World) -> RunResult:
    return replay(world.plan, world.events, world.run)


def test_a_flaky_case_fails_its_cell_and_is_counted(world: World) -> None:
    result = world.execute(cell("a/s", FLAKY), cell("b/s"), repeat=4)
    first, second = result.cells
    assert (first.verdict, second.verdict, result.exit_code) == (
        Verdict.FAILED,
        Verdict.PASSED,
        1,
    )
    assert first.reason == "in 2 of 4 runs: 1 of 2 cases failed"
    assert first.flaky == (Flaky(case="x", passed=2, failed=2, first=1, message="odd"),)
    assert first.failing == ()
    assert (second.flaky, verdicts(second)) == ((), [Verdict.PASSED] * 4)
    assert replayed(world).cells == result.cells
    assert world.left() == []


def test_every_run_has_a_fresh_machine_a_number_and_a_folder_of_its_own(
    world: World, tmp_path: Path
) -> None:
    leave = "echo $DISTROMATRIX_REPEAT ${DISTROMATRIX_SEED-none}; [ ! -e mark ]; touch mark; "
    leave += "pwd >$DISTROMATRIX_ARTIFACTS/pwd"
    world.execute(cell("a/s", leave), repeat=3)
    said = [(world.run / f"cells/a/s/repeat-{n}/log.txt").read_text() for n in (1, 2, 3)]
    assert said == ["1 none\n", "2 none\n", "3 none\n"]
    pwds = {p.read_text() for p in (world.run / "cells/a/s").glob("repeat-*/artifacts/pwd")}
    assert len(pwds) == 3
    logs = [e.log for e in world.events if isinstance(e, RepeatFinished)]
    assert sorted(logs) == [f"cells/a/s/repeat-{n}/log.txt" for n in (1, 2, 3)]


def test_a_cell_that_is_not_repeated_is_as_ever(world: World) -> None:
    (result,) = world.execute(cell("a/s", "echo $DISTROMATRIX_REPEAT")).cells
    assert (world.run / "cells/a/s/log.txt").read_text() == "1\n"
    assert (result.runs, result.flaky, result.reason) == ((), (), "")
    assert not any(isinstance(e, RepeatFinished) for e in world.events)


def test_every_cell_has_a_first_run_before_any_has_a_second(world: World, tmp_path: Path) -> None:
    note = f"echo $DISTROMATRIX_REPEAT >>{tmp_path}/order"
    world.execute(*(cell(f"a/{n}", note) for n in range(3)), repeat=3, jobs=1)
    assert (tmp_path / "order").read_text().split() == list("111222333")


def test_infrastructure_faults_of_one_run_are_tried_again_and_are_no_flakiness(
    world: World,
) -> None:
    world.faults(gone={"a/*": 1})
    (result,) = world.execute(cell("a/s", "sleep 0.2"), repeat=3, retries=1, jobs=1).cells
    assert (result.verdict, result.attempts, result.flaky) == (Verdict.PASSED, 2, ())
    assert sorted(run.attempts for run in result.runs) == [1, 1, 2]


def test_a_run_that_the_infrastructure_breaks_makes_the_cell_an_error(world: World) -> None:
    world.faults(gone={"a/*": 1})
    result = world.execute(cell("a/s", "sleep 0.2"), repeat=3, retries=0, jobs=1)
    (found,) = result.cells
    assert (found.verdict, result.exit_code, found.flaky) == (Verdict.ERROR, 69, ())
    assert sorted(verdicts(found)) == [Verdict.ERROR, Verdict.PASSED, Verdict.PASSED]


def test_an_image_that_cannot_be_had_is_told_once_for_all_runs(world: World) -> None:
    world.images.faults["a"] = ImageError("no such image")
    result = world.execute(cell("a/s"), cell("b/s"), repeat=5)
    found = by_id(result)
    assert (found["a/s"].verdict, found["a/s"].reason) == (Verdict.ERROR, "no such image")
    assert found["b/s"].verdict is Verdict.PASSED
    assert len(world.images.asked) == 2
    assert sum(isinstance(e, RepeatFinished) for e in world.events) == 5


def test_fail_fast_ends_the_runs_that_are_left(world: World) -> None:
    bad = cell("a/bad", "[ $DISTROMATRIX_REPEAT != 2 ]")
    result = world.execute(bad, cell("a/good"), repeat=50, jobs=1, fail_fast=True)
    found, good = result.cells
    assert found.verdict is Verdict.FAILED
    assert 2 <= len(found.runs) < 10
    assert "of 50 runs were made" in found.reason
    assert good.verdict is Verdict.SKIPPED
    assert "--fail-fast, after a/bad failed" in good.reason
    assert result.exit_code == 1
    assert replayed(world).cells == result.cells


def test_an_interruption_keeps_the_runs_so_far(world: World) -> None:
    def on_event(event: Event, running: Executor) -> None:
        done = sum(isinstance(e, RepeatFinished) for e in world.events)
        if isinstance(event, RepeatFinished) and done == 4:
            running.interrupt("SIGINT")

    world.on_event = on_event
    result = world.execute(cell("a/s", FLAKY), repeat=40, jobs=1)
    (found,) = result.cells
    assert (result.exit_code, found.verdict) == (130, Verdict.FAILED)
    assert 4 <= len(found.runs) < 12
    assert found.flaky[0].case == "x"
    assert "of 40 runs were made" in found.reason
    assert world.left() == []


def test_a_resumed_run_makes_only_the_runs_that_are_missing(world: World, tmp_path: Path) -> None:
    note = f"echo $DISTROMATRIX_CELL $DISTROMATRIX_REPEAT >>{tmp_path}/ran"
    before = [(n, CellResult(id="a/s", verdict=Verdict.FAILED, reason="no")) for n in (1, 3)]
    all_there = [(n, CellResult(id="b/s", verdict=Verdict.PASSED)) for n in (1, 2, 3, 4)]
    result = world.execute(
        cell("a/s", note), cell("b/s", note), repeat=4, repeated=(*before, *all_there)
    )
    assert sorted((tmp_path / "ran").read_text().splitlines()) == ["a/s 2", "a/s 4"]
    first, second = result.cells
    assert first.flaky == (Flaky(case="", passed=2, failed=2, first=1, message="no"),)
    assert (second.verdict, len(second.runs)) == (Verdict.PASSED, 4)
    assert len([e for e in world.events if isinstance(e, CellFinished)]) == 2


def test_an_expected_failure_that_is_flaky_stays_expected(world: World) -> None:
    result = world.execute(
        cell("a/s", FLAKY, expect_fail=(Expectation(reason="a race"),)), repeat=4
    )
    (found,) = result.cells
    assert (found.verdict, result.exit_code) == (Verdict.XFAILED, 0)
    assert [one.case for one in found.flaky] == ["x"]


def test_machines_kept_of_several_runs_are_all_named(world: World) -> None:
    (found,) = world.execute(cell("a/s", FLAKY), repeat=4, keep="failed").cells
    kept = [run.kept.name for run in found.runs if run.kept]
    assert len(kept) == 2
    assert sorted(world.left()) == sorted(kept)


def test_secrets_in_names_of_flaky_cases_are_masked(world: World) -> None:
    world.secrets = {"TOKEN": "hunter22"}
    (found,) = world.execute(cell("a/s", FLAKY.replace("name='x'", "name='&#104;unter22'")),
                             repeat=2).cells  # fmt: skip
    assert found.flaky[0].case == "***"


def test_a_seed_shuffles_the_cells_of_all_images_and_is_handed_in(
    world: World, tmp_path: Path
) -> None:
    note = f"echo $DISTROMATRIX_CELL $DISTROMATRIX_SEED >>{tmp_path}/order"
    cells = [cell(f"{distro}/{n}", note) for distro in "abc" for n in range(4)]
    first = world.images.prepared

    def slowly(distro, *args):  # type: ignore[no-untyped-def]
        time.sleep(0.3 if distro.name == shuffled[0].cell.distro else 0)
        return first(distro, *args)

    shuffled = in_order(cells, 1, 7)
    world.images.prepared = slowly  # type: ignore[method-assign]
    world.execute(*cells, seed=7, jobs=1)
    ran = [line.split() for line in (tmp_path / "order").read_text().splitlines()]
    assert [name for name, _ in ran] == [task.cell.id for task in shuffled]
    assert {seed for _, seed in ran} == {"7"}


def test_every_repetition_has_a_seed_of_its_own(world: World) -> None:
    world.execute(cell("a/s", "echo $DISTROMATRIX_SEED"), repeat=3, seed=2**32 - 2)
    said = [(world.run / f"cells/a/s/repeat-{n}/log.txt").read_text().strip() for n in (1, 2, 3)]
    assert said == [str(2**32 - 2), str(2**32 - 1), "0"]


def test_what_a_run_was_is_read_again_from_its_files(world: World) -> None:
    from distromatrix.plan.file import store_plan
    from distromatrix.record.journal import Journal

    result = world.execute(cell("a/s", FLAKY), repeat=3, seed=5)
    store_plan(world.plan, world.run / "plan.json")
    with Journal(world.run / "journal.jsonl") as write:
        for event in world.events:
            if not isinstance(event, CellFinished):  # as after a kill -9 just before it
                write(event)
    assert read_run(world.run).cells == result.cells
