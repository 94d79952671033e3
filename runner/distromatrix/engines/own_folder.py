"""A folder of this user's in a place that all may write to, for sockets."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from distromatrix.errors import EngineUnavailableError


def own_place() -> Path:
    """Where it is: its path is short, as sockets' must be. Touches nothing."""
    return Path(tempfile.gettempdir()) / f"distromatrix-{os.geteuid()}"


def own_folder(purpose: str, folder: Path | None = None) -> Path:
    """That folder, or the one that is given, made where it is not there, for this user alone.
    Raises EngineUnavailableError: somebody else could have made it before."""
    folder = folder or own_place()
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise EngineUnavailableError(
            f"cannot make {folder} for {purpose}: {error.strerror}"
        ) from error
    if not is_own(folder):
        raise EngineUnavailableError(f"{folder}, for {purpose}, belongs to another user")
    return folder


def is_own(folder: Path) -> bool:
    """Whether it is a folder of this user's, and no link to one."""
    try:
        found = folder.lstat()
    except OSError:
        return False
    return found.st_uid == os.geteuid() and folder.is_dir() and not folder.is_symlink()
