"""What runs in a machine, asked by one command there: no ps is the same everywhere."""

from __future__ import annotations

import re
from collections.abc import Iterator

from distromatrix.engines.shell.processes import Process

# One program for all: under emulation each costs milliseconds. coreutils and busybox have -v.
LIST = "head -v -c 4000 /proc/uptime /proc/[0-9]*/stat /proc/[0-9]*/cmdline 2>/dev/null || :"
_HEAD = re.compile(rb"(?:^|\n)==> /proc/(\S+) <==\n")
# proc(5): field 4 is the parent, field 22 the start in 1/100 s since boot.
_STAT = re.compile(rb"(\d{1,9}) \(.*\) \S (\d{1,9})(?: \S+){17} (\d{1,18})\s", re.DOTALL)
_UPTIME = re.compile(rb"\d{1,12}(?:\.\d{1,3})?")
_OURS = b"/distromatrix/guest/"


def processes(said: bytes) -> list[Process]:
    """The processes in what LIST prints; neither the kernel's nor those of ours. What a machine
    says in other words than LIST's is no process."""
    parts = _HEAD.split(said)
    files = dict(zip(parts[1::2], parts[2::2], strict=True))
    up = _UPTIME.match(files.get(b"uptime", b""))
    return list(_processes(files, float(up[0]))) if up else []


def _processes(files: dict[bytes, bytes], up: float) -> Iterator[Process]:
    for name, content in files.items():
        found = _STAT.match(content) if name.endswith(b"/stat") else None
        words = files.get(name.replace(b"/stat", b"/cmdline"), b"")
        if found is None or not words or _OURS in words:
            continue
        text = words.replace(b"\0", b" ").decode(errors="replace").strip()
        began = int(found[3]) / 100
        yield Process(int(found[1]), int(found[2]), up - began, text)
