"""What shards say of the same cell, file or fact, joined."""

import json
from dataclasses import replace

from merge_world import World, by_id, repeat, whole

from distromatrix.collect.facts import add_facts, read_facts
from distromatrix.model import Facts, Shard, Verdict
from distromatrix.plan.file import WHOLE, save_plan
from distromatrix.reports.replay import warnings


def test_repeated_cells_are_joined_from_their_runs(world: World) -> None:
    world.repeating(2)
    for number in (1, 2, 3):
        cells = world.cells_of(number)
        world.leave(number, more=[repeat(cell, n) for cell in cells for n in (1, 2)])
    merged = world.merged()
    assert {len(cell.runs) for cell in merged.cells} == {2}
    assert merged.exit_code == 0


def test_a_repeated_cell_that_was_cut_off_is_an_error(world: World) -> None:
    world.repeating(2)
    for number in (1, 2, 3):
        cells = world.cells_of(number)
        runs = [repeat(cell, n) for cell in cells for n in (1, 2)]
        world.leave(number, more=runs[:3] if number == 2 else runs, end=number != 2)
    merged = world.merged()
    cell = by_id(merged)[world.cells_of(2)[1]]
    assert cell.verdict is Verdict.ERROR
    assert "shard 2/3 ended before its verdict" in cell.reason
    assert len(cell.runs) == 1


def test_a_shard_on_another_machine_may_be_run_whole(world: World) -> None:
    world.of = 1
    world.leave(1)
    assert world.merged().exit_code == 0


def test_links_are_used_where_they_can_be(world: World) -> None:
    world.leave_all()
    merged = world.merged()
    cell = world.cells_of(1)[0]
    here, there = (
        (folder / "cells" / cell / "log.txt").stat()
        for folder in (merged.folder, world.jobs / "job-1/run-1")
    )
    assert here.st_ino == there.st_ino


def test_the_shard_of_a_file_is_kept_by_no_merged_run(world: World) -> None:
    world.leave_all()
    found = json.loads((world.merged().folder / WHOLE).read_text())
    assert "shard" not in found
    save_plan(replace(whole(world.plan), shard=Shard(1, 3)), world.root / "s.json")
    assert json.loads((world.root / "s.json").read_text())["shard"] == "1/3"


def test_shards_of_different_sources_are_told_as_that(world: World) -> None:
    for number, snapshot in ((1, "sha256:a"), (2, "sha256:a"), (3, "sha256:b")):
        world.leave(number, snapshot=snapshot)
    (said,) = warnings(world.merged().folder)
    assert "not all shards tested the same files of the product: 1/3, 2/3 | 3/3 differ" in said


def test_shards_of_the_same_sources_need_no_word(world: World) -> None:
    for number in (1, 2, 3):
        world.leave(number, snapshot="sha256:a")
    assert warnings(world.merged().folder) == ()


def test_the_facts_of_a_shards_own_cells_come_along(world: World) -> None:
    folder = world.leave(1)
    own, other = world.cells_of(1)[0], world.cells_of(2)[0]
    add_facts(folder, {own: Facts(libc="musl"), other: Facts(libc="another's claim")})
    (folder / "facts" / "void.json").symlink_to("/etc/passwd")
    world.leave(2)
    world.leave(3)
    assert read_facts(world.merged().folder) == {own: Facts(libc="musl")}
