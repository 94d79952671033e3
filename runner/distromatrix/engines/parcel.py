"""The product's snapshot as the tar streams that go into machines: for an owner, below a folder,
in a format that what unpacks it understands.

Nothing that unpacks them is known to make holes: a file that has some is sent empty, its pieces
beside it, and a script that puts them together (`FILL`)."""

from __future__ import annotations

import shlex
import tarfile
import tempfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from functools import cached_property
from io import BytesIO
from pathlib import Path
from threading import Lock
from time import time
from typing import IO

ROOT = "0:0"
HOLES = ".holes"
HAS_HOLES = "DISTROMATRIX.holes"  # a header of a snapshot's first member, where files have holes
# To be run by root or the owner in the folder that the product lies in, where `Parcel.holes`.
# `$b` is what calls the programs of a busybox.
FILL = f"{{ [ ! -d {HOLES} ] || {{ . ./{HOLES}/fill && $b rm -rf {HOLES}; }}; }}"
_BLOCK = 1 << 16


def owner_of(user: str) -> str:
    """`UID:GID` of a machine's user (`root` or that)."""
    return ROOT if user == "root" else user


def ids_of(user: str) -> tuple[int, int]:
    """The same as numbers."""
    uid, _, gid = owner_of(user).partition(":")
    return int(uid), int(gid)


def folders(owner: str, names: tuple[str, ...]) -> bytes:
    """A tar of empty folders."""
    return headers(owner, names) + bytes(2 * tarfile.BLOCKSIZE)


def headers(owner: str, names: Iterable[str]) -> bytes:
    """The same, of a tar that goes on."""
    return b"".join(header(owner, name) for name in names)


def header(owner: str, name: str, mode: int = 0o755) -> bytes:
    """One of them, with that mode, made now: it is newer than the product."""
    info = tarfile.TarInfo(name)
    info.mtime = int(time())
    info.type, info.mode = tarfile.DIRTYPE, mode
    info.uid, info.gid = map(int, owner.split(":"))
    return info.tobuf()


class Parcel:
    """A snapshot. `plain`: for a tar that reads no pax headers, as busybox's; then times are
    whole seconds. Thread-safe."""

    def __init__(self, snapshot: Callable[[], Path], *, plain: bool = False) -> None:
        self._asked = snapshot
        self._format = tarfile.GNU_FORMAT if plain else tarfile.PAX_FORMAT
        self._lock = Lock()
        self._made: dict[tuple[str, str], IO[bytes]] = {}  # without a name: nothing stays behind

    @cached_property
    def _snapshot(self) -> Path:
        return self._asked()

    @cached_property
    def size(self) -> int:
        """Bytes of the snapshot."""
        return self._snapshot.stat().st_size

    @cached_property
    def holes(self) -> bool:
        """Whether there are files with holes to be made."""
        with tarfile.open(self._snapshot, encoding="utf-8", errors="surrogateescape") as tar:
            first = tar.next()
            return first is not None and HAS_HOLES in first.pax_headers

    def open(self, owner: str, prefix: str = "") -> IO[bytes]:
        """Its tar, all of it `owner`'s (UID:GID), below the folder `prefix` (`a/b/`). Raises
        OSError."""
        as_it_is = owner == ROOT and not prefix and self._format == tarfile.PAX_FORMAT
        if as_it_is and not self.holes:
            return self._snapshot.open("rb")
        with self._lock:
            if (owner, prefix) not in self._made:
                file = tempfile.TemporaryFile(dir=self._snapshot.parent)  # noqa: SIM115 - see close
                try:
                    self._write(file, owner, prefix)
                except BaseException:
                    file.close()
                    raise
                self._made[owner, prefix] = file
            # Opened anew, so that each reader has a place of its own in it.
            return Path(f"/proc/self/fd/{self._made[owner, prefix].fileno()}").open("rb")

    def write(self, dest: Path, owner: str, prefix: str = "") -> None:
        """See open; into that file."""
        with dest.open("wb") as file:
            self._write(file, owner, prefix)

    def _write(self, file: IO[bytes], owner: str, prefix: str) -> None:
        with tarfile.open(
            fileobj=file, mode="w", format=self._format, encoding="utf-8", errors="surrogateescape"
        ) as target:
            _write(self._snapshot, target, owner, prefix)
        file.flush()

    def close(self) -> None:
        """Forget what was made. Never raises."""
        with self._lock:
            for file in self._made.values():
                with suppress(OSError):
                    file.close()
            self._made.clear()


def _write(snapshot: Path, target: tarfile.TarFile, owner: str, prefix: str) -> None:
    script: list[bytes] = []
    folder = tarfile.TarInfo(prefix + HOLES)
    folder.type, folder.mode = tarfile.DIRTYPE, 0o755
    _give(folder, owner)
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
            if not script:
                target.addfile(folder)
            number = len(script)
            info.name = f"{folder.name}/{number}"
            added = _add_pieces(target, info, content, pieces)
            script += _script(f"{HOLES}/{number}", name, size, added)
    if script:
        info = tarfile.TarInfo(f"{prefix}{HOLES}/fill")
        _give(info, owner)
        joined = b"\n".join((*script, b""))
        info.size = len(joined)
        target.addfile(info, BytesIO(joined))


def _add_pieces(
    target: tarfile.TarFile,
    like: tarfile.TarInfo,
    content: IO[bytes],
    pieces: list[tuple[int, int]],
) -> Iterator[tuple[int, int, int]]:
    """Add a file `NAME-N` for each piece, as old as the whole. N, and where it belongs: so many
    blocks of so many bytes from the beginning."""
    name = like.name
    for number, (start, length) in enumerate(pieces):
        like.name, like.size = f"{name}-{number}", length
        content.seek(start)
        target.addfile(like, content)
        # Where holes end is a block's boundary on all disks.
        block = min(start & -start or _BLOCK, _BLOCK)
        yield number, start // block, block


def _script(
    folder: str, name: str, size: int, pieces: Iterator[tuple[int, int, int]]
) -> Iterator[bytes]:
    file = shlex.quote(name).encode("utf-8", "surrogateescape")
    piece = folder.encode()
    yield b"$b dd if=/dev/null of=%b bs=1 seek=%d count=0 &&" % (file, size)
    for number, at, block in pieces:
        piece = b"%b-%d" % (folder.encode(), number)
        yield b"$b dd if=%b of=%b bs=%d seek=%d conv=notrunc &&" % (piece, file, block, at)
    yield b"$b touch -r %b %b || return" % (piece, file)


def _give(info: tarfile.TarInfo, owner: str) -> None:
    info.uid, info.gid = ids_of(owner)
    info.uname = info.gname = ""
