"""What is in a product's files: read once, block by block, named and looked at meanwhile."""

from __future__ import annotations

import errno
import hashlib
import os
import stat
from collections.abc import Iterator

from distromatrix.execute.product.entries import Entry, seen_of
from distromatrix.execute.product.python_says import MOST, python_says

BLOCK = 1 << 20
_ZEROS = bytes(BLOCK)
_MOST_PIECES = 64  # of a file with holes: holes between them are filled in, the smallest first
_OPEN = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC

Pieces = list[tuple[int, int]]


def open_file(path: str) -> int:
    """A descriptor of the regular file there; no link is followed, no pipe waited for. Raises
    OSError."""
    fd = os.open(path, _OPEN)
    if not stat.S_ISREG(os.fstat(fd).st_mode):
        os.close(fd)
        raise FileNotFoundError(errno.ENOENT, "it is a file no more", path)
    return fd


def read(fd: int, entry: Entry) -> Iterator[bytes]:
    """An open file's content, as long as the entry says; at its end the entry has what names it.
    Raises OSError where it has become shorter."""
    seen, digest, size = entry.seen, Digest(), entry.size
    python = entry.name.endswith(".py") and size <= MOST
    kept = bytearray()
    for start in range(0, size, BLOCK):
        block = read_exactly(fd, min(BLOCK, size - start), entry)
        digest.add(start, block)
        if python:
            kept += block
        yield block
    entry.content, entry.seal = digest.name, ""
    entry.says = python_says(bytes(kept)) if python else 0
    if seen_of(os.fstat(fd)) != seen:
        entry.seen = None  # it is being written to: who comes next looks again


def read_exactly(fd: int, size: int, entry: Entry) -> bytes:
    """So many bytes. Raises OSError where there are fewer."""
    block = os.read(fd, size)
    while len(block) < size:
        more = os.read(fd, size - len(block))
        if not more:
            raise OSError(errno.EIO, "it became shorter while it was read; try again", entry.name)
        block += more
    return block


class Digest:
    """What names a file's content: `name`. Blocks of nothing but zeros count by where they are: it
    is the same whether they are a hole, which nobody wants to read, or not."""

    def __init__(self) -> None:
        self._sum = hashlib.sha256()
        self._zeros: list[str] = []

    def add(self, start: int, block: bytes) -> None:
        """The block that begins there, BLOCK bytes long but for the last."""
        if block == (_ZEROS if len(block) == BLOCK else _ZEROS[: len(block)]):
            self.hole(start, start + len(block))
        else:
            self._sum.update(block)

    def hole(self, start: int, end: int) -> None:
        """A block of zeros."""
        self._zeros.append(f"{start}-{end}")

    @property
    def name(self) -> str:
        """The sum, and where zeros are."""
        return ":".join((self._sum.hexdigest(), *self._zeros))


def name_with_holes(fd: int, entry: Entry, pieces: Pieces) -> None:
    """Give the entry what names its content, of which only the pieces are read. Raises OSError."""
    digest = Digest()
    for start in range(0, entry.size, BLOCK):
        end = min(start + BLOCK, entry.size)
        if any(at < end and start < at + length for at, length in pieces):
            os.lseek(fd, start, os.SEEK_SET)
            digest.add(start, read_exactly(fd, end - start, entry))
        else:
            digest.hole(start, end)
    entry.content, entry.seal = digest.name, ""


def pieces_of(fd: int, status: os.stat_result) -> Pieces | None:
    """Where a file with large holes has data: offsets and lengths. None for other files."""
    if status.st_size - status.st_blocks * 512 < BLOCK:
        return None
    found = list(_data(fd, status.st_size))
    narrow = 1 << 16
    while True:
        joined: Pieces = []
        for start, length in found:
            if joined and start - sum(joined[-1]) < narrow:
                joined[-1] = joined[-1][0], start + length - joined[-1][0]
            else:
                joined.append((start, length))
        if len(joined) <= _MOST_PIECES:
            holes = status.st_size - sum(length for _, length in joined)
            return joined if holes >= BLOCK else None
        found, narrow = joined, narrow * 2


def _data(number: int, size: int) -> Iterator[tuple[int, int]]:
    end = 0
    while end < size:
        try:
            start = os.lseek(number, end, os.SEEK_DATA)
        except OSError as error:
            if error.errno == errno.ENXIO:  # nothing but a hole is left
                return
            raise
        end = min(os.lseek(number, start, os.SEEK_HOLE), size)
        yield start, end - start
