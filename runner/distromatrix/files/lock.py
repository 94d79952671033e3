"""Locks between processes: flock(2) on a file that stays. The kernel lets go of one however its
process ends; each that is taken has a descriptor of its own, so it excludes threads, too."""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

_LOOK = 0.05  # seconds
_FLAGS = os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK


class InUseError(Exception):
    """Another holds the lock."""


@contextmanager
def hold(path: Path, *, shared: bool = False, wait: float | None = None) -> Iterator[None]:
    """Hold a lock. `wait`: seconds at most, None: as long as it takes. Raises InUseError,
    OSError."""
    fd = take(path, shared=shared, wait=wait)
    try:
        yield
    finally:
        os.close(fd)


def take(path: Path, *, shared: bool = False, wait: float | None = None, mode: int = 0o600) -> int:
    """The same, held until the descriptor that it gives is closed."""
    fd = os.open(path, _FLAGS | os.O_CREAT, mode)
    try:
        take_open(fd, shared=shared, wait=wait)
    except BaseException:
        os.close(fd)
        raise
    return fd


@contextmanager
def hold_in(make: Callable[[], object], path: Path, *, shared: bool = False) -> Iterator[None]:
    """Hold a lock in a folder that others may remove: where it goes meanwhile, `make` makes it
    anew. Raises OSError."""
    while True:
        make()
        try:
            fd = take(path, shared=shared)
        except FileNotFoundError:  # it was removed just now
            continue
        try:
            if is_there(fd, path):  # else it was removed while we waited
                yield
                return
        finally:
            os.close(fd)


def is_there(fd: int, path: Path) -> bool:
    """Whether an open file is what has that name now."""
    try:
        return os.path.samestat(os.fstat(fd), path.stat())
    except FileNotFoundError:
        return False


def take_open(fd: int, *, shared: bool = False, wait: float | None = None) -> None:
    """The same of an open file."""
    how = fcntl.LOCK_SH if shared else fcntl.LOCK_EX
    if wait is None:
        fcntl.flock(fd, how)
        return
    end = time.monotonic() + wait
    while True:
        try:
            fcntl.flock(fd, how | fcntl.LOCK_NB)
            return
        except BlockingIOError as error:
            if (left := end - time.monotonic()) <= 0:
                raise InUseError from error
            time.sleep(min(_LOOK, left))


def is_held(path: Path) -> bool:
    """Whether another holds it. One that we may not look at is another user's, and counts as
    held; one that is not there does not."""
    try:
        fd = os.open(path, _FLAGS)
    except FileNotFoundError:
        return False
    except OSError:
        return True
    try:
        take_open(fd, wait=0)
    except (InUseError, OSError):
        return True
    finally:
        os.close(fd)
    return False
