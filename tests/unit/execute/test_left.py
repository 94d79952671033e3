"""What is left of a job whose hosts may be lost."""

from __future__ import annotations

from distromatrix.execute.queue.left import Left
from distromatrix.execute.queue.order import Task
from distromatrix.model import Cell, CellResult, Verdict

IDS = ("d/a", "d/b")


def cell(name: str) -> Cell:
    distro, suite = name.split("/")
    return Cell(
        id=name,
        distro=distro,
        suite=suite,
        variant=None,
        engine="docker",
        reason="",
        verdict=None,
        run="true",
    )


def result(name: str) -> CellResult:
    return CellResult(id=name, verdict=Verdict.PASSED)


def left(repeat: int = 0, retries: int = 1) -> Left:
    numbers = range(1, repeat + 1) if repeat else (0,)
    tasks = [Task(cell(one), number, None) for one in IDS for number in numbers]
    return Left(tasks, [(1, result("d/c"))], retries)


def test_what_is_done_is_not_left() -> None:
    some = left()
    some.done(result("d/a"), 0)
    assert [one.id for one in some.of(IDS)] == ["d/b"]
    assert not some.has("d/a", 0)
    assert some.has("d/b", 0)


def test_only_runs_that_there_are_can_be_done() -> None:
    some = left(repeat=2)
    assert not any(some.has(*run) for run in (("d/a", 0), ("d/a", 3), ("d/x", 1), ("d/c", 1)))
    some.done(result("d/a"), 2)
    assert [one.id for one in some.of(IDS)] == list(IDS)
    some.done(result("d/a"), 1)
    assert [one.id for one in some.of(IDS)] == ["d/b"]
    assert some.repeated(["d/a"]) == ((2, result("d/a")), (1, result("d/a")))
    assert some.repeated(["d/b"]) == ()


def test_a_lost_host_counts_for_what_had_begun_and_is_not_done() -> None:
    some = left(retries=1)
    some.done(result("d/b"), 0)
    assert some.lose(IDS) == []
    assert (some.attempts("d/a"), some.attempts("d/b")) == (1, 0)
    assert [one.id for one in some.lose(IDS)] == ["d/a"]
    some.drop("d/a")
    assert some.of(IDS) == []
    assert some.lose(IDS) == []
