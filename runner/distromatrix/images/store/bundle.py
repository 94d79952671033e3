"""Files of ours that go from one host to another: a plain tar of a few members, one of which says
in JSON what is in the others, with their sha256. A file may come from a stranger."""

from __future__ import annotations

import gzip
import hashlib
import json
import stat
import tarfile
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Generic, TypeVar, cast

from distromatrix import __version__
from distromatrix.engines.changes import TooMuchError
from distromatrix.errors import InputError

BLOCK = tarfile.BLOCKSIZE
_CHUNK = 1 << 20

T = TypeVar("T")


# --- there ----------------------------------------------------------------------------------


class Bounded:
    """Passes on what is written, hashes it, and takes no more than `most` bytes."""

    def __init__(self, out: IO[bytes], most: int) -> None:
        self._out, self._most, self.written, self._told = out, most, 0, False
        self.digest = hashlib.sha256()

    def write(self, data: bytes) -> int:
        """Raises TooMuchError, once: what is closed then may empty its buffers still."""
        if self._told:
            return len(data)
        self.written += len(data)
        if self.written > self._most:
            self._told = True
            raise TooMuchError("it would be too large", transient=False)
        self.digest.update(data)
        return self._out.write(data)

    def flush(self) -> None:
        """As of what is passed on to."""
        self._out.flush()


def zipped(out: Bounded) -> gzip.GzipFile:
    """What is written to this goes to `out`, compressed as far as costs little."""
    file = cast("IO[bytes]", out)
    return gzip.GzipFile(filename="", fileobj=file, mode="wb", compresslevel=1, mtime=0)


def header(name: str, size: int, mode: int) -> bytes:
    """What comes before a member of so many bytes: one block."""
    info = tarfile.TarInfo(name)
    info.size, info.mode, info.mtime = size, mode, int(time.time())
    return info.tobuf(tarfile.GNU_FORMAT)  # sizes above 8 GiB fit, in one block


def padding(size: int) -> bytes:
    """What comes after a member of so many bytes."""
    return bytes(-size % BLOCK)


# --- and back -------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Bundle(Generic[T]):
    """A kind of such files. `by`: the command that writes them; `members`: their names, in order;
    `said`: that of the JSON, of at most `most` bytes, which is a `shape`."""

    by: str
    members: tuple[str, ...]
    said: str
    most: int
    shape: type[T]
    format: int

    @contextmanager
    def opened(self, path: Path) -> Iterator[tuple[T, dict[str, IO[bytes]]]]:
        """What such a file says, and its members by their names, open: all are there, and whole
        as far as their length goes. Raises InputError."""
        try:
            if not stat.S_ISREG((found := path.stat()).st_mode):
                raise InputError(f"{path}: is no file")
            with tarfile.open(path, "r:") as tar:
                members = {one: self._next(path, tar, one, found.st_size) for one in self.members}
                yield self._read(path, members[self.said].read(self.most + 1)), members
        except tarfile.TarError:
            raise self._foreign(path) from None
        except OSError as error:
            if error.filename is None:
                raise
            raise InputError(f"{path}: cannot be read: {error.strerror}") from None

    def _next(self, path: Path, tar: tarfile.TarFile, name: str, size: int) -> IO[bytes]:
        try:
            member = tar.next()
        except tarfile.ReadError:
            member = None
        if member is None and name == self.members[0]:
            raise self._foreign(path)
        if member is None or member.offset_data + member.size > size:
            raise InputError(f"{path}: is damaged: it ends too early; copy it again")
        if member.name != name or member.type != tarfile.REGTYPE:
            raise self._foreign(path)
        return cast("IO[bytes]", tar.extractfile(member))

    def _read(self, path: Path, text: bytes) -> T:
        from pydantic import TypeAdapter, ValidationError

        if len(text) > self.most:
            raise self._foreign(path)
        try:
            said = json.loads(text).get("format")
            if said != self.format:
                raise InputError(
                    f"{path}: has format {repr(said)[:20]}, this distromatrix reads "
                    f"{self.format}: write it with version {__version__}, or take the version "
                    "that wrote it"
                )
            return TypeAdapter(self.shape).validate_json(text)
        except (ValidationError, ValueError, AttributeError, RecursionError):
            raise self._foreign(path) from None

    def _foreign(self, path: Path) -> InputError:
        return InputError(f"{path}: was not written by `distromatrix {self.by}`")


def require_whole(
    path: Path,
    members: Iterable[IO[bytes]],
    sha256: str,
    progress: Callable[[int], None] = lambda _: None,
) -> None:
    """Raises InputError unless these members of a file have that sha256, together; they can be
    read again then. `progress` is told how many bytes were looked at."""
    digest, done = hashlib.sha256(), 0
    for member in members:
        while chunk := member.read(_CHUNK):
            digest.update(chunk)
            done += len(chunk)
            progress(done)
        member.seek(0)
    if digest.hexdigest() != sha256:
        raise InputError(
            f"{path}: is damaged: the sha256 of its content is {digest.hexdigest()}, and it says "
            f"{sha256}; copy it again"
        )
