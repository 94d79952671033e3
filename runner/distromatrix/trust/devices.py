"""Devices of this host that no container is given, whoever says yes: its memory, and the disks
that it has mounted or swaps to."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from pathlib import Path

_MEMORY = {(1, 1), (1, 2), (1, 4)}  # mem, kmem and port, in Linux' Documentation/admin-guide
_SYS = Path("/sys/dev/block")
_AT_MOST = 10_000  # device nodes below a folder


def in_use(path: str) -> str:
    """Why a device, or a folder of devices, is refused; '' where it is not. On another host's
    engine they are that host's, and nothing is known of them."""
    used: set[str] | None = None
    for node in _nodes(Path(path)):
        try:
            found = node.stat()
        except OSError:
            continue
        number = (os.major(found.st_rdev), os.minor(found.st_rdev))
        if stat.S_ISCHR(found.st_mode) and number in _MEMORY:
            return f"{node} is this host's memory, which no machine is given"
        if stat.S_ISBLK(found.st_mode):
            used = _used() if used is None else used
            if any(one in used for one in _parts("{}:{}".format(*number))):
                return f"{node} is a disk that this host uses, which no machine is given"
    return ""


def _nodes(path: Path) -> Iterator[Path]:
    """The device nodes that an engine would give for a path: of a folder all that are in it."""
    if not path.is_dir():
        yield path
        return
    count = 0
    for folder, _, files in os.walk(path):
        for name in files:
            count += 1
            if count > _AT_MOST:
                return
            yield Path(folder, name)


def _used() -> set[str]:
    """The numbers of the block devices that are mounted or swapped to. Formats: proc(5)."""
    sources = set()
    numbers = set()
    for line in _lines("/proc/self/mountinfo"):
        fields = line.split()
        numbers.add(fields[2])
        sources.add(fields[fields.index("-") + 2])
    sources |= {line.split()[0] for line in _lines("/proc/swaps")[1:]}
    for source in sources:
        try:
            found = Path(source).stat() if source.startswith("/") else None
        except OSError:
            continue
        if found is not None and stat.S_ISBLK(found.st_mode):
            numbers.add(f"{os.major(found.st_rdev)}:{os.minor(found.st_rdev)}")
    return numbers


def _lines(file: str) -> list[str]:
    try:
        return Path(file).read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return []


def _parts(number: str) -> Iterator[str]:
    """A block device, its partitions, and all that is built upon them (RAID, LVM, encryption)."""
    waiting, seen = [number], set[str]()
    while waiting:
        one = waiting.pop()
        if one in seen:
            continue
        seen.add(one)
        yield one
        for file in (*(_SYS / one).glob("*/dev"), *(_SYS / one).glob("holders/*/dev")):
            waiting += [text.strip() for text in _lines(str(file))]
