"""What guests' machines have in common: what becomes of one that answers no more."""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Iterator
from math import inf
from pathlib import Path
from threading import Event
from typing import BinaryIO

import pytest

from distromatrix.engines.contract import Command, MachineSpec
from distromatrix.engines.guest import machine as guest_machine
from distromatrix.engines.guest.machine import GuestMachine
from distromatrix.engines.guest.scripts import crowded
from distromatrix.engines.shell.shell import LOOP, Shell
from distromatrix.errors import InfrastructureError, MachineGoneError
from fake_engine.machine import ProcessStream


class Local(GuestMachine):
    """Shells of this host. With `mute`, root's are never had, as in a guest that hangs."""

    def __init__(self, folder: Path, *, mute: bool) -> None:
        user = f"{os.getuid()}:{os.getgid()}"
        super().__init__(MachineSpec(name="local", image="", user=user), staged=False)
        self.folder = folder
        self.mute = mute
        self.ended = Event()
        self.streams: list[ProcessStream] = []

    def _open_shell(self, user: str) -> Shell:
        if self.mute and user == "root":
            self.ended.wait()
            raise MachineGoneError("local is gone")
        process = subprocess.Popen(
            ["/bin/sh", "-c", LOOP],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,
            cwd=self.folder,
        )
        self.streams.append(ProcessStream(process))
        return Shell(self.streams[-1])

    def _halt(self) -> None:
        self.ended.set()

    def _end_left(self) -> None:
        raise InfrastructureError("it does not end")

    def restarted(self, until: float = inf) -> bool:
        return False

    def reboot(self) -> None:
        raise NotImplementedError

    def why_gone(self) -> MachineGoneError | None:
        return MachineGoneError("local is gone") if self.ended.is_set() else None

    def _feed(self, script: str, data: BinaryIO, within: float = 1.0) -> None:
        raise NotImplementedError


@pytest.fixture
def machines(tmp_path: Path) -> Iterator[list[Local]]:
    made = [Local(tmp_path, mute=False), Local(tmp_path, mute=True)]
    yield made
    for machine in made:
        machine.ended.set()
        for stream in machine.streams:
            stream.shutdown()


def test_a_timeout_ends_a_guest_that_answers_no_more_and_no_other(
    machines: list[Local], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(guest_machine, "DIES_WITHIN", 0.2)
    _, mute = machines
    done = mute.run(Command("sleep 4801", timeout=0.5))
    assert (done.status, done.ended, mute.ended.is_set()) == (None, True, True)
    assert "sleep 4801" in done.hung
    with pytest.raises(MachineGoneError, match="was stopped by a timeout"):
        mute.run(Command(":"))


def test_a_timeout_leaves_a_guest_that_answers(machines: list[Local]) -> None:
    done = machines[0].run(Command("sleep 4802", timeout=0.5))
    assert (done.status, done.ended, machines[0].ended.is_set()) == (None, False, False)
    assert machines[0].run(Command("exit 3")).status == 3


def test_a_command_that_stops_its_shell_costs_the_guest_nothing(machines: list[Local]) -> None:
    done = machines[0].run(Command("kill -STOP $PPID; sleep 4807", timeout=0.5))
    assert (done.status, done.ended, machines[0].ended.is_set()) == (None, False, False)
    assert machines[0].run(Command("exit 3")).status == 3


def test_files_that_stop_coming_are_told_and_not_waited_for(
    machines: list[Local], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    tar = tmp_path / "tar"
    tar.write_text("#!/bin/sh\nexec sleep 4803\n")
    tar.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    machine = machines[0]
    stream = machine.get(str(tmp_path))
    monkeypatch.setattr(guest_machine, "API_TIMEOUT", 0.3)
    with pytest.raises(InfrastructureError, match="does not answer: getting"):
        next(iter(stream))


def test_what_does_not_end_takes_its_guest_with_it(machines: list[Local]) -> None:
    machine, _ = machines
    assert machine.signal_left("STOP")  # which is nothing in a guest
    assert not machine.ended.is_set()
    assert not machine.signal_left("KILL")
    assert machine.ended.is_set()


def test_what_a_shell_of_ours_runs_in_itself_leaves_it_its_own_variables() -> None:
    """A command line is one of them: without the newline in it, the next one is no script."""
    shells, looks = (set(re.findall(r"_dm_\w+", text)) for text in (LOOP, crowded(64)))
    assert shells and looks
    assert not shells & looks
