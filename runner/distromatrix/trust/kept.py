"""Where a user's yes is kept: a file a project in the user's own folder, named by its real path."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterable, Iterator
from pathlib import Path

from distromatrix.errors import InputError
from distromatrix.files.own import is_own, make_own
from distromatrix.files.user_folders import user_folder
from distromatrix.files.whole import write_whole

_LARGEST = 1 << 20  # bytes


def folder() -> Path:
    """Where they lie; it may not be there. Raises InputError for a user without a home."""
    if path := user_folder("state"):
        return path / "trust"
    raise InputError(f"there is no folder to keep a yes in: set XDG_STATE_HOME, or {OTHERWISE}")


OTHERWISE = "say it with DISTROMATRIX_TRUST"


def yes_of(root: Path) -> frozenset[str]:
    """The digests that have the user's yes for a project. A file that another user could have
    written counts for nothing."""
    try:
        at = folder()
    except InputError:
        return frozenset()
    file = at / _name(root)
    if not is_own(at):
        return frozenset()
    said = _read(file)
    return frozenset(said[1]) if said and said[0] == _real(root) else frozenset()


def keep(root: Path, digests: Iterable[str]) -> Path:
    """Keep the yes to these, instead of what was kept for that project. Raises InputError."""
    at = folder()
    file = at / _name(root)
    try:
        make_own(at)
        content = {"project": _real(root), "yes": sorted(set(digests))}
        write_whole(file, json.dumps(content, indent=1), 0o600)
    except OSError as error:
        raise InputError(f"{file}: cannot be kept: {error.strerror}: {OTHERWISE}") from error
    return file


def take_back(root: Path) -> bool:
    """Take a project's yes back. Returns whether there was one. Raises InputError."""
    file = folder() / _name(root)
    try:
        file.unlink()
    except FileNotFoundError:
        return False
    except OSError as error:
        raise InputError(f"{file}: cannot be removed: {error.strerror}") from error
    return True


def everything() -> Iterator[tuple[str, int]]:
    """The projects that have a yes, each with the number of things that it is for."""
    at = folder()
    for file in sorted(at.glob("*.json")) if is_own(at) else ():
        if said := _read(file):
            yield said[0], len(said[1])


def _real(root: Path) -> str:
    return str(root.resolve())


def _name(root: Path) -> str:
    return hashlib.sha256(os.fsencode(_real(root))).hexdigest()[:40] + ".json"


def _read(file: Path) -> tuple[str, list[str]] | None:
    try:
        with file.open("rb") as opened:
            found = json.loads(opened.read(_LARGEST))
        return str(found["project"]), [str(one) for one in found["yes"]]
    except (OSError, ValueError, TypeError, KeyError):
        return None
