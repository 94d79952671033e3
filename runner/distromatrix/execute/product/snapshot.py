"""The product, as it is now: taken once for a run, copied for every cell.

It is known by what it holds (`Entry`), of which the index of an earlier snapshot says most. Its
content goes to an engine as a stream; where one wants it as a tar file, that is written.
"""

from __future__ import annotations

import errno
import gc
import hashlib
import json
import os
import shutil
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from functools import reduce
from operator import or_
from pathlib import Path, PurePosixPath
from stat import S_IFLNK
from threading import Lock
from typing import IO, Protocol

from distromatrix.engines.layers import Layers
from distromatrix.errors import InputError
from distromatrix.execute.product.content import open_file, pieces_of, read
from distromatrix.execute.product.entries import FILE, FOLDER, LINK, Entry, seen_of
from distromatrix.execute.product.index import load, save, take_over, unread
from distromatrix.execute.product.listed import list_product, reading
from distromatrix.execute.product.tar import PREFIX, ROOT, in_tar, open_now, packed
from distromatrix.files.whole import disk_fault, whole_file
from distromatrix.model import Product
from distromatrix.plan.reads import path_glob, told_apart

Tell = Callable[[str], None]
BIG_COUNT, BIG_BYTES = 2_000, 64 << 20  # from so many files or bytes on it is told what is staged


class Keeper(Layers, Protocol):
    """Who keeps a snapshot on an engine, and knows what was known of an earlier one."""

    index: Path

    def keep(self, snapshot: Snapshot) -> None:
        """Put it there, by which it is read. Raises InputError, InfrastructureError."""

    def take_up(self, snapshot: Snapshot) -> None:
        """Be who keeps it, as it was put there before."""

    def fetch(self, name: str) -> Iterator[bytes]:
        """A file's content as it was put there. Raises FileNotFoundError, InfrastructureError."""

    def let_go(self) -> None:
        """The snapshot is not needed any more."""


class Snapshot:
    """A snapshot. `path`: its tar file, whose members lie below `product/`, all of them root's,
    which is there once it was asked for (`tar`). `keeper`: who keeps it on an engine, if any."""

    def __init__(
        self, root: Path, dest: Path, entries: dict[str, Entry], warnings: tuple[str, ...] = ()
    ) -> None:
        self.root = root
        self.path = dest
        self.entries = entries
        self.warnings = warnings
        self.keeper: Keeper | None = None
        self._listed = time.time_ns()
        self._taken = False  # it has been read: from now on only what was there then counts
        self._lock = Lock()

    # --- what it holds ---------------------------------------------------------------------

    def matching(self, globs: tuple[str, ...]) -> tuple[tuple[str, bytes, int], ...]:
        """The files and links that any of the globs matches, and none of those that follow a `!`:
        path from the product's root, content (of a link: where it leads) and mode, sorted by path.
        `**` crosses folders, `*` does not."""
        wanted, unwanted = ([*map(path_glob, some)] for some in told_apart(globs))
        found = (
            entry
            for name, entry in self.entries.items()
            if entry.kind != FOLDER
            and any(p.fullmatch(name) for p in wanted)
            and not any(p.fullmatch(name) for p in unwanted)
        )
        links = {LINK: S_IFLNK}
        return tuple(
            sorted((e.name, self._content(e), e.mode | links.get(e.kind, 0)) for e in found)
        )

    def _content(self, entry: Entry) -> bytes:
        if entry.kind == LINK:
            return os.fsencode(entry.target)
        if entry.data is not None:
            return entry.data
        with reading(self.root), os.fdopen(self._open_as_taken(entry), "rb") as file:
            return file.read()

    def files(self) -> dict[str, Entry]:
        """The files and links, by their paths from the product's root, but for git's own."""
        return {
            name: entry
            for name, entry in self.entries.items()
            if entry.kind != FOLDER and ".git" not in PurePosixPath(name).parts
        }

    def digest(self) -> str:
        """What names the product as it is tested, wherever it was checked out: files, links and
        who may execute them, but for git's own, times and empty folders."""
        members: dict[str, tuple[str, ...]] = {}
        for name, entry in self.files().items():
            if entry.kind == FILE:
                said = ("x" * bool(entry.mode & 0o100), *entry.content.split(":"))
            else:
                said = ("link", _text(entry.target))
            members[_text(f"{PREFIX}/{name}")] = said
        listed = json.dumps(sorted(members.items())).encode()
        return "sha256:" + hashlib.sha256(listed).hexdigest()

    @property
    def says(self) -> int:
        """What its Python files say of us (`python_says`)."""
        return reduce(or_, (entry.says for entry in self.entries.values()), 0)

    def has_holes(self) -> bool:
        """Whether files have holes that are worth being left out."""
        for entry in self.entries.values():
            if entry.holes:
                with suppress(OSError):
                    fd = open_file(entry.path or f"{self.root}/{entry.name}")
                    try:
                        if pieces_of(fd, os.fstat(fd)) is not None:
                            return True
                    finally:
                        os.close(fd)
        return False

    # --- its content -----------------------------------------------------------------------

    def pack(
        self,
        wanted: Iterable[Entry] | None = None,
        owner: tuple[int, int] = ROOT,
        below: str = "",
        gone: Iterable[str] = (),
    ) -> Iterator[bytes]:
        """As a tar stream (`packed`): of what lies there now, until it is taken. Raises
        InputError."""
        opened = self._open_as_taken if self._taken else None
        with reading(self.root):
            yield from packed(self.entries, str(self.root), wanted, owner, below, opened, gone)

    def _open_as_taken(self, entry: Entry, path: str = "") -> int:
        """A descriptor of a file's content as it was: of the product's, if that has not changed,
        else of what was kept of it. Raises OSError, InfrastructureError."""
        with suppress(OSError):
            fd = open_file(path or f"{self.root}/{entry.name}")
            if seen_of(os.fstat(fd)) == entry.seen:
                return fd
            os.close(fd)
        with tempfile.TemporaryFile(dir=self.path.parent) as file:
            self._kept_content(entry, file)
            file.seek(0)
            return os.dup(file.fileno())

    def _kept_content(self, entry: Entry, file: IO[bytes]) -> None:
        name = f"{PREFIX}/{entry.twin or entry.name}"
        if self.path.exists():
            import tarfile

            with tarfile.open(self.path, encoding="utf-8", errors="surrogateescape") as tar:
                if (content := tar.extractfile(_text(name))) is not None:
                    shutil.copyfileobj(content, file)
                    return
        if self.keeper is not None:
            with suppress(FileNotFoundError):
                for chunk in self.keeper.fetch(entry.name):
                    file.write(chunk)
                if file.tell() == entry.size:
                    return
        why = "it may have changed since the run began, and is not kept any more: start a new run"
        raise OSError(errno.ESTALE, why, f"{self.root}/{entry.name}")

    def read_all(self) -> None:
        """Know what is in each file. Raises InputError."""
        with reading(self.root):
            for entry in unread(self.entries.values()):
                with suppress(FileNotFoundError, NotADirectoryError):
                    fd = open_now(str(self.root), entry, entry.path)
                    try:
                        for _ in read(fd, entry):
                            pass
                    finally:
                        os.close(fd)
        self.drop_vanished()

    def drop_vanished(self) -> None:
        """What was gone when it was to be read is none of the product."""
        for entry in unread(self.entries.values()):
            del self.entries[entry.name]

    # --- what is written down --------------------------------------------------------------

    def tar(self) -> Path:
        """The tar file. Raises InputError when the product cannot be read, or has changed and
        nobody has kept it; InfrastructureError when the file cannot be written."""
        with self._lock:
            if not self.path.exists():
                with _writing(self.path), whole_file(self.path) as out:
                    for chunk in self.pack():
                        out.write(chunk)
        return self.path

    def settle(self, known: dict[str, Entry] | None = None) -> None:
        """It is taken: written down, for a run that goes on, and as the index of the next, which
        may be what was `known` already. Raises InfrastructureError."""
        self.drop_vanished()
        self._taken = True
        own = manifest(self.path)
        index = self.keeper.index if self.keeper is not None else None
        with _writing(own):
            if index is not None and self.entries == known:
                with suppress(FileNotFoundError):
                    shutil.copyfile(index, own)
                    return
            save(own, self.entries.values(), self.warnings, self._listed)
            if index is not None:  # whose folder somebody may have cleaned meanwhile
                with suppress(FileNotFoundError), own.open("rb") as held, whole_file(index) as out:
                    shutil.copyfileobj(held, out)

    def forget(self) -> None:
        """Its run is complete: remove what was written, let go of what is kept."""
        for path in (self.path, manifest(self.path)):
            path.unlink(missing_ok=True)
        if self.keeper is not None:
            self.keeper.let_go()


def manifest(dest: Path) -> Path:
    """Where it is written what a snapshot holds, whose tar file is `dest`."""
    return dest.with_suffix(".json")


def take(
    product: Product, dest: Path, tell: Tell | None = None, keeper: Keeper | None = None
) -> Snapshot:
    """Take the product's snapshot. It is written to `dest`, but where it has a keeper, and no
    holes, it is put there; what is staged is told if it is big. Raises InputError when it cannot be
    read, InfrastructureError when it cannot be written."""
    with _without_collector():
        entries, warnings = list_product(product)
        snapshot = Snapshot(product.path, dest, entries, warnings)
        if tell is not None:
            _tell(entries, tell)
        if keeper is None or snapshot.has_holes():
            snapshot.tar()
            snapshot.settle()
            return snapshot
        snapshot.keeper = keeper
        known = load(keeper.index)
        if known is not None:
            take_over(entries, known[0])
        keeper.keep(snapshot)
        snapshot.settle(known[0] if known and known[1] == warnings else None)
        return snapshot


def look_at(product: Product, dest: Path) -> Snapshot:
    """What would be taken, of which nothing is written to `dest`: for who wants some files of it.
    Raises InputError."""
    with _without_collector():
        return Snapshot(product.path, dest, *list_product(product))


def stored(product: Product, dest: Path, keeper: Keeper | None = None) -> Snapshot:
    """The snapshot that a run had. Raises InputError."""
    found = load(manifest(dest))
    if found is None:
        raise InputError(f"{manifest(dest)}: cannot be read: the run cannot go on")
    snapshot = Snapshot(product.path, dest, *found)
    snapshot._taken = True
    if keeper is not None and not dest.exists():
        snapshot.keeper = keeper
        keeper.take_up(snapshot)
    return snapshot


@contextmanager
def _writing(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise disk_fault(error, path) or InputError(
            f"{error.filename or path}: {error.strerror}"
        ) from error


def _tell(entries: dict[str, Entry], tell: Tell) -> None:
    files = [entry for entry in entries.values() if entry.kind == FILE]
    size = sum(entry.size for entry in files if entry.twin in ("", entry.name))
    if len(files) >= BIG_COUNT or size >= BIG_BYTES:
        tell(f"staging the product: {len(files):,} files, {size / 1e6:,.0f} MB")


@contextmanager
def _without_collector() -> Iterator[None]:
    """Python's collector of cycles looks at all that was made, again and again; here is none."""
    was = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was:
            gc.enable()


def _text(name: str) -> str:
    """As tarfile reads it."""
    return in_tar(name).decode("utf-8", "surrogateescape")
