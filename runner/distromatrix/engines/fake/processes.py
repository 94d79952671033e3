"""Processes of this host: which are a fake machine's, and how they end."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
from collections.abc import Iterable
from pathlib import Path

from distromatrix.engines.shell.process_list import LIST, processes
from distromatrix.engines.shell.processes import Process
from distromatrix.engines.shell.shell import LOOP


def end_process(*pids: int) -> None:
    """Kill processes with all that descends from them or belongs to a session that one of these
    leads. It does what KILL does in a machine: a host has too many others for a shell, which
    reads /proc byte by byte."""
    found: set[int] = set()
    more = set(pids)
    parents: dict[int, int] = {}
    while more - found:
        found |= more
        kin = _kin()
        parents |= {pid: parent for pid, parent, _ in kin if pid in pids}
        while more := {pid for pid, *above in kin if found.intersection(above)} - found:
            found |= more
        _send("STOP", found)
        more = {pid for pid, *above in _kin() if found.intersection(above)}
    _send("KILL", found)
    _send("CONT", parents.values())  # who has begun them goes on, where they have stopped it


def _kin() -> list[tuple[int, int, int]]:
    """Every process that has not ended: its id, its parent's, its session's."""
    found = []
    for pid in _numbers():
        with contextlib.suppress(OSError), open(f"/proc/{pid}/stat", "rb", 0) as file:  # noqa: PTH123
            state, parent, _, session = file.read().rpartition(b")")[2].split()[:4]
            if state != b"Z":
                found.append((pid, int(parent), int(session)))
    return found


def _numbers() -> list[int]:
    """Those of this host's processes; hundreds, for each machine that ends: Path would be slow."""
    return [int(name) for name in os.listdir("/proc") if name.isdecimal()]  # noqa: PTH208


def _send(name: str, pids: Iterable[int]) -> None:
    for pid in pids:
        with contextlib.suppress(OSError):
            os.kill(pid, signal.Signals[f"SIG{name}"])


def working_below(folder: Path) -> list[int]:
    """The processes whose working directory is there."""
    found, top = [], os.fspath(folder)
    for pid in _numbers():
        with contextlib.suppress(OSError):
            if f"{os.readlink(f'/proc/{pid}/cwd')}/".startswith(f"{top}/"):  # noqa: PTH115
                found.append(pid)
    return found


def end_shells(folder: Path) -> None:
    """Kill the shells whose numbers are the names of the folder's files."""
    shells = []
    for file in folder.glob("*"):
        with contextlib.suppress(OSError):
            # A number may have been given to somebody else meanwhile: LOOP is our mark.
            if LOOP.encode() in Path(f"/proc/{file.name}/cmdline").read_bytes():
                shells.append(int(file.name))
    end_process(*shells)


def below(tops: set[int]) -> list[Process]:
    """Those processes, and all that descend from them."""
    listed = subprocess.run(["/bin/sh", "-c", LIST], capture_output=True, check=False)
    every = processes(listed.stdout)
    found, size = set(tops), -1
    while size != len(found):
        size = len(found)
        found |= {p.pid for p in every if p.parent in found}
    return [p for p in every if p.pid in found]
