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
    parents = {parent for pid in pids if (parent := _parent(pid))}
    while more:
        found |= more
        _send("STOP", more)
        more = _kin(found) - found
    _send("KILL", found)
    _send("CONT", parents)  # who has begun them goes on, where they have stopped it


def _parent(pid: int) -> int:
    """0 where it has none, or has ended."""
    with contextlib.suppress(OSError), open(f"/proc/{pid}/stat", "rb", 0) as file:  # noqa: PTH123
        return int(file.read().rpartition(b")")[2].split()[1])
    return 0


def _kin(found: set[int]) -> set[int]:
    """The children of these processes, and who is in a session that one of them leads."""
    kin: set[int] = set()
    for pid in found:
        with contextlib.suppress(OSError):
            for thread in os.listdir(f"/proc/{pid}/task"):  # noqa: PTH208
                with open(f"/proc/{pid}/task/{thread}/children", "rb", 0) as file:  # noqa: PTH123
                    kin |= set(map(int, file.read().split()))
    for pid in _numbers():
        with contextlib.suppress(OSError):
            if os.getsid(pid) in found:
                kin.add(pid)
    return kin


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
