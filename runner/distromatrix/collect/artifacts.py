"""Unpacks what a machine hands back. The archive may be hostile: nothing is written outside
the destination, nothing is followed, everything is bounded."""

from __future__ import annotations

import io
import tarfile
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Protocol

from distromatrix.collect.errors import CollectError
from distromatrix.collect.log import Masker, write_all
from distromatrix.collect.masked_file import MaskedFile
from distromatrix.collect.text import one_line
from distromatrix.files.below import Folder, caller
from distromatrix.files.whole import disk_fault

LIMIT_BYTES = 1024**3
LIMIT_FILES = 100_000
ARTIFACTS = "artifacts"
_MAX_DEPTH = 64  # folders in folders
_MAX_HEADER = 4 * 1024 * 1024  # bytes of one member's headers; real ones have some KiB
_MAX_REFUSED = 100
_CHUNK = 1024 * 1024
_READ_AHEAD = 256 * 1024
# What tarfile raises, too, of headers that no program writes.
TARFILES = (ValueError, LookupError, TypeError, ArithmeticError, RecursionError)
# What makes a folder a repository (of git also without a `.git`: gitrepository-layout(5)). Who only
# asks for its state there, as many prompts do, runs what its settings say.
COMMANDS = frozenset((".git", "head", ".hg", ".jj", ".sl", ".bzr", "_darcs"))


@dataclass(frozen=True, slots=True, kw_only=True)
class Extracted:
    """What was unpacked. `refused`: one line for each thing that a well-meant archive does
    not hold, or that was too much; `skipped`: one for each symbolic link, pipe or socket among
    the artifacts, which are usual, and stay behind; `renamed`: what is of a repository;
    `unmasked`: what holds a secret, and is no text."""

    files: int
    bytes: int
    refused: tuple[str, ...] = ()
    skipped: tuple[str, ...] = ()
    renamed: tuple[str, ...] = ()
    unmasked: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Aside:
    """What comes to another place than the rest: the things of these `names`, to the folder
    `dest`, which exists, at most `limit_bytes` of them."""

    names: tuple[str, ...]
    dest: Path
    limit_bytes: int


def extract(
    chunks: Iterable[bytes],
    dest: Path,
    *,
    limit_bytes: int = LIMIT_BYTES,
    limit_files: int = LIMIT_FILES,
    strip: str = "out",
    only: tuple[str, ...] = (ARTIFACTS,),
    aside: Aside | None = None,
    masker: Masker | None = None,
) -> Extracted:
    """Unpack a tar stream below the folder `dest`, without its top-level folder `strip`.

    Only what is called, or lies below, a name of `only` is taken, masked, and what is to go
    `aside`, as it is.
    Regular files and folders come out, hard links as copies, with plain modes, owned by whoever
    called (also through sudo). Files that are there are replaced, never followed. Raises
    CollectError when the archive is unreadable, InfrastructureError when the disk is full, and
    whatever `chunks` raises.
    """
    dest.mkdir(parents=True, exist_ok=True)
    with ExitStack() as stack:
        roots = dict.fromkeys(only, stack.enter_context(Folder.at(dest, owner=caller())))
        if aside is not None:
            folder = stack.enter_context(Folder.at(aside.dest, owner=caller()))
            roots |= dict.fromkeys(aside.names, folder)
        masker = masker or Masker()
        unpacker = _Unpacker(dest, limit_bytes, limit_files, strip, roots, aside, masker)
        try:
            unpacker.run(TarStream(chunks))
        except (tarfile.TarError, EOFError, *TARFILES) as error:
            reason = f"the archive of artifacts is unreadable: {one_line(str(error))}"
            raise CollectError(reason) from error
    return Extracted(
        files=unpacker.files,
        bytes=unpacker.taken,
        refused=tuple(unpacker.refused),
        skipped=tuple(unpacker.skipped),
        renamed=tuple(unpacker.renamed),
        unmasked=tuple(unpacker.unmasked),
    )


class _RefusedError(Exception):
    """One member is not taken; the next one may be."""


class _LimitError(Exception):
    """Enough: nothing more is taken."""


class _Readable(Protocol):
    def read(self, size: int, /) -> bytes: ...


class TarStream(io.RawIOBase):
    """The chunks as a file. `budget` bounds what tarfile may read before the next member: it
    reads headers whole, however big they claim to be."""

    def __init__(self, chunks: Iterable[bytes]) -> None:
        self._chunks = iter(chunks)
        self._left = self._last = b""
        self.budget = _MAX_HEADER

    def read(self, size: int = -1) -> bytes:  # noqa: D102 - see io.RawIOBase
        while not self._left:
            try:
                self._left = next(self._chunks)
            except StopIteration:
                return b""
        data = self._left[:size] if size >= 0 else self._left
        self._left = self._left[len(data) :]
        self._last = (self._last + data[-tarfile.BLOCKSIZE :])[-tarfile.BLOCKSIZE :]
        self.budget -= len(data)
        if self.budget < 0:
            raise CollectError("the archive is refused: a header of it is too big")
        return data

    def members(self, tar: tarfile.TarFile) -> Iterator[tarfile.TarInfo]:
        """The members of `tar`, which reads this, one after the other. Raises ReadError for an
        archive that is cut off, whose end tarfile takes for one."""
        while (member := tar.next()) is not None:
            vars(tar)["members"].clear()  # it would keep them all
            self.budget = max(member.size, 0) + _MAX_HEADER  # to the next one
            yield member
        if self._last != bytes(tarfile.BLOCKSIZE):
            raise tarfile.ReadError("it is cut off")


@dataclass(slots=True)
class _Unpacker:
    """One extraction. `roots`: the folder for each name that is taken."""

    dest: Path
    limit_bytes: int
    limit_files: int
    strip: str
    roots: dict[str, Folder]
    aside: Aside | None
    masker: Masker
    seen: int = 0
    files: int = 0
    taken: int = 0  # bytes
    taken_aside: int = 0
    refused: list[str] = field(default_factory=list)
    skipped: list[str] = field(default_factory=list)
    renamed: dict[str, None] = field(default_factory=dict)
    unmasked: list[str] = field(default_factory=list)

    def run(self, stream: TarStream) -> None:
        with tarfile.open(fileobj=stream, mode="r|", bufsize=_READ_AHEAD) as tar:
            passed = 0
            most = 2 * self.limit_bytes + (self.aside.limit_bytes if self.aside else 0)
            for member in stream.members(tar):
                try:
                    self._take(tar, member)
                except _RefusedError as reason:
                    if len(self.refused) < _MAX_REFUSED:
                        self.refused.append(f"{one_line(member.name)}: {reason}")
                except _LimitError as reason:
                    self.refused.append(str(reason))
                    return
                # What is not taken is read as well, holes of a sparse file, too.
                passed += max(member.size, 0)
                if passed > most:
                    self.refused.append(f"more than {most >> 20:,} MiB: the rest was left out")
                    return

    def _take(self, tar: tarfile.TarFile, member: tarfile.TarInfo) -> None:
        self.seen += 1
        if self.seen > self.limit_files:
            raise _LimitError(f"more than {self.limit_files:,} files: the rest was left out")
        parts = self._parts(member.name)
        if not parts:
            return
        if member.isdir():
            with self._naming_faults():
                self.roots[parts[0]].make("/".join(parts))
            return
        if member.issym():
            self._skip(parts, "a symbolic link")
        elif member.isfifo():
            self._skip(parts, "a pipe")
        elif member.islnk():
            with self._linked(member) as source:
                self._write(parts, source, member.mode)
        elif member.isreg():
            file = tar.extractfile(member)
            if file is not None:
                self._write(parts, file, member.mode, size=member.size)
        else:
            raise _RefusedError("a device")

    def _parts(self, name: str) -> tuple[str, ...]:
        """The path below `dest`; empty for what does not concern us."""
        if name.startswith("/"):
            raise _RefusedError("an absolute name")
        parts = tuple(part for part in name.split("/") if part not in ("", "."))
        if ".." in parts:
            raise _RefusedError("its name leads outside")
        if len(parts) > _MAX_DEPTH:
            raise _RefusedError(f"in more than {_MAX_DEPTH} folders")
        if parts[:1] != (self.strip,) or parts[1:2] == ():
            return ()
        if parts[1] not in self.roots:
            return ()
        named = self.masker.mask("/".join(parts[2:])).split("/")  # of its names, too
        parts = (*parts[:2], *filter(None, named))
        for end, part in enumerate(parts[2:], 3):
            if disarmed(part) != part and len(self.renamed) < _MAX_REFUSED:
                self.renamed[one_line("/".join(parts[2:end]))] = None
        return tuple(disarmed(part) for part in parts[1:])

    def _skip(self, parts: tuple[str, ...], what: str) -> None:
        """Wherever a link leads, nobody follows it. In a report's place it hides the report."""
        if parts[0] != ARTIFACTS or len(parts) == 1:
            raise _RefusedError(what)
        if len(self.skipped) < _MAX_REFUSED:
            self.skipped.append(f"{one_line('/'.join(parts[1:]))} ({what})")

    @contextmanager
    def _linked(self, member: tarfile.TarInfo) -> Iterator[IO[bytes]]:
        """The file, extracted before, that a hard link means."""
        parts = self._parts(member.linkname)
        if not parts:
            raise _RefusedError("a hard link to what is not in the archive")
        try:
            file = self.roots[parts[0]].read("/".join(parts))
        except OSError as error:
            reason = f"a hard link to what cannot be read: {error.strerror}"
            raise _RefusedError(reason) from error
        with file:
            yield file

    def _write(
        self, parts: tuple[str, ...], source: _Readable, mode: int, size: int | None = None
    ) -> None:
        root = self.roots[parts[0]]
        with self._naming_faults():
            root.make("/".join(parts[:-1]))
            file = root.create("/".join(parts), 0o755 if mode & 0o100 else 0o644)
        aside = self.aside if self.aside and parts[0] in self.aside.names else None
        masked = MaskedFile(Masker() if aside else self.masker, file.fileno())
        with file:
            try:
                self._copy(source, file.fileno(), size, masked, aside)
            finally:  # also of what was cut off
                with self._naming_faults():
                    masked.finish()
        if masked.told and len(self.unmasked) < _MAX_REFUSED:
            self.unmasked.append(one_line("/".join(parts[1:])))
        self.files += 1

    @contextmanager
    def _naming_faults(self) -> Iterator[None]:
        """Around what touches our disk only: what the archive's source raises is not ours."""
        try:
            yield
        except OSError as error:
            if fault := disk_fault(error, self.dest):
                raise fault from error
            raise _RefusedError(f"cannot be written: {error.strerror}") from error

    def _copy(
        self,
        source: _Readable,
        fd: int,
        size: int | None,
        masked: MaskedFile,
        aside: Aside | None,
    ) -> None:
        written = 0
        while chunk := source.read(_CHUNK):
            if aside:
                self.taken_aside += len(chunk)
                if self.taken_aside > aside.limit_bytes:
                    limit = f"{aside.limit_bytes / 1024**2:,.0f} MiB"
                    raise _LimitError(f"the reports are bigger than {limit}: the rest was left out")
            if self.taken + len(chunk) > self.limit_bytes:
                limit = f"{self.limit_bytes / 1024**2:,.0f} MiB"
                raise _LimitError(f"more than {limit}: the rest was left out")
            write_all(fd, chunk, self.dest)
            masked.feed(chunk)
            written += len(chunk)
            self.taken += len(chunk)
        if size is not None and written != size:
            raise tarfile.ReadError("it is cut off")


def disarmed(name: str) -> str:
    """The name under which a file or folder comes home: version control finds no repository of
    its own in it, whose settings are commands."""
    return f"_{name}" if name.casefold() in COMMANDS else name
