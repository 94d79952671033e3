"""What a cell writes to its disk is bounded: it is looked at, and ended where it is too much."""

from __future__ import annotations

from pathlib import Path

import pytest
from executing import World, cell

from distromatrix.execute.cell import disk_watch
from distromatrix.execute.cell.disk_watch import Allowance
from distromatrix.model import CellResult, Expectation, Verdict
from distromatrix.record.verdicts import size_of

MIB = 1024**2


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    monkeypatch.setattr(disk_watch, "_LEAST", 0.0)  # each look is due
    monkeypatch.setattr(disk_watch, "_TIMES", 0)
    monkeypatch.setattr(disk_watch, "_SPEED", 1 << 50)
    monkeypatch.setattr(disk_watch, "TICK", 0.05)
    return World(tmp_path)


WRITE = "echo a >$DISTROMATRIX_ARTIFACTS/a; head -c 3000000 /dev/urandom >big; "


def the_cell(world: World, run: str, **more: object) -> CellResult:
    return world.execute(cell("a/s", run, disk=MIB, **more)).cells[0]


@pytest.mark.parametrize(
    ("then", "reason"),
    [
        ("sleep 300", "exit status 137 (SIGKILL); wrote more than its disk: 1M"),
        ("exit 0", "wrote more than its disk: 1M"),
        ("exit 3", "exit status 3; wrote more than its disk: 1M"),
    ],
)
def test_who_writes_more_than_its_disk_has_failed_whatever_is_expected(
    world: World, then: str, reason: str
) -> None:
    expected = (Expectation(reason="known", kinds=("setup", "run", "timeout")),)
    result = the_cell(world, WRITE + then, expect_fail=expected, retry_failed=1)
    assert result.verdict is Verdict.FAILED
    # It may have been ended before it came to its end.
    assert result.reason in (reason, "exit status 137 (SIGKILL); wrote more than its disk: 1M")
    assert (world.run / "cells/a/s/artifacts/a").read_text() == "a\n"
    assert len([e for e in world.events if type(e).__name__ == "CellStarted"]) == 1


def test_who_stays_within_has_not(world: World) -> None:
    assert the_cell(world, "head -c 100000 /dev/urandom >small").verdict is Verdict.PASSED


class Written:
    """As much as is said of a machine."""

    def __init__(self) -> None:
        self.used: int | None = 0
        self.looks = 0
        self.killed = ""

    def disk_used(self) -> int | None:
        self.looks += 1
        return self.used

    def kill(self, why: str = "") -> None:
        self.killed = why


@pytest.fixture
def now(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    seconds = [0.0]
    monkeypatch.setattr(disk_watch.time, "monotonic", lambda: seconds[0])
    return seconds


def test_a_machine_is_looked_at_each_second_and_ended_where_it_is_too_much(
    now: list[float],
) -> None:
    machine = Written()
    allowance = Allowance(machine, 10 * MIB)  # type: ignore[arg-type]
    for at, looks in ((0.5, 0), (1.1, 1), (1.5, 1), (2.2, 2)):
        now[0] = at
        allowance.look()
        assert machine.looks == looks
    now[0], machine.used = 4.0, 10 * MIB + 1
    allowance.look()
    assert machine.killed == allowance.over == "wrote more than its disk: 10M"
    now[0] = 9.0
    allowance.look()
    assert machine.looks == 3


def test_at_its_end_it_is_looked_at_where_there_was_time_to_write_too_much(
    now: list[float],
) -> None:
    small, big = Written(), Written()
    allowances = [
        Allowance(small, 64 * MIB),  # type: ignore[arg-type]
        Allowance(big, 10 * 1024 * MIB),  # type: ignore[arg-type]
    ]
    now[0] = 0.1
    for allowance in allowances:
        allowance.look(last=True)
    assert (small.looks, big.looks) == (1, 0)
    now[0] = 1.3
    allowances[1].look(last=True)
    assert big.looks == 1


def test_what_takes_long_to_measure_is_measured_less_often(now: list[float]) -> None:
    class Slow(Written):
        def disk_used(self) -> int | None:
            now[0] += 0.1
            return super().disk_used()

    allowance = Allowance(machine := Slow(), MIB)  # type: ignore[arg-type]
    now[0] = 2.0
    allowance.look()
    now[0] = 7.0
    allowance.look()
    assert machine.looks == 1
    now[0] = 7.2
    allowance.look()
    assert machine.looks == 2


@pytest.mark.parametrize(
    ("size", "words"), [(10 << 30, "10G"), (64 << 20, "64M"), (3 << 29, "1.5G")]
)
def test_sizes_are_told_as_a_matrix_has_them(size: int, words: str) -> None:
    assert size_of(size) == words
