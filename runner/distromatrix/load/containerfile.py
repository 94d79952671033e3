"""The Containerfile of a distro's image, with what lies beside it, read whole: what an image is
built of is known before anything is."""

from __future__ import annotations

import os
import stat
from base64 import b64encode
from collections.abc import Iterator
from pathlib import Path, PurePath

from distromatrix.files.below import Folder
from distromatrix.load.shapes.distro import ContainerfileShape
from distromatrix.model import Containerfile
from distromatrix.wording import quoted

_MOST = 1024**2  # bytes of all files
_MOST_FILES = 500


class ContextError(ValueError):
    """Says what is wrong with a Containerfile or its folder."""


def read_containerfile(shape: ContainerfileShape, folder: Path) -> Containerfile:
    """The source that a distro's file in that folder declares. Raises ContextError."""
    path = PurePath(shape.containerfile)
    files: list[tuple[str, str, int]] = []
    left = _MOST
    try:
        with Folder.at(folder) as below, below.folder(path.parent) as context:
            for name in _files(folder / path.parent):
                with context.read(name) as file:
                    content = file.read(left + 1)
                    mode = stat.S_IMODE(os.fstat(file.fileno()).st_mode)
                left -= len(content)
                if left < 0 or len(files) == _MOST_FILES:
                    raise ContextError(
                        f"the folder of {quoted(str(path))} holds more than 1 MiB, or "
                        f"{_MOST_FILES} files: all of it goes into the build"
                    )
                files.append((name, b64encode(content).decode(), mode & 0o755))
    except OSError as error:
        raise ContextError(f"{error.filename or path}: {error.strerror}") from None
    if path.name not in {name for name, _, _ in files}:
        raise ContextError(f"no file {quoted(str(path))}")
    return Containerfile(
        path=str(path), files=tuple(files), args=tuple(shape.args.items()), refresh=shape.refresh
    )


def _files(folder: Path) -> Iterator[str]:
    """All files below, by their paths, in order. Raises ContextError for a link, OSError."""

    def failed(error: OSError) -> None:
        raise error

    for top, folders, names in os.walk(folder, onerror=failed):
        folders.sort()
        for name in sorted((*names, *(f for f in folders if Path(top, f).is_symlink()))):
            path = Path(top, name)
            if not stat.S_ISREG(path.lstat().st_mode):
                raise ContextError(f"{quoted(str(path))} is no plain file, and is not built from")
            yield str(path.relative_to(folder))
