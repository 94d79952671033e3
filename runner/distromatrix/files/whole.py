"""Files as we write them: there when they are whole and not before, the calling user's own, and
what is said where the disk is at fault."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

from distromatrix.errors import InfrastructureError
from distromatrix.files.below import caller

DISK_FAULTS = (errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.EROFS)


@contextmanager
def whole_file(target: Path) -> Iterator[IO[bytes]]:
    """A file to write; when the block ends well it takes the place of `target`. Until then it
    has no name where the file system can do that (open(2), O_TMPFILE), so that nothing of it
    is left however the process ends; elsewhere it is `target`.part. Raises OSError."""
    part = target.with_name(f"{target.name}.part")
    part.unlink(missing_ok=True)  # of one that was killed
    try:
        out = _nameless(target.parent)
        named = out is None
        with out or part.open("w+b") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
            if not named:
                # Python follows a symlink here only where a descriptor is given, too.
                fd = file.fileno()
                os.link(f"/proc/self/fd/{fd}", part, src_dir_fd=fd, follow_symlinks=True)
        give_to_caller(part)
        part.replace(target)
    finally:
        with suppress(OSError):
            part.unlink(missing_ok=True)


def _nameless(folder: Path) -> IO[bytes] | None:
    try:
        return os.fdopen(os.open(folder, os.O_TMPFILE | os.O_RDWR | os.O_CLOEXEC, 0o666), "w+b")
    except OSError:
        return None


def disk_fault(error: OSError, path: Path) -> InfrastructureError | None:
    """What to raise where this host's disk, and not what was asked of it, is the reason."""
    if error.errno not in DISK_FAULTS:
        return None
    return InfrastructureError(f"{path}: cannot be written: {error.strerror}", transient=False)


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
