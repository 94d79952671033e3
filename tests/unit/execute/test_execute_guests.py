"""Containers and guests in one run: each cell on the engine that the plan chose for it."""

from __future__ import annotations

import os
import time
from pathlib import Path
from threading import Lock

import pytest
from executing import World, by_id, cell

from distromatrix.engines import Engines
from distromatrix.engines.contract import MachineSpec, Stage
from distromatrix.errors import EngineUnavailableError, ImageError
from distromatrix.execute import executor
from distromatrix.execute import workers as crew
from distromatrix.model import Need, Verdict
from distromatrix.plan.needs import GUESTS
from distromatrix.record.events import CellProgress, RunStarted
from fake_engine.engine import FakeEngine
from fake_engine.machine import FakeMachine


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


def log(world: World, id: str) -> str:
    return (world.run / "cells" / id / "log.txt").read_text()


SAYS = "echo on $DISTROMATRIX_ENGINE in $PWD with $(cat hello)"


def test_every_cell_runs_on_its_own_engine_with_the_product(world: World) -> None:
    result = world.execute(
        cell("a/plain", SAYS),
        cell("a/kernel", SAYS, engine="qemu"),
        cell("a/init", SAYS, engine="vagrant"),
    )
    assert {r.id: (r.verdict, r.engine) for r in result.cells} == {
        "a/plain": (Verdict.PASSED, "fake"),
        "a/kernel": (Verdict.PASSED, "qemu"),
        "a/init": (Verdict.PASSED, "vagrant"),
    }
    state = world.folder / "engine"
    assert f"on qemu in {state}/qemu/machines/" in log(world, "a/kernel")
    assert f"on vagrant in {state}/vagrant/machines/" in log(world, "a/init")
    assert "with hello" in log(world, "a/kernel")
    assert world.left() == []


def test_guests_have_an_image_of_their_own_on_top_of_the_containers(world: World) -> None:
    world.execute(cell("a/plain"), cell("a/kernel", engine="qemu"), cell("b/k", engine="qemu"))
    assert sorted(world.images.asked) == ["a/kernel", "a/plain", "b/k"]
    assert sorted(world.images.guests) == ["a/kernel", "b/k"]


def test_the_run_says_which_engines_it_uses(world: World) -> None:
    world.execute(cell("a/plain"), cell("a/kernel", engine="qemu"))
    started = next(e for e in world.events if isinstance(e, RunStarted))
    assert started.engine == "Fake 1 (API 1), qemu"


def test_what_opening_a_guest_takes_is_told_and_is_the_cells_time(world: World) -> None:
    world.guest_faults("qemu", open_seconds=0.4)
    found = by_id(world.execute(cell("a/plain"), cell("a/kernel", engine="qemu")))
    told = [(e.cell, e.text) for e in world.events if isinstance(e, CellProgress)]
    assert told == [("a/kernel", "restored")]
    assert found["a/kernel"].seconds >= 0.4


def test_an_engine_of_guests_is_opened_when_a_cell_wants_it(world: World) -> None:
    asked: list[str] = []

    def refuse(name: str, containers: object) -> None:
        asked.append(name)
        raise EngineUnavailableError("no such thing", transient=False)

    world.engines = Engines(world.engine, refuse)  # type: ignore[arg-type]
    result = by_id(world.execute(cell("a/plain"), cell("a/init", engine="vagrant")))
    assert result["a/plain"].verdict is Verdict.PASSED
    assert (result["a/init"].verdict, result["a/init"].engine) == (Verdict.ERROR, "vagrant")
    assert "no such thing" in result["a/init"].reason
    assert set(asked) == {"vagrant"}


def test_a_guest_engine_that_goes_away_takes_only_its_own_cells(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(crew, "BACK_WITHIN", 0.6)
    world.guest_faults("qemu", unavailable=True)
    result = world.execute(
        cell("a/plain", "sleep 1.5"),
        cell("a/kernel", engine="qemu"),
        cell("b/kernel", engine="qemu"),
        cell("a/init", engine="vagrant"),
    )
    found = by_id(result)
    for id in ("a/kernel", "b/kernel"):
        assert found[id].verdict is Verdict.ERROR
        assert "unavailable" in found[id].reason
    assert found["a/plain"].verdict is found["a/init"].verdict is Verdict.PASSED
    assert result.exit_code == 69
    assert world.left() == []


def test_a_guests_image_that_cannot_be_made_is_no_fault_of_containers(world: World) -> None:
    def fail(*_: object) -> None:
        raise ImageError("no package linux", phase="packages")

    world.images.guest = fail  # type: ignore[method-assign,assignment]
    found = by_id(world.execute(cell("a/plain"), cell("a/kernel", engine="qemu")))
    assert found["a/plain"].verdict is Verdict.PASSED
    assert found["a/kernel"].verdict is Verdict.ERROR
    assert found["a/kernel"].reason == "no package linux"


def test_a_guest_that_breaks_is_tried_again_and_a_failure_in_it_is_not(
    world: World, tmp_path: Path
) -> None:
    world.guest_faults("qemu", gone={"a/s": 1})
    count = tmp_path / "count"
    result = by_id(
        world.execute(
            cell("a/s", "sleep 0.3", engine="qemu"),
            cell("b/s", f"echo x >>{count}; exit 1", engine="qemu"),
        )
    )
    assert (result["a/s"].verdict, result["a/s"].attempts) == (Verdict.PASSED, 2)
    assert result["b/s"].verdict is Verdict.FAILED
    assert count.read_text() == "x\n"


def test_a_kernel_that_is_too_old_skips_the_cell_before_its_suite(world: World) -> None:
    new = (Need(name="own-kernel", version=">=999"),)
    old = (Need(name="own-kernel", version=">=2.6"),)
    host = (Need(name="kernel", version=">=999"),)
    result = world.execute(
        cell("a/s", "echo it ran", engine="qemu", needs=new),
        cell("b/s", "echo it ran", engine="qemu", needs=old),
        cell("c/s", "echo it ran", needs=host),  # an engine on another host than the plan's
    )
    found = by_id(result)
    assert (found["a/s"].verdict, found["a/s"].unmet) == (Verdict.SKIPPED, True)
    release = os.uname().release
    assert found["a/s"].reason == (
        f"needs own-kernel >=999, and the kernel of its guest is {release}"
    )
    assert found["c/s"].reason == (
        f"needs kernel >=999, and the kernel of its container is {release}"
    )
    for id in ("a/s", "c/s"):
        assert "it ran" not in log(world, id)
    assert found["b/s"].verdict is Verdict.PASSED
    assert result.exit_code == 1
    assert world.left() == []


def test_memory_and_cpus_are_shared_by_containers_and_guests(world: World, tmp_path: Path) -> None:
    half = {"memory": os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") * 6 // 10}
    alone = f'test ! -e "{tmp_path}/busy"; touch "{tmp_path}/busy"; sleep 0.4; rm "{tmp_path}/busy"'
    result = world.execute(
        cell("a/plain", alone, **half), cell("a/kernel", alone, engine="qemu", **half)
    )
    assert [r.verdict for r in result.cells] == [Verdict.PASSED, Verdict.PASSED]


def test_an_interruption_ends_guests_too(world: World) -> None:
    from distromatrix.record.events import CellPhase

    def interrupt(event: object, executor: object) -> None:
        if isinstance(event, CellPhase):
            executor.interrupt("SIGINT")  # type: ignore[attr-defined]

    world.on_event = interrupt  # type: ignore[assignment]
    result = world.execute(cell("a/kernel", "sleep 60", engine="qemu"))
    assert (result.exit_code, world.left()) == (130, [])


def test_a_disk_that_a_guest_has_filled_is_its_suites_failure_and_a_shared_one_is_none(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(FakeMachine, "disk_free", lambda _: 1024)
    cells = (cell("a/plain", "exit 1"), cell("a/kernel", "exit 1", engine="qemu"))
    found = by_id(world.execute(*cells))
    assert found["a/plain"].verdict is Verdict.ERROR
    assert "the engine's disk is full" in found["a/plain"].reason
    assert found["a/kernel"].verdict is Verdict.FAILED
    assert "--- the guest's disk is full: 1 KiB left" in log(world, "a/kernel")


def test_guests_never_have_more_memory_open_together_than_there_is(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    gib, open_now, most = 2**30, [0], [0]
    lock = Lock()
    made, closed = FakeEngine.open, FakeMachine.close

    def count(of: int) -> None:
        with lock:
            open_now[0] += of
            most[0] = max(most[0], open_now[0])

    def open_(engine: FakeEngine, spec: MachineSpec, stage: Stage | None = None) -> FakeMachine:
        count(spec.memory)
        return made(engine, spec, stage)

    def close(machine: FakeMachine) -> None:
        time.sleep(0.1)  # its memory is not free before it is gone
        closed(machine)
        count(-machine.address.memory)

    monkeypatch.setattr(FakeEngine, "open", open_)
    monkeypatch.setattr(FakeMachine, "close", close)
    monkeypatch.setattr(executor, "free_memory", lambda: 5 * gib)
    cells = [cell(f"d{n}/s", "sleep 0.05", engine=GUESTS[n % 2], memory=2 * gib) for n in range(8)]
    result = world.execute(*cells, jobs=8)
    assert [r.verdict for r in result.cells] == [Verdict.PASSED] * 8
    assert most[0] == 4 * gib
    assert open_now[0] == 0


def test_a_suites_timeout_counts_as_often_as_its_machine_is_slow(world: World) -> None:
    world.guest_faults("qemu", scale=4.0)
    found = by_id(
        world.execute(
            cell("a/slow", "sleep 1.2", engine="qemu", timeout=0.5),
            cell("b/hangs", "exec sleep 60", engine="qemu", timeout=0.25),
            cell("c/here", "exec sleep 60", timeout=0.5),
        )
    )
    assert found["a/slow"].verdict is Verdict.PASSED
    said = "timed out after 1 s (0.25 s, which count 4 times under emulation), running: sleep 60"
    assert found["b/hangs"].verdict is Verdict.FAILED
    assert found["b/hangs"].reason.startswith(said)
    assert "timed out after 1 s (0.25 s, which count 4 times" in log(world, "b/hangs")
    assert found["c/here"].reason.startswith("timed out after 0.5 s, running: sleep 60")


def test_guests_that_wait_for_memory_keep_no_container_waiting(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The longest come first, and those are the guests: of which one at a time has memory."""
    monkeypatch.setattr(executor, "free_memory", lambda: 2**30)
    there = world.folder / "there"
    waits = f"for i in $(seq 200); do test -e {there} && exit 0; sleep 0.05; done; exit 1"
    guests = [cell(f"a/k{n}", waits, engine="qemu", memory=2**29, cpus=0.1) for n in range(6)]
    seconds = {guest.id: 60.0 for guest in guests}
    result = world.execute(*guests, cell("a/plain", f"touch {there}"), jobs=2, seconds=seconds)
    assert {r.verdict for r in result.cells} == {Verdict.PASSED}
    assert world.left() == []


def test_the_next_guest_comes_before_containers_once_there_is_memory(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(executor, "free_memory", lambda: 2**30)
    guests = [cell(f"a/k{n}", engine="qemu", memory=2**29) for n in range(2)]
    containers = [cell(f"a/c{n}") for n in range(6)]
    seconds = {guest.id: 60.0 for guest in guests}
    world.execute(*containers, *guests, jobs=1, seconds=seconds)
    assert world.finished()[-1].startswith("a/c")


def test_as_many_guests_as_have_memory_come_before_containers(world: World) -> None:
    guests = [cell(f"a/k{n}", meets(world, n), engine="qemu", memory=2**20) for n in range(2)]
    containers = [cell(f"a/c{n}") for n in range(8)]
    seconds = {guest.id: 60.0 for guest in guests}
    result = world.execute(*containers, *guests, jobs=2, seconds=seconds)
    assert {r.verdict for r in result.cells} == {Verdict.PASSED}
    assert world.finished()[-1].startswith("a/c")


def meets(world: World, number: int) -> str:
    """What ends when the other one of two runs, too."""
    mine, other = (world.folder / f"meets-{n}" for n in (number, 1 - number))
    return (
        f"touch {mine}; for i in $(seq 200); do test -e {other} && exit 0; sleep 0.05; done; exit 1"
    )
