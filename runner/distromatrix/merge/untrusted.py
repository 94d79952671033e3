"""Reading run folders that come from elsewhere: nothing in them is followed, waited for or
believed beyond what a run can say, and everything is bounded.
"""

from __future__ import annotations

import errno
import json
import math
import os
import shutil
import stat
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import IO, Any

from distromatrix.collect.artifacts import disarmed
from distromatrix.collect.text import printable
from distromatrix.files.below import Folder
from distromatrix.files.lock import InUseError, take_open
from distromatrix.files.whole import disk_fault
from distromatrix.record.events import Event
from distromatrix.record.journal import event_adapter

MAX_JOURNAL = 512 * 1024 * 1024  # bytes
MAX_LINE = 64 * 1024 * 1024  # bytes; 10,000 failing cases are some 16 MiB
_MAX_NESTING = 12  # of JSON: an event has 6
_MAX_SECONDS = 1e9  # a time of the epoch has 1.7e9
_MAX_DEPTH = 48  # folders below a cell's
_MAX_FILES = 200_000  # below a cell's folder


class UnusableError(Exception):
    """Something of a run folder cannot be used; `str()` of it is one line."""


def open_regular(path: Path) -> IO[bytes]:
    """A regular file, opened for reading; no link is followed, no pipe waited for. Raises
    UnusableError, and FileNotFoundError."""
    try:
        with Folder.at(path.parent) as folder:
            return folder.read(path.name)
    except FileNotFoundError:
        raise
    except OSError as error:
        if error.errno in (errno.ELOOP, errno.EINVAL):
            raise UnusableError(f"{path.name} is not a regular file") from error
        raise UnusableError(f"{path.name} cannot be read: {error.strerror}") from error


def is_running(folder: Path) -> bool:
    """Whether a process on this host holds the run's lock."""
    try:
        with open_regular(folder / "lock") as file:
            take_open(file.fileno(), shared=True, wait=0)
    except InUseError:
        return True
    except (OSError, UnusableError):
        return False
    return False


def events(path: Path) -> Iterator[Event]:
    """The events of a journal, in order, all texts printable and all numbers finite. A line
    that is cut off, too long or no event is left out; no journal has none. Raises UnusableError,
    after the events that could be read."""
    with suppress(FileNotFoundError), open_regular(path) as file:
        for line in _lines(file, path.name):
            if (event := event_of(line)) is not None:
                yield event


def event_of(line: bytes) -> Event | None:
    """The event of a journal's line, all texts printable and all numbers finite; None of what is
    no event."""
    from pydantic import ValidationError

    with suppress(ValidationError, ValueError, RecursionError):
        return event_adapter().validate_python(_clean(json.loads(line)))
    return None


def _lines(file: IO[bytes], name: str) -> Iterator[bytes]:
    left = MAX_JOURNAL
    whole = True
    while line := file.readline(MAX_LINE):
        left -= len(line)
        if left < 0:
            raise UnusableError(f"{name} has more than {MAX_JOURNAL >> 20} MiB")
        ended = line.endswith(b"\n")
        if whole and ended:
            yield line
        whole = ended


def _clean(value: Any, depth: int = 0) -> Any:
    """What JSON gave, made fit for those who take it for ours. Raises ValueError."""
    if depth > _MAX_NESTING:
        raise ValueError("too deep")
    if isinstance(value, str):
        return printable(value)
    if isinstance(value, dict):
        return {key: _clean(inner, depth + 1) for key, inner in value.items()}
    if isinstance(value, list):
        return [_clean(inner, depth + 1) for inner in value]
    if isinstance(value, int) and abs(value) > 10 * _MAX_SECONDS:
        raise ValueError("too big")
    if isinstance(value, float):
        return min(max(value, 0.0), 10 * _MAX_SECONDS) if math.isfinite(value) else 0.0
    return value


def take_over(source: Path, below: str, target: Callable[[], Path]) -> int:
    """Take all that is in the folder `below` (a path of plain names) `source` over into `target`,
    which is asked for where there is one: as hard links, or copies where that cannot be. Returns
    how many things were left out: links, pipes, devices, what cannot be read, what is too deep or
    too many. Raises UnusableError where something else is in the folder's place,
    InfrastructureError where the disk is full."""
    try:
        with Folder.at(source) as top, top.folder(below) as folder, Folder.at(target()) as into:
            return _Copying().folder(folder, into, 0)
    except FileNotFoundError:
        return 0
    except OSError as error:
        raise UnusableError(f"{below} cannot be read: {error.strerror}") from error


class _Copying:
    def __init__(self) -> None:
        self._files = 0

    def folder(self, source: Folder, target: Folder, depth: int) -> int:
        if depth > _MAX_DEPTH:
            return 1
        left_out = 0
        for name in source.names():
            self._files += 1
            if self._files > _MAX_FILES:
                return left_out + 1
            try:
                left_out += self._one(source, target, name, depth)
            except OSError as error:  # of a name that is too long here, say
                if fault := disk_fault(error, target.path):
                    raise fault from error
                left_out += 1
        return left_out

    def _one(self, source: Folder, target: Folder, name: str, depth: int) -> int:
        mode, to = source.stat(name).st_mode, disarmed(name)
        if stat.S_ISDIR(mode):
            with target.folder(to, make=True) as into, source.folder(name) as folder:
                return self.folder(folder, into, depth + 1)
        if not stat.S_ISREG(mode):
            return 1
        try:
            os.link(name, to, src_dir_fd=source.fd, dst_dir_fd=target.fd, follow_symlinks=False)
        except OSError:
            with source.read(name) as file, target.create(to) as out:
                shutil.copyfileobj(file, out, 1024 * 1024)
        return 0
