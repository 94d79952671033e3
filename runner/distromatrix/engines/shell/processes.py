"""Which of a machine's processes hung: out of a process list, a line for a human."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

# How a script itself is called, which says less than what it called.
_SCRIPT = re.compile(r"^(?:/bin/sh -e|\S*sh -e -o pipefail) -c ")
# In the calls of LOOP and READER, and in no script's.
_OURS = "read -r _dm_l"
_MOST = 3
_WIDTH = 160
# A process that has ended and that nobody has asked how, as ps and as Podman's top show it;
# in brackets are else only threads of the kernel, of which a machine shows none.
_ENDED = re.compile(r"\[[^]]*\](?: <defunct>)?")
# How Podman's top writes a time: Go's time.Duration, `1h2m3.5s` or `422.1ms`.
_GO_DURATION = re.compile(r"(?:(\d+)h)?(?:(\d+)m)?(?:([\d.]+)s|[\d.]+[mµn]s)")


@dataclass(frozen=True, slots=True)
class Process:
    """One line of a process list; `elapsed` in seconds."""

    pid: int
    parent: int
    elapsed: float
    command: str

    @classmethod
    def listed(cls, row: Sequence[str]) -> Process:
        """Its id, its parent's, its age in the words of ps (`[[dd-]hh:]mm:ss`) or of Go (`2m3.5s`),
        and its command line. Raises ValueError, IndexError."""
        return cls(int(row[0]), int(row[1]), _seconds(row[2]), row[3])


def describe(processes: Sequence[Process]) -> str:
    """The commands that were running, at most three and shortened: those that wait for no
    other first, of these the longest running first. '' when there is none but LOOP's shell and
    what waits there."""
    pids = {p.pid for p in processes}
    parents = {p.parent for p in processes}
    below = [
        p
        for p in processes
        if p.parent in pids and _OURS not in p.command and not _ENDED.fullmatch(p.command)
    ]
    named = [p for p in below if not _SCRIPT.match(p.command)] or below
    named.sort(key=lambda p: (p.pid in parents, -p.elapsed, p.pid))
    return ", ".join(f"{_short(p.command)} (for {_clock(p.elapsed)})" for p in named[:_MOST])


def itself(script: str, seconds: float) -> str:
    """The same for a script whose own shell is busy, where the process list does not name it."""
    return f"{_short(script)} (for {_clock(seconds)})"


def _clock(seconds: float) -> str:
    """In the words of ps."""
    minutes, second = divmod(max(0, int(seconds)), 60)
    hours, minute = divmod(minutes, 60)
    days, hour = divmod(hours, 24)
    day = f"{days}-" if days else ""
    return day + (f"{hour:02}:" if hours else "") + f"{minute:02}:{second:02}"


def _seconds(age: str) -> float:
    if found := _GO_DURATION.fullmatch(age):
        hours, minutes, rest = (float(part or 0) for part in found.groups())
        return hours * 3600 + minutes * 60 + rest
    days, _, clock = age.rpartition("-")
    seconds = 0
    for part in clock.split(":"):
        seconds = seconds * 60 + (int(part) if part.isdigit() else 0)
    return seconds + (int(days) * 86400 if days.isdigit() else 0)


def _short(command: str) -> str:
    line = _SCRIPT.sub("", " ".join(command.split()), count=1)
    return line if len(line) <= _WIDTH else line[: _WIDTH - 1] + "…"
