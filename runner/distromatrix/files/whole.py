"""Files as we write them: there when they are whole and not before, the calling user's own, and
what is said where the disk is at fault."""

from __future__ import annotations

import errno
import json
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any

from distromatrix.errors import InfrastructureError, InputError
from distromatrix.files.below import Folder, caller

DISK_FAULTS = (errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.EROFS)


@contextmanager
def whole_file(target: Path, *, sync: bool = False) -> Iterator[IO[bytes]]:
    """A file to write, the caller's own; when the block ends well it takes the place of `target`,
    whatever lies there. Until then it has no name where the file system can do that (open(2),
    O_TMPFILE), so that nothing of it is left however the process ends; elsewhere it is
    `target`.part. `sync`: it is on the disk by then. Raises OSError."""
    part = f"{target.name}.part"
    with Folder.at(target.parent, owner=caller()) as folder:
        folder.remove(part)  # of one that was killed
        try:
            nameless = _nameless(folder)
            with nameless or folder.create(part) as file:
                yield file
                file.flush()
                if sync:
                    os.fsync(file.fileno())
                if nameless:
                    part = f".{secrets.token_hex(8)}.part"
                    # Python follows a symlink here only where a folder's descriptor is given, too.
                    own = f"/proc/self/fd/{file.fileno()}"
                    os.link(own, part, dst_dir_fd=folder.fd, follow_symlinks=True)
            folder.rename(part, target.name)
        finally:
            with suppress(OSError):
                folder.remove(part)


def write_whole(target: Path, text: str, mode: int = 0o644) -> None:
    """Write a file of ours at once or not at all. Raises OSError."""
    with Folder.at(target.parent) as folder:
        folder.write(target.name, text.encode(), mode)


def read_json(path: Path) -> Any:
    """What a file of ours holds; None where there is none, or none that can be read."""
    try:
        return json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError):
        return None


def _nameless(folder: Folder) -> IO[bytes] | None:
    try:
        fd = os.open(".", os.O_TMPFILE | os.O_RDWR | os.O_CLOEXEC, 0o644, dir_fd=folder.fd)
    except OSError:
        return None
    file = os.fdopen(fd, "w+b")
    if folder.owner is not None:
        os.fchown(fd, *folder.owner)
    return file


def disk_fault(error: OSError, path: Path) -> InfrastructureError | None:
    """What to raise where this host's disk, and not what was asked of it, is the reason."""
    if error.errno not in DISK_FAULTS:
        return None
    return InfrastructureError(f"{path}: cannot be written: {error.strerror}", transient=False)


@contextmanager
def writing(path: Path, what: str = "cannot be written") -> Iterator[None]:
    """Where something is written for the user: raises InfrastructureError if the disk is at fault,
    else InputError."""
    try:
        yield
    except OSError as error:
        raise disk_fault(error, path) or InputError(f"{path}: {what}: {error.strerror}") from error


def changed_at(path: Path) -> float:
    """When it was last changed, in seconds since 1970; 0.0 where it is not there."""
    try:
        return path.stat().st_mtime
    except OSError:
        return 0.0


def give_to_caller(path: Path) -> None:
    """Under sudo, make `path` the calling user's own: what we write belongs to who called."""
    if (owner := caller()) is not None:
        with suppress(OSError):
            os.lchown(path, *owner)


def give_all_to_caller(folder: Path) -> None:
    """`give_to_caller` for a folder and all below it."""
    if os.geteuid() == 0 and os.environ.get("SUDO_UID"):
        for path in (folder, *folder.rglob("*")):
            give_to_caller(path)
