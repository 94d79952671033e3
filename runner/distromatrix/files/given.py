"""Files that are written where the user says, in folders that others may have filled."""

from __future__ import annotations

import os
from pathlib import Path, PurePath

from distromatrix.errors import InputError
from distromatrix.files.below import Folder, caller


def require_stays(path: Path, project: Path) -> None:
    """Raises InputError where a path that lies in the project leads out of it by a link: whoever
    wrote the project would say what is overwritten. What the user names elsewhere is theirs."""
    top = Path(os.path.abspath(project))  # noqa: PTH100 - as it is spelt, links included
    there = Path(os.path.abspath(path))  # noqa: PTH100
    real = Path(os.path.realpath(there))
    if there.is_relative_to(top) and not real.is_relative_to(os.path.realpath(top)):
        raise InputError(
            f"{path}: a link there leads out of the project, to {real}: remove it, or say that path"
        )


def write_new(project: Path, name: str, text: str) -> None:
    """Write a new file below a project, with the folder that it lies in. Raises FileExistsError
    where anything is there, OSError where a link leads on."""
    with Folder.at(project, owner=caller()) as folder:
        folder.make(PurePath(name).parent)
        with folder.create(name, new=True) as file:
            file.write(text.encode())
