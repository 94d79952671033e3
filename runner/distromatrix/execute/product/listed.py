"""The product as it lies there now: what its snapshot is to hold.

In a git work tree that is what git tracks, as it is in the working tree, and what is neither
tracked nor ignored, submodules included; elsewhere it is the whole folder.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from distromatrix.collect.text import one_line
from distromatrix.errors import InputError
from distromatrix.execute.product.checkout import CheckoutEntry, look, trusts_modes
from distromatrix.execute.product.entries import FILE, Entry, Listing
from distromatrix.execute.product.git_folder import add_git
from distromatrix.model import Product

_UNFILLED = "is a submodule that is not here: `submodule update --init` of git brings it"
LINKS_NAMED = 3  # escaping links that a warning names before it only counts them


def list_product(product: Product) -> tuple[dict[str, Entry], tuple[str, ...]]:
    """Its entries by name, and what is to be said of it. Raises InputError."""
    root = product.path
    with reading(root):
        checkout = look(root)
        taking = _Taking(root)
        for entry in checkout.entries:
            taking.add(entry)
        for glob in product.built:
            taking.add_built(glob)
        warnings = [*taking.warnings(), *_warning(checkout.unfilled, _UNFILLED)]
        if product.git:
            notes = add_git(taking.listing, root, checkout.repositories)
            warnings += [one_line(line, 500) for line in notes]
    return taking.listing.entries, tuple(f"product: {line}" for line in warnings)


@contextmanager
def reading(path: Path) -> Iterator[None]:
    """Turns an OSError into what the user can do about it."""
    try:
        yield
    except OSError as error:
        why = error.strerror or "it changed while it was read; try again"
        raise InputError(f"{error.filename or path}: cannot be read: {why}") from error


class _Taking:
    """What is taken of a checkout: each path as it is there now, if it is."""

    def __init__(self, root: Path) -> None:
        self.listing = Listing()
        self._root = str(root)
        self._folders = {"": True}
        self._escaping: list[str] = []
        self._special: list[str] = []
        self._trusts: dict[str, bool] = {}
        self.listing.add_folder(root, "")

    def add(self, entry: CheckoutEntry) -> None:
        """Raises InputError, OSError."""
        name = entry.path
        path = f"{self._root}/{name}"
        try:
            status = os.lstat(path)
        except (FileNotFoundError, NotADirectoryError):
            return  # tracked, but deleted in the working tree
        mode = status.st_mode
        if stat.S_ISDIR(mode):
            if entry.folder:  # else it stands where git knows a file, empty for git
                self._has_folder(name)
            return
        if not self._has_folder(name.rpartition("/")[0]):
            return  # it lies behind a link
        if stat.S_ISLNK(mode) and _escapes(Path(self._root), Path(path)):
            self._escaping.append(name)
        elif not (stat.S_ISREG(mode) or stat.S_ISLNK(mode)):
            self._special.append(name)
            return
        self.listing.add(path, name, self._executable(entry, mode), status)

    def add_built(self, glob: str) -> None:
        """Files that lie there whether git knows them or not. Raises InputError where none does."""
        root = Path(self._root)
        names = [str(path.relative_to(root)) for path in sorted(root.glob(glob))]
        entries = self.listing.entries
        for name in names:
            if name not in entries and not Path(self._root, name).is_symlink():
                self.add(CheckoutEntry(name))
        if not any(name in entries and entries[name].kind == FILE for name in names):
            raise InputError(
                f"{root}: no file ./{glob}, which `packages` names: build it first, or correct the "
                "name (links are not followed)"
            )

    def _has_folder(self, name: str) -> bool:
        """Whether it is a folder, and not a link to one; then it is added, once."""
        known = self._folders.get(name)
        if known is None:
            known = self._has_folder(name.rpartition("/")[0])
            path = Path(self._root, name)
            if known := known and path.is_dir() and not path.is_symlink():
                self.listing.add_folder(path, name)
            self._folders[name] = known
        return known

    def _executable(self, entry: CheckoutEntry, mode: int) -> bool | None:
        """What git's index says of it, where the working tree's disk cannot."""
        if entry.executable is None or entry.executable == bool(mode & 0o100):
            return None
        if entry.repository not in self._trusts:
            self._trusts[entry.repository] = trusts_modes(Path(self._root), entry.repository)
        return None if self._trusts[entry.repository] else entry.executable

    def warnings(self) -> Iterator[str]:
        yield from _warning(
            self._escaping, "points outside the product, and will dangle in the cells"
        )
        yield from _warning(self._special, "is not a file, folder or link, and was left out")


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
