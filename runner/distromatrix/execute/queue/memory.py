"""How much memory guests may take on this host: what is free, also of this process's own groups.

A guest is a process of ours, so that what bounds us bounds it: Linux' cgroup-v2 and cgroup-v1
documentation (memory.max, memory.limit_in_bytes), proc(5) for MemAvailable.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

_KIB = 1024


def free_memory(proc: Path = Path("/proc"), groups: Path = Path("/sys/fs/cgroup")) -> int | None:
    """Bytes that new processes of ours can take; None where nothing is said of it."""
    found = [*_available(proc / "meminfo"), *_in_groups(proc / "self/cgroup", groups)]
    return min(found, default=None)


def _available(meminfo: Path) -> Iterator[int]:
    with suppress(OSError, ValueError):
        for line in meminfo.read_text().splitlines():
            if line.startswith("MemAvailable:"):
                yield int(line.split()[1]) * _KIB


def _in_groups(own: Path, groups: Path) -> Iterator[int]:
    """What each group that this process is in, and those above, leave of their bounds. In a
    container the paths may be the host's: then its own group is the one at the top."""
    with suppress(OSError):
        for line in own.read_text().splitlines():
            _, names, path = line.split(":", 2)
            if not names:
                top, files = groups, ("memory.max", "memory.current", "inactive_file")
            elif "memory" in names.split(","):
                files = ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file")
                top = groups / "memory"
            else:
                continue
            here = top / path.lstrip("/")
            for folder in (here, *here.parents):
                if folder.is_relative_to(top):
                    yield from _left_of(folder, *files)


def _left_of(folder: Path, limit: str, used: str, cached: str) -> Iterator[int]:
    with suppress(OSError, ValueError):  # not there, or `max`
        bound, taken = (int((folder / name).read_text()) for name in (limit, used))
        stat = dict(line.split() for line in (folder / "memory.stat").read_text().splitlines())
        yield max(0, bound - taken + int(stat.get(cached, 0)))
