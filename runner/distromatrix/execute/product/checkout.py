"""What of a checkout is the product: which paths of it are copied."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from distromatrix.errors import InputError
from distromatrix.files.git import ask, is_work_tree
from distromatrix.record.folder import STATE


class CheckoutEntry(NamedTuple):
    """A path from the product's root that belongs to it, if it is there. `executable`: what
    git's index says of a file; None where git knows nothing of it. `repository`: whose it is."""

    path: str
    folder: bool = False
    executable: bool | None = None
    repository: str = ""


@dataclass
class Checkout:
    """The paths, sorted; and the repositories in which git has listed them: '' for the product's
    own, `sub/` for one in a folder. There are none where git knows nothing of the product.
    `unfilled`: submodules whose folders are empty, as nobody has brought them here."""

    entries: list[CheckoutEntry] = field(default_factory=list)
    repositories: list[str] = field(default_factory=list)
    unfilled: list[str] = field(default_factory=list)


def look(root: Path) -> Checkout:
    """What is to be copied from there. Raises InputError."""
    found = Checkout()
    entries = {e.path: e for e in _listed(root, "", found)} if _known(root) else {}
    if not entries:
        found.repositories.clear()
        entries = {entry.path: entry for entry in _walk(root)}
    found.entries = [entries[path] for path in sorted(entries)]
    return found


def trusts_modes(root: Path, repository: str) -> bool:
    """Whether who may execute a file is to be seen in the working tree: not on a disk that keeps
    no modes, where git goes by its index (`core.fileMode`)."""
    setting = ask(root / repository, "config", "--type=bool", "--get", "core.fileMode", missing=b"")
    return setting.strip() != b"false"


def _known(root: Path) -> bool:
    try:
        return is_work_tree(root)
    except FileNotFoundError:
        return False


def _listed(root: Path, prefix: str, found: Checkout) -> Iterator[CheckoutEntry]:
    found.repositories.append(prefix)
    folder = root / prefix
    tracked = ask(folder, "ls-files", "-z", "--stage")
    untracked = ask(folder, "ls-files", "-z", "--others", "--exclude-standard")
    for record in filter(None, tracked.split(b"\0")):
        meta, _, raw = record.partition(b"\t")
        name = os.fsdecode(raw)
        parts = name.split("/")
        if ".." in parts or ".git" in parts or not parts[0]:  # git itself adds no such name
            raise InputError(f"{folder}: git lists {name!r}, which is not a file of the product")
        if parts[0] == STATE:
            continue
        if meta.startswith(b"160000"):  # a submodule: a commit, not a file
            yield from _nested(root, prefix + name, found)
        else:
            yield CheckoutEntry(prefix + name, False, meta.startswith(b"100755"), prefix)
    for raw in filter(None, untracked.split(b"\0")):
        name = os.fsdecode(raw)
        if name.split("/", 1)[0] == STATE:
            continue
        if name.endswith("/"):  # a repository of its own, not added
            yield from _nested(root, prefix + name.rstrip("/"), found)
        else:
            yield CheckoutEntry(prefix + name)


def _nested(root: Path, path: str, found: Checkout) -> Iterator[CheckoutEntry]:
    there = root / path
    if there.is_symlink() or not there.is_dir():  # as it is, in the place of a submodule
        yield CheckoutEntry(path)
    elif (there / ".git").exists():
        yield CheckoutEntry(path, folder=True)
        yield from _listed(root, f"{path}/", found)
    else:
        yield CheckoutEntry(path, folder=True)
        if not any(there.iterdir()):
            found.unfilled.append(path)


def _walk(root: Path) -> Iterator[CheckoutEntry]:
    """Every file, link and empty folder below, but what is git's own, which may hold secrets."""
    for folder, names, files in os.walk(root):
        here = Path(folder).relative_to(root)
        left_out = {".git", STATE} if here == Path() else {".git"}
        names[:] = [n for n in names if n not in left_out]
        files[:] = [n for n in files if n != ".git"]
        links = [n for n in names if (Path(folder) / n).is_symlink()]
        for name in (*files, *links):
            yield CheckoutEntry((here / name).as_posix())
        if not files and not names and here != Path():
            yield CheckoutEntry(here.as_posix(), folder=True)
