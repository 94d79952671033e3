"""Folders and sockets that are this user's alone, in places that all may write to.

A name that everyone knows may have been taken by another user. So a folder is made, or it is
looked at before anything in it is; and a socket's other end is looked at before the first word.
"""

from __future__ import annotations

import os
import socket
import stat
import struct
import tempfile
from pathlib import Path

from distromatrix.errors import EngineUnavailableError

_OTHERS_WRITE = stat.S_IWGRP | stat.S_IWOTH
_UCRED = struct.Struct("3i")  # of unix(7): pid, uid, gid


def own_place() -> Path:
    """This user's folder among temporary ones. Its path is short, as those of sockets must be.
    Touches nothing."""
    return Path(tempfile.gettempdir()) / f"distromatrix-{os.geteuid()}"


def own_folder(purpose: str, folder: Path | None = None) -> Path:
    """That folder, or the one that is given, made where it is not there, for this user alone.
    Raises EngineUnavailableError where somebody else made it, or could replace it."""
    folder = folder or own_place()
    try:
        make_own(folder)
    except OSError as error:
        raise EngineUnavailableError(
            f"cannot use {folder} for {purpose}: {error.strerror}", transient=False
        ) from error
    return folder


def make_own(folder: Path) -> None:
    """Make that folder, for this user alone, or see that it is so. Raises OSError."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    parent = folder.parent.stat()
    if parent.st_mode & stat.S_IWOTH and not parent.st_mode & stat.S_ISVTX:
        raise PermissionError(
            0, f"anyone may replace it, as {folder.parent} lacks its sticky bit (chmod +t)"
        )
    folder.mkdir(mode=0o700, exist_ok=True)
    require_own(folder)
    if folder.lstat().st_mode & 0o077:
        folder.chmod(0o700)


def require_own(folder: Path) -> None:
    """Raises OSError unless this is a folder of this user's that others cannot write to, and no
    link to one."""
    found = folder.lstat()
    if not stat.S_ISDIR(found.st_mode):
        raise NotADirectoryError(0, "it is not a folder, or a link to one")
    if found.st_uid != os.geteuid():
        raise PermissionError(0, "it belongs to another user")
    if found.st_mode & _OTHERS_WRITE:
        raise PermissionError(0, "other users can write to it")


def is_own(folder: Path) -> bool:
    """Whether `require_own` has nothing to say."""
    try:
        require_own(folder)
    except OSError:
        return False
    return True


def require_peer(connection: socket.socket) -> None:
    """Raises PermissionError unless this user or root is at the other end of a Unix socket."""
    if _peer_uid(connection) not in (os.geteuid(), 0):
        raise PermissionError(0, "another user is at the other end of this socket")


def require_peer_of(descriptor: int) -> None:
    """The same of an open descriptor, which stays open."""
    with socket.socket(fileno=os.dup(descriptor)) as connection:
        require_peer(connection)


def _peer_uid(connection: socket.socket) -> int:
    raw = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _UCRED.size)
    return int(_UCRED.unpack(raw)[1])
