"""How items are spread over pytest-xdist's workers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from random import Random
from typing import Any

import pytest
from xdist.remote import Producer
from xdist.scheduler import LoadScheduling
from xdist_world import World, name_of

from distromatrix.testing.schedule.durations import ItemDurations
from distromatrix.testing.schedule.scheduling import LongestFirst, deal

Make = Callable[[Any], Any]
MATRIX = "matrix/default.yaml"
QUIET = Producer("test", enabled=False)


def longest_first(expected: Sequence[float], cells: int = 0, measured: bool = True) -> Make:
    """Makes the scheduler; the first `cells` items are cells."""
    known = {named(i, cells): seconds for i, seconds in enumerate(expected)} if measured else {}
    return lambda config: LongestFirst(config, QUIET, ItemDurations(known, MATRIX))


def named(item: int, cells: int) -> str:
    return f"{MATRIX}::distro-{item}/unit" if item < cells else name_of(item)


def session(
    seconds: Sequence[float], workers: int, *, cells: int = 0, make: Make | None = None, **kw: Any
) -> World:
    world = World(seconds, workers, make or longest_first(seconds, cells), **kw)
    world.names = [named(i, cells) for i in range(len(seconds))]
    return world


def loaded(seconds: Sequence[float], workers: int) -> World:
    return World(seconds, workers, lambda config: LoadScheduling(config, QUIET))


MIXES = {
    "cells and many short tests": ([40, 35, 30, 28, 9, 8, 7, 6] + [0.002] * 1500, 8),
    "one cell longer than all else": ([120.0] + [10.0] * 6 + [0.01] * 300, 7),
    "cells alone": ([float(s) for s in range(31, 60)], 29),
    "one cell longer than the other cells together": ([100.0] + [5.0] * 5, 6),
    "tests alone, a long one last": ([0.05] * 400 + [20.0], 0),
    "tests alone": ([0.1 + (i * 7 % 13) / 10 for i in range(300)], 0),
    "fewer items than workers": ([3.0, 2.0], 1),
    "one item": ([1.0], 0),
}


@pytest.mark.parametrize("workers", [1, 2, 3, 8])
@pytest.mark.parametrize("mix", MIXES)
def test_every_item_runs_once_and_the_end_is_even(mix: str, workers: int) -> None:
    seconds, cells = MIXES[mix]
    world = session(seconds, workers, cells=cells)
    end = world.run()
    assert sorted(world.ran) == list(range(len(seconds)))
    least = max(*seconds, sum(seconds) / workers)
    # Longest first is never worse than 4/3 of the best (Graham 1969); messages cost a little.
    assert end <= least * 4 / 3 + 0.5


def test_the_longest_is_not_begun_last() -> None:
    """What pytest-xdist's own does where the cells' file comes last, as `tests` after `matrix`
    would: a known distribution, in made-up time."""
    random = Random(7)
    seconds = [0.05] * 300 + [random.uniform(5, 60) for _ in range(24)]
    ours = session(seconds, 4).run()
    theirs = loaded(seconds, 4).run()
    least = sum(seconds) / 4
    assert ours < least * 1.03
    assert theirs > least * 1.15


def test_many_short_items_do_not_cost_a_message_each() -> None:
    for make in (longest_first([0.002] * 1500), longest_first([], measured=False)):
        world = session([0.002] * 1500, 2, make=make)
        assert world.run() < 1.75
        assert world.messages < 60


@pytest.mark.parametrize(("items", "workers"), [(3, 3), (8, 8), (9, 8), (12, 4)])
def test_few_items_that_were_never_measured_go_to_all_workers(items: int, workers: int) -> None:
    """They may take much longer than was supposed."""
    seconds = [20.0] * items
    world = session(seconds, workers, make=longest_first([], measured=False))
    assert world.run() < 20 * -(-items // workers) + 1


def test_short_items_keep_their_neighbours() -> None:
    """pytest has ordered them so that fixtures are made once."""
    world = session([0.01] * 1000, 4)
    world.run()
    breaks = sum(
        b != a + 1
        for worker in world.workers
        for a, b in zip(worker.ran, worker.ran[1:], strict=False)
    )
    assert breaks < 40


def test_what_waits_behind_an_item_that_takes_longer_than_expected_is_handed_elsewhere() -> None:
    seconds = [0.01] * 200
    seconds[3] = 60.0
    world = session(seconds, 2, make=longest_first([0.01] * 200))
    world.run()
    stuck = world.workers[0] if 3 in world.workers[0].ran else world.workers[1]
    assert any(stuck.stolen)
    at = stuck.ran.index(3)
    assert len(stuck.ran) == at + 2  # it, and the next one, which a worker cannot give back
    late = [item for item, end in world.completed.items() if end > 10]
    assert sorted(late) == sorted(stuck.ran[at:])


def test_a_worker_with_the_longest_cell_begins_with_no_second_one() -> None:
    durations = ItemDurations(dict(zip("abcdef", [100.0, 5, 5, 5, 5, 5], strict=True)))
    assert deal("abcdef", durations, 2) == [[0], [1, 2, 3, 4, 5]]


def test_a_short_test_stands_before_each_of_a_workers_last_two_long_ones() -> None:
    """A worker cannot give back the item that is next."""
    durations = ItemDurations({**{f"long {n}": 10.0 - n for n in range(4)}, "short": 0.01})
    names = [f"long {n}" for n in range(4)] + ["short"] * 4
    assert deal(names, durations, 1) == [[0, 1, 5, 2, 4, 3, 6, 7]]


class Noted(list[int]):
    """When items were begun."""

    def __init__(self, world: World, begun: dict[int, float]) -> None:
        self.world, self.begun = world, begun

    def append(self, item: int) -> None:
        self.begun[item] = self.world.now
        super().append(item)


@pytest.mark.parametrize("when", [0.5, 5.0, 39.0])
def test_a_worker_that_dies_loses_the_item_it_ran_and_no_other(when: float) -> None:
    seconds = [20.0] * 4 + [0.05] * 100
    world = session(seconds, 2, cells=4)
    victim = world.workers[0]
    running: list[int] = []

    def kill() -> None:
        assert victim.running is not None
        running.append(victim.running)
        world.kill(victim)

    world.at(when, kill)
    world.run()
    assert world.crashed == [named(running[0], 4)]
    assert sorted({*world.completed, *running}) == list(range(104))
    assert len(world.ran) == 104  # nothing twice


def test_without_a_replacement_the_others_do_the_rest() -> None:
    world = session([1.0] * 40, 4)
    world.at(3.2, lambda: world.kill(world.workers[1], replace=False))
    world.run()
    assert len(world.crashed) == 1
    assert len(world.completed) == 39


def test_while_there_are_many_long_items_short_ones_are_not_torn_apart() -> None:
    """One behind each cell would have its fixtures made anew each time."""
    seconds = [10.0] * 60 + [0.05] * 100
    world = session(seconds, 2, cells=60)
    world.run()
    for worker in world.workers:
        last = max(at for at, item in enumerate(worker.ran) if item < 60)
        assert sum(item >= 60 for item in worker.ran[:last]) < 5


def test_a_worker_that_comes_late_gets_work() -> None:
    world = session([1.0] * 60, 2)
    late = world.begin_worker(delay=5.0)
    end = world.run()
    assert len(late.ran) > 10
    assert end < 25
    assert sorted(world.ran) == list(range(60))


def test_when_the_session_is_stopped_only_what_cannot_be_withdrawn_still_runs() -> None:
    world = session([0.5] * 200, 2)
    world.at(3.2, world.end)
    world.run()
    after = [item for item, end in world.completed.items() if end > 3.2]
    assert len(after) <= 6


def test_nothing_collected_is_nothing_to_do() -> None:
    assert session([], 3).run() == 0.0


def test_all_is_deterministic() -> None:
    seconds = [float(i % 7) + 0.01 for i in range(90)]
    first, second = session(seconds, 3, cells=9), session(seconds, 3, cells=9)
    assert first.run() == second.run()
    assert [w.ran for w in first.workers] == [w.ran for w in second.workers]
