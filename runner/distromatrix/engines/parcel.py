"""The product's snapshot as the tar streams that go into machines: for an owner, below a folder,
in a format that what unpacks it understands.

Nothing that unpacks them is known to make holes: a file that has some is sent empty, its pieces
beside it, and a script that puts them together (`FILL`)."""

from __future__ import annotations

import shlex
import shutil
import tarfile
import tempfile
from collections.abc import Iterator
from functools import cached_property
from io import BytesIO
from mmap import ACCESS_READ, mmap
from pathlib import Path
from threading import Lock
from typing import IO

ROOT = "0:0"
HOLES = ".holes"
# To be run by root in the folder that the product lies in, where `Parcel.holes`. `$b` is what
# calls the programs of a busybox.
FILL = f"{{ [ ! -d {HOLES} ] || {{ . ./{HOLES}/fill && $b rm -rf {HOLES}; }}; }}"
_BLOCK = 1 << 16


class Parcel:
    """A snapshot. `plain`: for a tar that reads no pax headers, as busybox's; then times are
    whole seconds. Thread-safe."""

    def __init__(self, snapshot: Path, *, plain: bool = False) -> None:
        self._snapshot = snapshot
        self._format = tarfile.GNU_FORMAT if plain else tarfile.PAX_FORMAT
        self._lock = Lock()
        self._folder: Path | None = None
        self._made: dict[tuple[str, str], Path] = {}

    @cached_property
    def size(self) -> int:
        """Bytes of the snapshot."""
        return self._snapshot.stat().st_size

    @cached_property
    def holes(self) -> bool:
        """Whether there are files with holes to be made."""
        with (
            self._snapshot.open("rb") as file,
            mmap(file.fileno(), 0, access=ACCESS_READ) as everything,
        ):
            return everything.find(b"GNU.sparse.major=") >= 0

    def open(self, owner: str, prefix: str = "") -> IO[bytes]:
        """Its tar, all of it `owner`'s (UID:GID), below the folder `prefix` (`a/b/`). Raises
        OSError."""
        as_it_is = owner == ROOT and not prefix and self._format == tarfile.PAX_FORMAT
        if as_it_is and not self.holes:
            return self._snapshot.open("rb")
        with self._lock:
            if (owner, prefix) not in self._made:
                if self._folder is None:
                    self._folder = Path(tempfile.mkdtemp(prefix="distromatrix-"))
                path = self._folder / f"{len(self._made)}.tar"
                self.write(path, owner, prefix)
                self._made[owner, prefix] = path
            return self._made[owner, prefix].open("rb")

    def write(self, dest: Path, owner: str, prefix: str = "") -> None:
        """See open; into that file."""
        with tarfile.open(
            dest, "w", format=self._format, encoding="utf-8", errors="surrogateescape"
        ) as target:
            _write(self._snapshot, target, owner, prefix)

    def close(self) -> None:
        """Forget what was made. Never raises."""
        with self._lock:
            if self._folder is not None:
                shutil.rmtree(self._folder, ignore_errors=True)
            self._folder = None
            self._made.clear()


def _write(snapshot: Path, target: tarfile.TarFile, owner: str, prefix: str) -> None:
    script: list[bytes] = []
    with tarfile.open(snapshot, encoding="utf-8", errors="surrogateescape") as source:
        for info in source:
            content = source.extractfile(info) if info.isreg() else None
            pieces: list[tuple[int, int]] | None = getattr(info, "sparse", None)
            name, size = info.name, info.size
            info.pax_headers = {}  # what they say is in its attributes
            info.name = prefix + info.name
            if info.islnk():
                info.linkname = prefix + info.linkname
            _give(info, owner)
            if pieces is None:
                target.addfile(info, content)
                continue
            info.size, info.type, info.sparse = 0, tarfile.REGTYPE, None
            target.addfile(info)
            assert content is not None  # noqa: S101 - only a file has holes
            lines = _add_pieces(target, info, content, pieces, f"{prefix}{HOLES}", len(script))
            script += _script(name, size, lines)
    if script:
        info = tarfile.TarInfo(f"{prefix}{HOLES}/fill")
        joined = b"\n".join((*script, b""))
        info.size = len(joined)
        target.addfile(info, BytesIO(joined))


def _add_pieces(
    target: tarfile.TarFile,
    like: tarfile.TarInfo,
    content: IO[bytes],
    pieces: list[tuple[int, int]],
    folder: str,
    number: int,
) -> Iterator[str]:
    """Add a file for each piece, as old as the whole. What puts it where it belongs."""
    for at, (start, length) in enumerate(pieces):
        info = tarfile.TarInfo(f"{folder}/{number}-{at}")
        info.mtime, info.size = like.mtime, length
        content.seek(start)
        target.addfile(info, content)
        # Where holes end is a block's boundary on all disks.
        block = min(start & -start or _BLOCK, _BLOCK)
        yield f"{HOLES}/{number}-{at}\n{block} {start // block}"


def _script(name: str, size: int, pieces: Iterator[str]) -> Iterator[bytes]:
    file = shlex.quote(name).encode("utf-8", "surrogateescape")
    yield b"$b dd if=/dev/null of=%b bs=1 seek=%d count=0 2>/dev/null &&" % (file, size)
    last = ""
    for piece in pieces:
        last, _, where = piece.partition("\n")
        block, at = where.split()
        command = f"$b dd if={last} bs={block} seek={at} conv=notrunc 2>/dev/null of="
        yield command.encode() + file + b" &&"
    yield b"$b touch -r %b %b || return" % (last.encode(), file)


def _give(info: tarfile.TarInfo, owner: str) -> None:
    info.uid, info.gid = map(int, owner.split(":"))
    info.uname = info.gname = ""
