"""The log of one cell: streamed to a file as it comes, masked, bounded in size and memory."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from pathlib import Path
from time import monotonic

from distromatrix.collect.masking import Masker
from distromatrix.collect.text import one_line, printable, shorten
from distromatrix.errors import InfrastructureError

__all__ = ["CellLog", "LastLines", "Masker"]

MIB = 1024 * 1024
LIMIT = 32 * MIB
_KEPT_END = MIB  # what is kept of the end of an output beyond the limit
_WINDOW = 128 * 1024  # how far back the last lines are looked for
_LINE_WINDOW = 4096  # and the last line
_LINE_LENGTH = 500  # characters of a line in the tail
_SECONDS_BETWEEN_LINES = 0.2


class CellLog:
    """Takes a cell's output and writes it to the file `path` (made anew), masked.

    Beyond `limit` bytes only the last MiB is kept, in memory, and written by `close`, after a
    line that says how much was left out. `on_line` gets the line that was last printed,
    complete or not, printable, at most five times a second. Not for several threads.
    """

    def __init__(
        self,
        path: Path,
        masker: Masker | None = None,
        on_line: Callable[[str], None] | None = None,
        limit: int = LIMIT,
    ) -> None:
        self.path = path
        self._masker = (masker or Masker()).stream()
        self._on_line = on_line
        self._limit = limit
        self._written = 0
        self._end: bytearray | None = None  # raw; not None once the limit is reached
        self._left_out = 0
        self._fresh = True  # the last byte was a newline
        self._next_line_at = 0.0
        path.parent.mkdir(parents=True, exist_ok=True)
        flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_APPEND | os.O_NOFOLLOW | os.O_CLOEXEC
        self._fd = os.open(path, flags, 0o644)

    def write(self, data: bytes) -> None:
        """Take the next bytes of the output. Raises InfrastructureError when the disk is full."""
        if not data:
            return
        self._fresh = data.endswith(b"\n")
        shown = data
        if self._end is None:
            shown = self._masker.feed(data)
            self._put(shown)
            if self._written >= self._limit:
                self._end = bytearray(self._masker.take_pending())
        else:
            self._keep_end(data)
        if self._on_line and monotonic() >= self._next_line_at:
            self._tell_line(shown)

    def note(self, text: str) -> None:
        """Write a line of our own: `--- text`."""
        line = f"--- {printable(self._masker.mask(text.removeprefix('--- ')))}\n"
        self.write((line if self._fresh else f"\n{line}").encode())

    def tail(self, lines: int = 20) -> tuple[str, ...]:
        """The last lines, printable and masked, without blank lines around them. Complete only
        after `close`."""
        if self._end is None or self._fd < 0:
            return last_lines(self.path, lines)
        return _last(self._window(_WINDOW), lines, cut=True)

    def settle(self) -> None:
        """Write what is held back, so that `tail` is complete though more may come."""
        if self._end is None and self._fd >= 0:
            self._put(self._masker.flush())

    def close(self) -> None:
        """Write what is still held, and close the file. May be called twice."""
        if self._fd < 0:
            return
        try:
            if self._end is None:
                self._put(self._masker.flush())
            elif self._left_out or len(self._end) > _KEPT_END:
                self._put_end()
            else:
                self._put(self._masker.feed(bytes(self._end)) + self._masker.flush())
        finally:
            os.close(self._fd)
            self._fd = -1

    def __enter__(self) -> CellLog:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _keep_end(self, data: bytes) -> None:
        end = self._end
        assert end is not None  # noqa: S101 - for the type checker
        end += data
        room = _KEPT_END + self._masker.longest
        if len(end) > 2 * room:  # not at every write: moving the end is what costs
            self._left_out += len(end) - room
            del end[:-room]

    def _put_end(self) -> None:
        end = self._window(_KEPT_END)
        newline = end.find(b"\n", 0, _WINDOW)
        end = end[newline + 1 :]
        left_out = self._left_out + len(self._end or b"") - len(end)
        self._put(f"\n--- {left_out / MIB:.1f} MiB of output left out here\n".encode() + end)

    def _window(self, size: int) -> bytes:
        """The last `size` bytes of what is kept in memory, masked."""
        data = bytes((self._end or b"")[-(size + self._masker.longest) :])
        return self._masker.window(data, cut=True)

    def _tell_line(self, shown: bytes) -> None:
        end = shown[-_LINE_WINDOW:] if self._end is None else self._window(_LINE_WINDOW)
        for raw in reversed(end.split(b"\n")):
            if line := one_line(raw):
                self._next_line_at = monotonic() + _SECONDS_BETWEEN_LINES
                if self._on_line:
                    self._on_line(line)
                return

    def _put(self, data: bytes) -> None:
        self._written += len(data)
        write_all(self._fd, data, self.path)


class LastLines:
    """The last lines of a stream, in bounded memory, masked and printable."""

    def __init__(self, masker: Masker) -> None:
        self._masker = masker.stream()
        self._data = bytearray()
        self._cut = False

    def write(self, data: bytes) -> None:
        """Take the next bytes."""
        self._data += self._masker.feed(data)
        if len(self._data) > 2 * _WINDOW:
            del self._data[:-_WINDOW]
            self._cut = True

    def last(self, lines: int) -> tuple[str, ...]:
        """At most so many of them, without blank lines around them."""
        self._data += self._masker.flush()
        return _last(bytes(self._data), lines, cut=self._cut)


def last_lines(path: Path, lines: int) -> tuple[str, ...]:
    """The last lines of a log that is masked already, as of `CellLog.tail`. Raises OSError."""
    with path.open("rb") as file:
        size = file.seek(0, os.SEEK_END)
        file.seek(max(size - _WINDOW, 0))
        return _last(file.read(_WINDOW), lines, cut=size > _WINDOW)


def _last(data: bytes, lines: int, *, cut: bool) -> tuple[str, ...]:
    text = printable(data.strip(b"\r\n"))
    found = text.split("\n")[1 if cut and "\n" in text else 0 :]
    while found and not found[0].strip():
        del found[0]
    return tuple(shorten(line.rstrip(), _LINE_LENGTH) for line in found[-lines:])


def write_all(fd: int, data: bytes, path: Path) -> None:
    """Write all of `data`. Raises InfrastructureError where the disk, or a quota, is full."""
    view = memoryview(data)
    try:
        while view:
            view = view[os.write(fd, view) :]
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            reason = f"disk full while writing {path}: make room and run again"
            raise InfrastructureError(reason, transient=False) from error
        raise
