"""Files below a folder, and nowhere else: whoever filled it may have put links into it.

Linux resolves a path below a folder by itself (openat2(2), since 5.6); where it cannot, or must
not (some containers' seccomp), each part is opened on its own, and no link is followed.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import os
import shutil
import stat
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

_OPENAT2 = 437  # on every architecture
_NO_MAGICLINKS, _NO_SYMLINKS, _BENEATH, _IN_ROOT = 0x02, 0x04, 0x08, 0x10  # linux/openat2.h
_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_ABSENT = (errno.ENOSYS, errno.EPERM)
_MAX_LINKS = 40  # as the kernel has it


@contextlib.contextmanager
def held(folder: Path) -> Iterator[int]:
    """The folder's descriptor. Raises OSError, also where it is a link."""
    descriptor = os.open(folder, _FOLDER)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def open_below(folder: int, path: str, flags: int = os.O_RDONLY, mode: int = 0o644) -> int:
    """Open a path below that folder. Raises OSError, also where a link or `..` is in it."""
    try:
        return _openat2(folder, path, flags, mode, _BENEATH | _NO_SYMLINKS | _NO_MAGICLINKS)
    except OSError as error:
        if error.errno not in _ABSENT:
            raise
    return _walk(folder, _parts(path), flags, mode)


def open_in_root(root: int, path: str, flags: int = os.O_RDONLY, mode: int = 0o644) -> int:
    """Open a path as a process would whose root is that folder: its links lead where they lead
    there, and never out of it. Raises OSError."""
    try:
        return _openat2(root, path, flags, mode, _IN_ROOT | _NO_MAGICLINKS)
    except OSError as error:
        if error.errno not in _ABSENT:
            raise
    return _walk(root, _resolve(root, path), flags, mode)


def make_folder(folder: int, name: str, mode: int = 0o755) -> int:
    """Make a folder of that name, or take the one that is there, and open it. Raises OSError,
    also where a link is there."""
    with contextlib.suppress(FileExistsError):
        os.mkdir(name, mode, dir_fd=folder)
    return os.open(name, _FOLDER, dir_fd=folder)


def remove_below(folder: int, name: str) -> None:
    """Remove what is called so in that folder, with all below it; links go, and not what they
    lead to. Never raises."""
    with contextlib.suppress(OSError):
        if stat.S_ISDIR(os.lstat(name, dir_fd=folder).st_mode):
            shutil.rmtree(name, ignore_errors=True, dir_fd=folder)
        else:
            os.unlink(name, dir_fd=folder)


def _openat2(folder: int, path: str, flags: int, mode: int, resolve: int) -> int:
    """See openat2(2). Raises OSError; ENOSYS where the kernel has no such call."""
    flags |= os.O_CLOEXEC
    how = (ctypes.c_uint64 * 3)(flags, mode if flags & os.O_CREAT else 0, resolve)
    libc = ctypes.CDLL(None, use_errno=True)
    while True:
        done = libc.syscall(
            ctypes.c_long(_OPENAT2),
            ctypes.c_int(folder),
            ctypes.c_char_p(os.fsencode(path)),
            ctypes.byref(how),
            ctypes.c_size_t(ctypes.sizeof(how)),
        )
        if done >= 0:
            return int(done)
        if (number := ctypes.get_errno()) not in (errno.EAGAIN, errno.EINTR):  # renamed meanwhile
            raise OSError(number, os.strerror(number), path)


def _parts(path: str) -> tuple[str, ...]:
    parts = PurePosixPath(path).parts
    if path.startswith("/") or ".." in parts:
        raise OSError(errno.EXDEV, "it leads out of its folder", path)
    return parts


def _walk(folder: int, parts: tuple[str, ...], flags: int, mode: int) -> int:
    """Open part after part; none may be a link."""
    here = os.dup(folder)
    try:
        for part in parts[:-1]:
            below = os.open(part, _FOLDER, dir_fd=here)
            os.close(here)
            here = below
        last = parts[-1] if parts else "."
        return os.open(last, flags | os.O_NOFOLLOW | os.O_CLOEXEC, mode, dir_fd=here)
    finally:
        os.close(here)


def _resolve(root: int, path: str) -> tuple[str, ...]:
    """The same path without links, as seen from that root."""
    found: list[str] = []
    left = [*reversed(PurePosixPath(path).parts)]
    links = 0
    while left:
        part = left.pop()
        if part == "/":
            found.clear()
        elif part == "..":
            del found[-1:]
        else:
            try:
                with _opened_folder(root, tuple(found)) as here:
                    leads = os.readlink(part, dir_fd=here)
            except OSError:  # no link, or not there, which the walk will say
                found.append(part)
                continue
            links += 1
            if links > _MAX_LINKS:
                raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), path)
            left += reversed(PurePosixPath(leads).parts)
    return tuple(found)


@contextlib.contextmanager
def _opened_folder(root: int, parts: tuple[str, ...]) -> Iterator[int]:
    descriptor = _walk(root, parts, os.O_RDONLY | os.O_DIRECTORY, 0)
    try:
        yield descriptor
    finally:
        os.close(descriptor)
