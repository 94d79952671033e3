"""The shards of a plan become one run; what is lost is told, what is foreign refused."""

import fcntl
import json
from dataclasses import replace
from pathlib import Path

import pytest
from merge_world import CELLS, World, by_id, whole
from report_samples import failed, make_plan, result

from distromatrix.errors import InputError
from distromatrix.model import CellRun, Flaky, Kept, Verdict
from distromatrix.plan.file import WHOLE, read_plan
from distromatrix.record.events import CellFinished, Warned
from distromatrix.reports.files import results_json, write_reports
from distromatrix.reports.replay import read_run, warnings


def refused(world: World, *given: Path, **fields: object) -> list[str]:
    with pytest.raises(InputError) as error:
        world.merged(*given, **fields)  # type: ignore[arg-type]
    return str(error.value).splitlines()


def test_all_shards_are_one_run(world: World) -> None:
    world.leave_all(failed("alpine-3.20/unit", "t::one"))
    merged = world.merged()
    assert [cell.id for cell in merged.cells] == list(CELLS)
    assert {c.id: c.verdict for c in merged.cells if c.verdict is not Verdict.PASSED} == {
        "alpine-3.20/unit": Verdict.FAILED
    }
    assert (merged.verdict, merged.exit_code, merged.interrupted) == (Verdict.FAILED, 1, "")
    assert merged.seconds == 8.0  # of the longest
    assert read_run(merged.folder) == merged
    assert (merged.folder.parent / "latest").resolve() == merged.folder
    for cell in CELLS:
        assert "said in run-" in (merged.folder / "cells" / cell / "log.txt").read_text()


def test_its_plan_is_the_whole_one_for_the_project_here(world: World) -> None:
    world.leave_all()
    plan = read_plan(world.merged().folder / "plan.json")
    assert [cell.id for cell in plan.cells] == list(CELLS)
    assert (plan.root, plan.product.path) == (world.root, world.root)
    assert plan.matrix == world.root / "matrix/default.yaml"


def test_its_files_for_programs_are_those_of_a_run(world: World) -> None:
    world.leave_all(failed("alpine-3.20/unit", "t::one"))
    merged = world.merged()
    plan = read_plan(merged.folder / "plan.json")
    write_reports(merged.folder, plan, merged)
    got = json.loads((merged.folder / "results.json").read_text())
    assert got == results_json(plan, merged)
    assert (got["digest"], len(got["cells"])) == (whole(world.plan).digest, len(CELLS))
    assert "shard" not in got
    assert (merged.folder / "junit.xml").read_text().count("<testsuite ") == len(CELLS)


# --- lost, killed, twice -------------------------------------------------------------------


def test_the_cells_of_a_lost_shard_are_errors(world: World) -> None:
    world.leave(1)
    world.leave(3)
    merged = world.merged()
    lost = {c.id: c.reason for c in merged.cells if c.verdict is Verdict.ERROR}
    assert lost == dict.fromkeys(world.cells_of(2), "shard 2/3 is lost: its job left no run")
    assert (merged.verdict, merged.exit_code) == (Verdict.ERROR, 69)


def test_with_the_plan_even_all_may_be_lost(world: World) -> None:
    merged = world.merged(file=whole(world.plan))
    assert {c.verdict for c in merged.cells} == {Verdict.ERROR}
    assert {c.reason for c in merged.cells} == {"no job left a run: all shards are lost"}
    assert merged.exit_code == 69


def test_a_lost_shard_of_skipped_cells_lost_nothing(world: World) -> None:
    skipped = replace(
        world.plan.cells[0], engine=None, verdict=Verdict.SKIPPED, reason="a rule skips it"
    )
    world.plan = replace(world.plan, cells=(skipped, *world.plan.cells[1:]))
    merged = by_id(world.merged(file=whole(world.plan)))
    assert merged[skipped.id].verdict is Verdict.SKIPPED
    assert merged[skipped.id].reason == "a rule skips it"
    assert merged[CELLS[1]].verdict is Verdict.ERROR


def test_a_shard_without_cells_is_not_missed(world: World) -> None:
    world.of = len(CELLS) + 2
    for number in range(1, len(CELLS) + 1):
        world.leave(number)
    assert world.merged().exit_code == 0


def test_a_journal_cut_in_the_middle_of_a_line_keeps_what_is_before(world: World) -> None:
    world.leave(1)
    world.leave(3)
    folder = world.leave(2, end=False)
    journal = folder / "journal.jsonl"
    lines = journal.read_bytes().splitlines(keepends=True)
    journal.write_bytes(b"".join(lines[:-1]) + lines[-1][:40])
    first, second = world.cells_of(2)
    merged = by_id(world.merged())
    assert merged[first].verdict is Verdict.PASSED
    assert merged[second].verdict is Verdict.ERROR
    assert merged[second].reason.startswith("shard 2/3 ended before its verdict")


def test_an_interrupted_shard_leaves_errors_and_not_skipped_cells(world: World) -> None:
    first, second = world.cells_of(1)
    cut = result(second, Verdict.SKIPPED, reason="not run: interrupted")
    world.leave(1, cut, interrupted="SIGTERM")
    world.leave(2)
    world.leave(3)
    merged = world.merged()
    assert by_id(merged)[first].verdict is Verdict.PASSED
    assert by_id(merged)[second].verdict is Verdict.ERROR
    assert by_id(merged)[second].reason == "shard 1/3 was interrupted (SIGTERM) before its verdict"
    assert merged.exit_code == 69


def test_what_fail_fast_left_out_stays_skipped(world: World) -> None:
    first, second = world.cells_of(1)
    why = f"not run: --fail-fast, after {first} failed"
    world.leave(1, failed(first), result(second, Verdict.SKIPPED, reason=why))
    world.leave(2)
    world.leave(3)
    merged = world.merged()
    assert (by_id(merged)[second].verdict, by_id(merged)[second].reason) == (Verdict.SKIPPED, why)
    assert merged.exit_code == 1


def test_a_folder_that_was_killed_before_its_first_word_is_lost(world: World) -> None:
    world.leave(1)
    world.leave(3)
    (world.jobs / "job-2" / "run-2").mkdir(parents=True)
    (world.jobs / "job-2" / "run-2" / "lock").touch()
    assert world.warnings() == ("project/jobs/job-2/run-2: was killed before it began: left out",)
    assert by_id(world.merged())[world.cells_of(2)[0]].reason.startswith("shard 2/3 is lost")


def test_a_shard_that_has_only_its_plan_began_no_cell(world: World) -> None:
    world.leave_all()
    (world.jobs / "job-2/run-2/journal.jsonl").unlink()
    reasons = {by_id(world.merged())[cell].reason for cell in world.cells_of(2)}
    assert reasons == {"shard 2/3 ended before it began a cell: its job was killed"}


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b'{"version": 1}', b"\xff\xfe", b"[" * 9999])
def test_a_broken_plan_file_makes_its_shard_lost_and_is_told(world: World, content: bytes) -> None:
    world.leave_all()
    (world.jobs / "job-2/run-2" / WHOLE).write_bytes(content)
    (warning,) = world.warnings()
    assert warning.startswith(f"{world.jobs}/job-2/run-2/whole.json: ")
    assert warning.endswith(": left out")
    merged = world.merged()
    assert by_id(merged)[world.cells_of(2)[0]].reason.startswith("shard 2/3 is lost")
    assert merged.exit_code == 69


def test_a_plan_file_that_was_changed_is_not_believed(world: World) -> None:
    world.leave_all()
    path = world.jobs / "job-2/run-2" / WHOLE
    found = json.loads(path.read_text())
    found["cells"] = found["cells"][1:]
    path.write_text(json.dumps(found))
    (warning,) = world.warnings()
    assert "digest mismatch" in warning


@pytest.mark.parametrize("shard", ["0/3", "4/3", "9/9/9", "////"])
def test_a_shard_that_there_cannot_be_is_left_out_and_told(world: World, shard: str) -> None:
    world.leave_all()
    path = world.jobs / "job-2/run-2" / WHOLE
    path.write_text(path.read_text().replace('"shard": "2/3"', f'"shard": "{shard}"'))
    (warning,) = world.warnings()
    assert "has a wrong `shard`" in warning
    assert by_id(world.merged())[world.cells_of(2)[0]].reason.startswith("shard 2/3 is lost")


def test_of_a_shard_that_ran_again_the_later_counts(world: World) -> None:
    cell = world.cells_of(2)[0]
    world.leave_all(failed(cell, "t::flaky"))
    world.leave(2, name="again", time=5000.0)
    merged = world.merged()
    assert by_id(merged)[cell].verdict is Verdict.PASSED
    assert "said in again" in (merged.folder / "cells" / cell / "log.txt").read_text()
    said = "shard 2/3 ran 2 times: the last counts, project/jobs/job-again/again"
    assert world.warnings() == (said,)
    assert warnings(merged.folder) == (said,)


def test_one_run_that_lies_there_twice_is_one(world: World) -> None:
    world.leave_all()
    for file in (world.jobs / "job-1/run-1").rglob("*"):
        copy = world.jobs / "job-1/latest" / file.relative_to(world.jobs / "job-1/run-1")
        copy.parent.mkdir(parents=True, exist_ok=True)
        if file.is_file():
            copy.write_bytes(file.read_bytes())
    assert world.warnings() == ()
    assert world.merged().exit_code == 0


def test_merging_twice_gives_the_same_and_leaves_the_first_out(world: World) -> None:
    world.leave_all(failed("alpine-3.20/unit", "t::one"))
    first = world.merged()
    second = world.merged(world.root)
    assert second.cells == first.cells
    assert second.run != first.run
    assert any("is itself a merged run" in text for text in warnings(second.folder))


# --- foreign -------------------------------------------------------------------------------


def test_shards_of_another_plan_are_refused_with_both_digests(world: World) -> None:
    world.leave(1)
    mine = whole(world.plan)
    world.plan = make_plan(*CELLS[1:], root=world.root)
    world.leave(2)
    theirs = whole(world.plan)
    mark, other = (d.removeprefix("sha256:")[:12] for d in (mine.digest, theirs.digest))
    assert refused(world, file=mine) == [
        f"project/jobs/job-2/run-2: is of plan {other}, not of {mark}"
    ]
    assert refused(world) == [
        f"project/jobs/job-1/run-1: is of plan {mark} (there are 2 plans here)",
        f"project/jobs/job-2/run-2: is of plan {other} (there are 2 plans here)",
    ]
    assert not (world.root / ".distromatrix").exists()


def test_shards_of_another_number_are_refused(world: World) -> None:
    world.leave(1)
    world.of = 2
    world.leave(2)
    assert len(refused(world)) == 2
    assert "is shard 1/3, and others are of another number of shards" in refused(world)[0]


def test_a_plain_run_is_no_shard(world: World) -> None:
    world.leave_all()
    plain = world.leave(1, name="plain")
    (plain / WHOLE).unlink()
    assert "is not a shard: it was run without --plan" in refused(world, plain)[0]
    (warning,) = world.warnings()
    assert "is not a shard" in warning
    assert world.merged().exit_code == 0


def test_a_run_that_is_alive_is_not_merged(world: World) -> None:
    world.leave_all()
    with (world.jobs / "job-2/run-2/lock").open() as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        assert refused(world) == [
            "project/jobs/job-2/run-2: this run is still running: wait for its end"
        ]
    assert world.merged().exit_code == 0


def test_nothing_to_merge_is_told(world: World) -> None:
    assert refused(world) == [
        "no run folder of a shard here: `run --plan FILE --shard K/N` makes one"
    ]
    assert refused(world, world.root / "none") == ["project/none: no such folder"]


def test_results_of_cells_of_other_shards_do_not_count(world: World) -> None:
    (theirs, _) = world.cells_of(2)
    world.leave(1, more=[CellFinished(result=failed(theirs, "t::no"))])
    world.leave(2)
    world.leave(3)
    merged = world.merged()
    assert by_id(merged)[theirs].verdict is Verdict.PASSED
    assert warnings(merged.folder) == (
        "shard 1/3: not counted: 1 results of cells that are not its own",
    )


# --- what a run can say --------------------------------------------------------------------


def test_warnings_of_shards_are_kept_once(world: World) -> None:
    for number in (1, 2, 3):
        world.leave(number, more=[Warned(text="debian-11 is past its end of life")])
    assert warnings(world.merged().folder) == ("debian-11 is past its end of life",)


def test_unmet_needs_fail_the_whole_as_they_failed_the_shard(world: World) -> None:
    cell = world.cells_of(1)[0]
    unmet = replace(result(cell, Verdict.SKIPPED, reason="no gpu"), engine=None, unmet=True)
    world.leave(1, unmet)
    world.leave(2)
    world.leave(3)
    assert world.merged().exit_code == 1


def test_unmet_needs_that_the_shard_was_allowed_are_no_failure(world: World) -> None:
    cell = world.cells_of(1)[0]
    unmet = replace(result(cell, Verdict.SKIPPED, reason="no gpu"), engine=None, unmet=True)
    world.leave(1, unmet, exit_code=0)
    world.leave(2)
    world.leave(3)
    assert world.merged().exit_code == 0


@pytest.mark.parametrize("exit_code", [0, 1])
def test_what_was_flaky_fails_the_whole_if_it_failed_its_shard(
    world: World, exit_code: int
) -> None:
    flaky = (Flaky(case="t::a", passed=1, failed=1, first=1),)
    again = (CellRun(repeat=1, verdict=Verdict.PASSED), CellRun(repeat=9, verdict=Verdict.PASSED))
    world.plan = replace(
        world.plan, cells=tuple(replace(c, retry_failed=2) for c in world.plan.cells)
    )
    cell = world.cells_of(1)[0]
    world.leave(1, replace(result(cell), flaky=flaky, retries=again), exit_code=exit_code)
    world.leave(2)
    world.leave(3)
    merged = world.merged()
    assert merged.exit_code == exit_code
    (one,) = (c for c in merged.cells if c.flaky)
    assert [run.repeat for run in one.retries] == [1]  # never was there a ninth


def test_machines_that_were_kept_on_a_runner_are_not_offered(world: World) -> None:
    cell = world.cells_of(1)[0]
    kept = Kept(name="x", enter="docker exec x", remove="docker rm x")
    world.leave(1, failed(cell, "t::a", kept=kept))
    world.leave(2)
    world.leave(3)
    assert by_id(world.merged())[cell].kept is None
