"""Which of a machine's processes hung: out of a process list, a line for a human."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

_MOST = 3
_WIDTH = 160


@dataclass(frozen=True, slots=True)
class Process:
    """One line of a process list; `elapsed` in the words of ps (`[[dd-]hh:]mm:ss`)."""

    pid: int
    parent: int
    elapsed: str
    command: str


def describe(processes: Sequence[Process]) -> str:
    """The commands nobody waits for anything below them, the longest running first, at most
    three and shortened; '' when there is none but the shell that LOOP is."""
    parents = {p.parent for p in processes}
    pids = {p.pid for p in processes}
    leaves = [
        p
        for p in processes
        if p.pid not in parents and p.parent in pids and not p.command.endswith("<defunct>")
    ]
    leaves.sort(key=lambda p: (_seconds(p.elapsed), -p.pid), reverse=True)
    return ", ".join(f"{_short(p.command)} (for {p.elapsed})" for p in leaves[:_MOST])


def _seconds(elapsed: str) -> int:
    days, _, clock = elapsed.rpartition("-")
    seconds = 0
    for part in clock.split(":"):
        seconds = seconds * 60 + (int(part) if part.isdigit() else 0)
    return seconds + (int(days) * 86400 if days.isdigit() else 0)


def _short(command: str) -> str:
    line = " ".join(command.split())
    line = line.removeprefix("/bin/sh -e -c ")
    return line if len(line) <= _WIDTH else line[: _WIDTH - 1] + "…"
