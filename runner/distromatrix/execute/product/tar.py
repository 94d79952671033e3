"""The tar file that a product's snapshot is, as it is written."""

from __future__ import annotations

import errno
import os
import stat
import tarfile
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from typing import BinaryIO

PREFIX = "product"
# Of a file that has holes of this many bytes, they are left out.
_WORTH = 1 << 20
_MOST = 64  # pieces of such a file: holes between them are filled in, the smallest first


class ProductTar:
    """Adds members below `product/`, all of them root's, with the two modes that git has for
    files, and what programs are run with: whatever umask the checkout was made with."""

    def __init__(self, tar: tarfile.TarFile) -> None:
        self._tar = tar
        self._first: dict[tuple[int, int], str] = {}  # names of files that have several
        self.names: set[str] = set()

    def add_folder(self, path: Path, name: str) -> None:
        """A folder, with nothing that is in it."""
        info = self._info(name, path.lstat())
        info.type, info.mode = tarfile.DIRTYPE, 0o755
        self._tar.addfile(info)

    def add_bytes(self, content: bytes, name: str, like: Path) -> None:
        """A file of that content, as old as another."""
        info = self._info(name, like.stat())
        info.mode, info.size = 0o644, len(content)
        self._tar.addfile(info, BytesIO(content))

    def add(self, path: Path, name: str, executable: bool | None = None) -> None:
        """A file or a link. Raises OSError."""
        status = path.lstat()
        info = self._info(name, status)
        if stat.S_ISLNK(status.st_mode):
            info.type, info.mode = tarfile.SYMTYPE, 0o777
            info.linkname = in_tar(str(path.readlink()))
            self._tar.addfile(info)
            return
        runs = bool(status.st_mode & 0o100) if executable is None else executable
        special = status.st_mode & (stat.S_ISUID | stat.S_ISGID)
        info.mode = (0o755 if runs else 0o644) | special
        inode = status.st_ino, status.st_dev
        if status.st_nlink > 1 and self._first.setdefault(inode, info.name) != info.name:
            info.type, info.linkname = tarfile.LNKTYPE, self._first[inode]
            self._tar.addfile(info)
            return
        with path.open("rb") as content:
            pieces = _pieces(content, status)
            if pieces is None:
                info.size = status.st_size
                self._tar.addfile(info, content)
            else:
                self._add_sparse(info, content, status.st_size, pieces)

    def _add_sparse(
        self, info: tarfile.TarInfo, content: BinaryIO, size: int, pieces: list[tuple[int, int]]
    ) -> None:
        """In the format `PAX 1.0` of GNU tar's manual, "Storing Sparse Files"."""
        ends = [*pieces, (size, 0)]
        text = "".join(
            f"{number}\n" for number in (len(ends), *(n for piece in ends for n in piece))
        )
        head = text.encode().ljust(-(-len(text) // tarfile.BLOCKSIZE) * tarfile.BLOCKSIZE, b"\0")
        info.pax_headers = {
            "GNU.sparse.major": "1",
            "GNU.sparse.minor": "0",
            "GNU.sparse.name": info.name,
            "GNU.sparse.realsize": str(size),
        }
        info.size = len(head) + sum(length for _, length in pieces)
        self._tar.addfile(info, _Joined(head, content, pieces))  # type: ignore[arg-type]

    def _info(self, name: str, status: os.stat_result) -> tarfile.TarInfo:
        self.names.add(name)
        info = tarfile.TarInfo(in_tar(f"{PREFIX}/{name}" if name else PREFIX))
        info.mtime = status.st_mtime
        info.uname = info.gname = "root"
        return info


def in_tar(name: str) -> str:
    """A path of this host, as tarfile writes it in UTF-8 byte by byte, whatever the locale."""
    return os.fsencode(name).decode("utf-8", "surrogateescape")


def _pieces(content: BinaryIO, status: os.stat_result) -> list[tuple[int, int]] | None:
    """Where a file with large holes has data: offsets and lengths. None for other files."""
    if status.st_size - status.st_blocks * 512 < _WORTH:
        return None
    found = list(_data(content.fileno(), status.st_size))
    narrow = 1 << 16
    while True:
        joined: list[tuple[int, int]] = []
        for start, length in found:
            if joined and start - sum(joined[-1]) < narrow:
                joined[-1] = joined[-1][0], start + length - joined[-1][0]
            else:
                joined.append((start, length))
        if len(joined) <= _MOST:
            holes = status.st_size - sum(length for _, length in joined)
            return joined if holes >= _WORTH else None
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


class _Joined:
    """What stands in the tar for a file with holes, to be read from beginning to end."""

    def __init__(self, head: bytes, content: BinaryIO, pieces: list[tuple[int, int]]) -> None:
        self._head, self._content, self._pieces = head, content, list(pieces)

    def read(self, size: int) -> bytes:
        """At most so many bytes, all of them but at the end."""
        taken = self._head[:size]
        self._head = self._head[len(taken) :]
        while len(taken) < size and self._pieces:
            start, length = self._pieces.pop(0)
            self._content.seek(start)
            data = self._content.read(min(length, size - len(taken)))
            if not data:
                break
            taken += data
            if len(data) < length:
                self._pieces.insert(0, (start + len(data), length - len(data)))
        return taken
