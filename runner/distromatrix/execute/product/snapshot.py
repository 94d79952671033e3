"""The product, as it is now, in one tar file: taken once for a run, copied for every cell.

In a git work tree that is what git tracks, as it is in the working tree, and what is neither
tracked nor ignored, submodules included; elsewhere it is the whole folder.
"""

from __future__ import annotations

import hashlib
import json
import os
import stat
import tarfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO

from distromatrix.collect.text import one_line
from distromatrix.errors import InputError
from distromatrix.execute.product.checkout import CheckoutEntry, look, trusts_modes
from distromatrix.execute.product.git_folder import add_git
from distromatrix.execute.product.tar import PREFIX, ProductTar
from distromatrix.files.whole import disk_fault, whole_file
from distromatrix.model import Product
from distromatrix.plan.reads import path_glob

_BLOCK = 1 << 20
_ZEROS = bytes(_BLOCK)
LINKS_NAMED = 3  # escaping links that a warning names before it only counts them


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """A taken snapshot: `path` is a tar file whose members lie below `product/`, all of them
    root's."""

    path: Path
    warnings: tuple[str, ...] = ()

    def matching(self, globs: tuple[str, ...]) -> tuple[tuple[str, bytes, int], ...]:
        """The regular files that any of the globs matches: path from the product's root,
        content and mode, sorted by path. `**` crosses folders, `*` does not."""
        patterns = [path_glob(glob) for glob in globs]
        found: list[tuple[str, bytes, int]] = []
        with tarfile.open(self.path, encoding="utf-8", errors="surrogateescape") as tar:
            for member in tar:
                name = member.name.removeprefix(PREFIX + "/")
                if any(p.fullmatch(name) for p in patterns) and not member.issym():
                    content = tar.extractfile(member)  # of a hard link, the other name's
                    if content is not None:
                        found.append((name, content.read(), member.mode))
        return tuple(sorted(found))

    def digest(self) -> str:
        """What names the product as it is tested, wherever it was checked out: files, links and
        who may execute them, but for git's own, times and empty folders."""
        members: dict[str, tuple[str, ...]] = {}
        with tarfile.open(self.path, encoding="utf-8", errors="surrogateescape") as tar:
            for member in tar:
                if member.isdir() or ".git" in PurePosixPath(member.name).parts:
                    continue
                content = tar.extractfile(member) if member.isreg() else None
                if content is not None:
                    runs = "x" * bool(member.mode & 0o100)
                    members[member.name] = (runs, *_digest_of(content, member))
                elif member.islnk() and member.linkname in members:
                    members[member.name] = members[member.linkname]
                else:
                    members[member.name] = ("link", member.linkname)
        listed = json.dumps(sorted(members.items())).encode()
        return "sha256:" + hashlib.sha256(listed).hexdigest()


def _digest_of(content: IO[bytes], member: tarfile.TarInfo) -> tuple[str, ...]:
    """What names a file's content. Blocks of nothing but zeros count by where they are: it is
    the same whether they are a hole, which nobody wants to read, or not."""
    digest, zeros = hashlib.sha256(), list[str]()
    pieces: list[tuple[int, int]] | None = getattr(member, "sparse", None)
    for start in range(0, member.size, _BLOCK):
        end = min(start + _BLOCK, member.size)
        if pieces is not None and not any(s < end and start < s + n for s, n in pieces):
            zeros.append(f"{start}-{end}")
            continue
        content.seek(start)
        block = content.read(end - start)
        if block == _ZEROS[: len(block)]:
            zeros.append(f"{start}-{end}")
        else:
            digest.update(block)
    return digest.hexdigest(), *zeros


def take(product: Product, dest: Path) -> Snapshot:
    """Write the product's snapshot to `dest`. Raises InputError when it cannot be read,
    InfrastructureError when it cannot be written."""
    try:
        return _take(product, dest)
    except OSError as error:
        raise disk_fault(error, dest) or InputError(
            f"{error.filename or product.path}: {error.strerror}"
        ) from error


def _take(product: Product, dest: Path) -> Snapshot:
    root = product.path
    checkout = look(root)
    with (
        whole_file(dest) as out,
        tarfile.open(fileobj=out, mode="w", format=tarfile.PAX_FORMAT, encoding="utf-8") as file,
    ):
        taking = _Taking(root, ProductTar(file), dest)
        for entry in checkout.entries:
            taking.add(entry)
        warnings = list(taking.warnings())
        if product.git:
            with _reading(root, dest):
                notes = add_git(taking.tar, root, checkout.repositories)
                warnings += [one_line(line, 500) for line in notes]
    return Snapshot(path=dest, warnings=tuple(f"product: {line}" for line in warnings))


class _Taking:
    """What is taken of a checkout: each path as it is there now, if it is."""

    def __init__(self, root: Path, tar: ProductTar, dest: Path) -> None:
        self.tar = tar
        self._root = root
        self._dest = dest
        self._folders = {"": True}
        self._escaping: list[str] = []
        self._special: list[str] = []
        self._trusts: dict[str, bool] = {}
        tar.add_folder(root.resolve(), "")

    def add(self, entry: CheckoutEntry) -> None:
        """Raises InputError."""
        path = self._root / entry.path
        with _reading(path, self._dest):
            try:
                mode = path.lstat().st_mode
            except (FileNotFoundError, NotADirectoryError):
                return  # tracked, but deleted in the working tree
            if stat.S_ISDIR(mode):
                if entry.folder:  # else it stands where git knows a file, empty for git
                    self._has_folder(entry.path)
                return
            if not self._has_folder(entry.path.rpartition("/")[0]):
                return  # it lies behind a link
            if stat.S_ISLNK(mode) and _escapes(self._root, path):
                self._escaping.append(entry.path)
            elif not (stat.S_ISREG(mode) or stat.S_ISLNK(mode)):
                self._special.append(entry.path)
                return
            self.tar.add(path, entry.path, self._executable(entry, mode))

    def _has_folder(self, name: str) -> bool:
        """Whether it is a folder, and not a link to one; then it is added, once."""
        known = self._folders.get(name)
        if known is None:
            known = self._has_folder(name.rpartition("/")[0])
            path = self._root / name
            if known := known and path.is_dir() and not path.is_symlink():
                self.tar.add_folder(path, name)
            self._folders[name] = known
        return known

    def _executable(self, entry: CheckoutEntry, mode: int) -> bool | None:
        """What git's index says of it, where the working tree's disk cannot."""
        if entry.executable is None or entry.executable == bool(mode & 0o100):
            return None
        if entry.repository not in self._trusts:
            self._trusts[entry.repository] = trusts_modes(self._root, entry.repository)
        return None if self._trusts[entry.repository] else entry.executable

    def warnings(self) -> Iterator[str]:
        yield from _warning(
            self._escaping, "points outside the product, and will dangle in the cells"
        )
        yield from _warning(self._special, "is not a file, folder or link, and was left out")


@contextmanager
def _reading(path: Path, dest: Path) -> Iterator[None]:
    """Turns an OSError into what the user can do about it, but for a full disk at `dest`."""
    try:
        yield
    except OSError as error:
        if disk_fault(error, dest):
            raise
        why = error.strerror or "it changed while it was read; try again"
        raise InputError(f"{error.filename or path}: cannot be read: {why}") from error


def _escapes(root: Path, link: Path) -> bool:
    target = link.readlink()
    if target.is_absolute():
        return True
    resolved = os.path.normpath(link.parent / target)
    return not Path(resolved).is_relative_to(root)


def _warning(names: list[str], what: str) -> Iterator[str]:
    for name in names[:LINKS_NAMED]:
        yield f"{one_line(os.fsencode(name))} {what}"
    if len(names) > LINKS_NAMED:
        yield f"… and {len(names) - LINKS_NAMED} more like it: {what}"
