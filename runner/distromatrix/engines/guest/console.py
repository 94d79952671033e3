"""What a guest says on its console: its last words, and whether its kernel gave up."""

from __future__ import annotations

import re
from pathlib import Path

_FATAL = re.compile(r"Kernel panic - not syncing: .*")
_TROUBLE = re.compile(rf"{_FATAL.pattern}|Oops: .*|BUG: .*")
_SEQUENCE = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")
MOST_KEPT = 1 << 20  # bytes that stay of what a boot has shown
_TAIL = 1 << 16  # bytes looked at from its end


def last_lines(file: Path, count: int = 5) -> tuple[str, ...]:
    """The last lines that say something, without what a terminal obeys; none where there is no
    such file."""
    lines = [line.rstrip() for line in _tail(file).splitlines() if line.strip()]
    return tuple(lines[-count:])


def panic(file: Path) -> str:
    """What the kernel said when it gave up, the first line of it; '' where it did not."""
    text = _tail(file)
    found = _FATAL.search(text) and _TROUBLE.search(text)
    return found.group().rstrip() if found else ""


def said_last(file: Path) -> str:
    """What is added to the words for why there is no guest: a panic, or the last lines; '' where
    there are none."""
    words = panic(file) or " / ".join(last_lines(file, 3))
    return f"; its console says: {words}" if words else ""


def size(file: Path) -> int:
    """Its bytes."""
    try:
        return file.stat().st_size
    except OSError:
        return 0


def last_bytes(file: Path, most: int = MOST_KEPT) -> bytes:
    """The last bytes of it; none where there is no such file."""
    try:
        with file.open("rb") as data:
            data.seek(max(0, size(file) - most))
            return data.read(most)
    except OSError:
        return b""


def _tail(file: Path) -> str:
    text = last_bytes(file, _TAIL).decode("utf-8", "replace")
    return "".join(c for c in _SEQUENCE.sub("", text) if c.isprintable() or c == "\n")
