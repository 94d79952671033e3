"""The product, as it is now: taken once for a run, copied for every cell.

It is known by what it holds (`Entry`), of which the index of an earlier snapshot says most. Its
content goes to an engine as a stream; where one wants it as a tar file, that is written.
"""

from __future__ import annotations

import gc
import hashlib
import json
import os
import tarfile
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from functools import reduce
from operator import or_
from pathlib import Path, PurePosixPath

from distromatrix.errors import InputError
from distromatrix.execute.product.content import open_file
from distromatrix.execute.product.entries import FILE, FOLDER, Entry, seen_of
from distromatrix.execute.product.index import load, save, unread
from distromatrix.execute.product.listed import list_product, reading
from distromatrix.execute.product.tar import PREFIX, in_tar, packed
from distromatrix.files.whole import disk_fault, whole_file
from distromatrix.model import Product
from distromatrix.plan.reads import path_glob

Tell = Callable[[str], None]
BIG_COUNT, BIG_BYTES = 2_000, 64 << 20  # from so many files or bytes on it is told what is staged


class Snapshot:
    """A snapshot. `path`: its tar file, whose members lie below `product/`, all of them root's."""

    def __init__(
        self, root: Path, dest: Path, entries: dict[str, Entry], warnings: tuple[str, ...] = ()
    ) -> None:
        self.root = root
        self.entries = entries
        self.warnings = warnings
        self._dest = dest
        self._listed = time.time_ns()

    @property
    def path(self) -> Path:
        """The tar file."""
        return self._dest

    def matching(self, globs: tuple[str, ...]) -> tuple[tuple[str, bytes, int], ...]:
        """The regular files that any of the globs matches: path from the product's root,
        content and mode, sorted by path. `**` crosses folders, `*` does not."""
        patterns = [path_glob(glob) for glob in globs]
        found = (
            entry
            for name, entry in self.entries.items()
            if entry.kind == FILE and any(p.fullmatch(name) for p in patterns)
        )
        return tuple(sorted((e.name, self._content(e), e.mode) for e in found))

    def _content(self, entry: Entry) -> bytes:
        """A file's, as it was."""
        if entry.data is not None:
            return entry.data
        with suppress(OSError):
            fd = open_file(entry.path or f"{self.root}/{entry.name}")
            with os.fdopen(fd, "rb") as file:
                if seen_of(os.fstat(fd)) == entry.seen:
                    return file.read()
        with tarfile.open(self.path, encoding="utf-8", errors="surrogateescape") as tar:
            name = in_tar(f"{PREFIX}/{entry.name}").decode("utf-8", "surrogateescape")
            content = tar.extractfile(name)
            return content.read() if content is not None else b""

    def digest(self) -> str:
        """What names the product as it is tested, wherever it was checked out: files, links and
        who may execute them, but for git's own, times and empty folders."""
        members: dict[str, tuple[str, ...]] = {}
        for name, entry in self.entries.items():
            if entry.kind == FOLDER or ".git" in PurePosixPath(name).parts:
                continue
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

    def pack(self, wanted: Iterable[Entry] | None = None) -> Iterator[bytes]:
        """As a tar stream, of what lies there now. Raises InputError."""
        with reading(self.root):
            yield from packed(self.entries, str(self.root), wanted)

    def write(self) -> None:
        """The tar file. Raises InputError when the product cannot be read, InfrastructureError
        when it cannot be written."""
        try:
            with whole_file(self._dest) as out:
                for chunk in self.pack():
                    out.write(chunk)
            for entry in unread(self.entries.values()):
                del self.entries[entry.name]  # it was gone when it was to be read
            self._save(manifest(self._dest))
        except OSError as error:
            raise disk_fault(error, self._dest) or InputError(
                f"{error.filename or self._dest}: {error.strerror}"
            ) from error

    def _save(self, path: Path) -> None:
        save(path, self.entries.values(), self.warnings, self._listed)

    def forget(self) -> None:
        """Remove what was written: its run is complete."""
        for path in (self._dest, manifest(self._dest)):
            path.unlink(missing_ok=True)


def manifest(dest: Path) -> Path:
    """Where it is written what a snapshot holds, whose tar file is `dest`."""
    return dest.with_suffix(".json")


def take(product: Product, dest: Path, tell: Tell | None = None) -> Snapshot:
    """Write the product's snapshot to `dest`; what is staged is told if it is big. Raises
    InputError when it cannot be read, InfrastructureError when it cannot be written."""
    with _without_collector():
        entries, warnings = list_product(product)
        if tell is not None:
            _tell(entries, tell)
        snapshot = Snapshot(product.path, dest, entries, warnings)
        snapshot.write()
        return snapshot


def stored(product: Product, dest: Path) -> Snapshot:
    """The snapshot that a run had. Raises InputError."""
    found = load(manifest(dest))
    if found is None:
        raise InputError(f"{manifest(dest)}: cannot be read: the run cannot go on")
    return Snapshot(product.path, dest, *found)


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
