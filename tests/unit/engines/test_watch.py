"""Commands that print nothing for long are told of; those that print are not."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from executing import World, cell

from distromatrix.engines import silence as watch
from distromatrix.engines.contract import Command, Exit
from distromatrix.engines.silence import Watch
from distromatrix.errors import InfrastructureError
from distromatrix.execute.executor import Executor
from distromatrix.record.events import CellSilent, Event


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


@pytest.fixture(autouse=True)
def often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watch, "AGAIN", 0.05)


def silences(world: World) -> list[CellSilent]:
    return [e for e in world.events if isinstance(e, CellSilent)]


def named(world: World, command: str, line: str = "") -> list[CellSilent]:
    return [e for e in silences(world) if command in e.command and line in e.line]


def until_heard(
    world: World, folder: Path, times: int = 1, naming: str = "", line: str = ""
) -> str:
    """A script's wait for so many words about its silence that name such a command and last
    line: how soon it gets to its silence is the machine's business."""

    def on_event(event: Event, _: Executor) -> None:
        if isinstance(event, CellSilent) and len(named(world, naming, line)) >= times:
            (folder / "heard").touch()

    world.on_event = on_event
    return f"until [ -e {folder}/heard ]; do sleep 0.02; done"


def test_a_silent_cell_is_told_of_with_its_last_line_and_what_runs(
    world: World, tmp_path: Path
) -> None:
    wait = until_heard(world, tmp_path, times=2, naming="sleep 4714", line="so far")
    script = f"printf 'first\\nso far'; sleep $((4700 + 14)) & {wait}; kill $!"
    world.execute(cell("a/s", script, timeout=60.0), silent_after=0.1)
    first, second = named(world, "sleep 4714", "so far")[:2]
    assert (first.cell, first.line) == ("a/s", "so far")
    assert second.seconds >= first.seconds >= 0.1


def test_secrets_on_a_command_line_are_masked(world: World, tmp_path: Path) -> None:
    world.secrets = {"TOKEN": "47151617"}
    wait = until_heard(world, tmp_path, naming="***")
    script = f"sleep $TOKEN & {wait}; kill $!"
    world.execute(cell("a/s", script, timeout=60.0), silent_after=0.1)
    assert named(world, "***")
    assert "47151617" not in repr(world.events)


def test_a_cell_that_has_printed_nothing_has_no_last_line(world: World, tmp_path: Path) -> None:
    wait = until_heard(world, tmp_path)
    world.execute(cell("a/s", wait, setup=("true",)), silent_after=0.1)
    assert silences(world)[0].line == ""


def test_a_cell_that_prints_is_not_told_of(world: World) -> None:
    chatter = "n=0; while [ $n -lt 30 ]; do echo $n; sleep 0.02; n=$((n+1)); done"
    world.execute(cell("a/s", chatter), silent_after=30.0)
    assert silences(world) == []


class Still:
    """A machine whose command ends when it is told to, in silence."""

    def __init__(self) -> None:
        self.go = threading.Event()

    def run(self, command: Command) -> Exit:
        assert self.go.wait(20)
        return Exit(status=0, seconds=0.0)

    def running(self) -> str:
        return "make"


def watching(tell: Callable[[float, str], None], machine: Still, looker: Watch) -> None:
    with looker.over(machine, tell) as watched:  # type: ignore[arg-type]
        watched.run(Command(""))


def test_one_thread_looks_after_all_and_ends_with_the_last() -> None:
    looker = Watch(after=0.05)
    machines = [Still() for _ in range(9)]
    heard: set[int] = set()

    def tell_of(number: int) -> Callable[[float, str], None]:
        def tell(_seconds: float, _command: str) -> None:
            heard.add(number)
            looking.add(threading.current_thread())
            if len(heard) == len(machines):
                for machine in machines:
                    machine.go.set()

        return tell

    looking: set[threading.Thread] = set()
    threads = [
        threading.Thread(target=watching, args=(tell_of(n), machine, looker))
        for n, machine in enumerate(machines)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert heard == set(range(9))
    (thread,) = looking
    thread.join(20)
    assert not thread.is_alive()


def test_what_cannot_be_told_harms_neither_the_watch_nor_the_command() -> None:
    machine = Still()
    told = []

    def tell(_seconds: float, _command: str) -> None:
        told.append(1)
        if len(told) == 3:
            machine.go.set()
        raise InfrastructureError("no room for a journal")

    watching(tell, machine, Watch(after=0.05))
    assert len(told) >= 3


def test_nothing_is_told_once_the_watch_is_over() -> None:
    machine, told = Still(), []

    class Slow(Still):
        def running(self) -> str:
            machine.go.set()
            time.sleep(0.3)
            return "make"

    machine = Slow()
    looker = Watch(after=0.05)
    watching(lambda *_: told.append(1), machine, looker)
    with looker._lock:
        before = len(told)
    time.sleep(0.4)
    assert before == len(told) == 0
