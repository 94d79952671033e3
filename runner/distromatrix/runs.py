"""Folders of runs: their names, their locks, and whose they are.

A run lives as long as the lock (flock(2)) that it holds on its folder: not by pid, which is
reused, and not by time. The kernel lets go of the lock however the process ends.
"""

from __future__ import annotations

import errno
import fcntl
import os
import secrets
import shutil
import socket
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

from distromatrix.errors import InfrastructureError, InputError

STATE = ".distromatrix"
LATEST = "latest"
SHELLS = "shells"  # kind of the folders of `shell`
SESSIONS = "sessions"  # kind of those of pytest's sessions that have machines open
DISK_FAULTS = (errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.EROFS)


def disk_fault(error: OSError, path: Path) -> InfrastructureError | None:
    """What to raise where this host's disk, and not what was asked of it, is the reason."""
    if error.errno not in DISK_FAULTS:
        return None
    return InfrastructureError(f"{path}: cannot be written: {error.strerror}", transient=False)


def host_name() -> str:
    """What tells this host from others that share an engine: machine-id(5), else its name."""
    with suppress(OSError):
        found = Path("/etc/machine-id").read_text(encoding="ascii").strip()
        if found:
            return found
    return socket.gethostname()


def give_to_caller(path: Path) -> None:
    """Under sudo, make `path` the calling user's own: what we write belongs to who called."""
    uid, gid = os.environ.get("SUDO_UID", ""), os.environ.get("SUDO_GID", "")
    if os.geteuid() == 0 and uid.isdigit() and gid.isdigit():
        with suppress(OSError):
            os.lchown(path, int(uid), int(gid))


def give_all_to_caller(folder: Path) -> None:
    """`give_to_caller` for a folder and all below it."""
    if os.geteuid() == 0 and os.environ.get("SUDO_UID"):
        for path in (folder, *folder.rglob("*")):
            give_to_caller(path)


def is_alive(folder: Path) -> bool:
    """Whether a process holds the run's lock. A lock that we may not look at is another
    user's, and counts as held; a folder that is gone is dead."""
    try:
        fd = os.open(folder / "lock", os.O_RDWR | os.O_CLOEXEC)
    except FileNotFoundError:
        return False
    except OSError:
        return True
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return True
    finally:
        os.close(fd)
    return False


@dataclass(slots=True)
class RunFolder:
    """A run's own folder, locked. Use as a context manager; leaving it lets go of the lock."""

    path: Path
    _lock: int

    @property
    def id(self) -> str:
        """The run's id, which is the folder's name."""
        return self.path.name

    @property
    def snapshot(self) -> Path:
        """The product as it was when the run began (a tar file), until the run is complete."""
        return self.path / "snapshot.tar"

    @property
    def plan(self) -> Path:
        """The stored plan."""
        return self.path / "plan.json"

    @property
    def journal(self) -> Path:
        """The journal: JSON lines."""
        return self.path / "journal.jsonl"

    def cell(self, cell_id: str) -> Path:
        """The folder of a cell, made if need be."""
        folder = self.path / "cells"
        for part in ("", *cell_id.split("/")):
            folder = folder / part
            folder.mkdir(exist_ok=True)
            give_to_caller(folder)
        return folder

    @classmethod
    def create(cls, root: Path, kind: str = "runs") -> RunFolder:
        """Make and lock a new run folder below `root/.distromatrix/kind`."""
        parent = root / STATE / kind
        try:
            parent.mkdir(parents=True, exist_ok=True)
            ignore = root / STATE / ".gitignore"
            if not ignore.exists():
                ignore.write_text("*\n", encoding="ascii")
            path = _new_folder(parent)
        except OSError as error:
            raise disk_fault(error, parent) or InputError(
                f"{parent}: cannot make a folder for the run: {error.strerror}"
            ) from error
        for made in (root / STATE, ignore, parent, path):
            give_to_caller(made)
        folder = cls.lock(path)
        if kind == "runs":
            _point_latest_at(path)
        return folder

    @classmethod
    def create_at(cls, path: Path) -> RunFolder:
        """Make and lock a run folder at `path`, where there is none."""
        try:
            path.mkdir(parents=True, exist_ok=True)
            return cls.lock(path.resolve())
        except OSError as error:
            raise disk_fault(error, path) or InputError(
                f"{path}: cannot make a folder for the run: {error.strerror}"
            ) from error

    @classmethod
    def lock(cls, path: Path, *, wait: float = 2.0) -> RunFolder:
        """Lock an existing run folder (`--resume`). Raises InputError if it stays alive."""
        fd = os.open(path / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        deadline = time.monotonic() + wait
        while True:
            try:
                fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except OSError:
                if time.monotonic() > deadline:
                    os.close(fd)
                    raise InputError(f"run {path.name} is still running") from None
                time.sleep(0.05)
        give_to_caller(path / "lock")
        return cls(path=path, _lock=fd)

    def __enter__(self) -> RunFolder:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        os.close(self._lock)


def _new_folder(parent: Path) -> Path:
    """A folder that nobody else has made, named after the time."""
    while True:
        path = parent / (time.strftime("%Y%m%d-%H%M%S-") + secrets.token_hex(2))
        with suppress(FileExistsError):
            path.mkdir()
            return path


def _point_latest_at(path: Path) -> None:
    link = path.parent / LATEST
    fresh = path.parent / f".latest-{path.name}"
    with suppress(OSError):
        fresh.symlink_to(path.name)
        fresh.replace(link)
        give_to_caller(link)


def all_runs(root: Path) -> Iterator[Path]:
    """Run folders of a project, oldest first."""
    parent = root / STATE / "runs"
    with suppress(OSError):
        yield from sorted(p for p in parent.iterdir() if p.is_dir() and not p.is_symlink())


def remove_dead(root: Path, kind: str) -> tuple[Path, ...]:
    """Remove the folders of that kind whose process is dead; returns them. Never raises."""
    dead = dead_folders(root, kind)
    for path in dead:
        remove_folder(path)
    return dead


def dead_folders(root: Path, kind: str) -> tuple[Path, ...]:
    """The folders of that kind whose process is dead. Never raises."""
    with suppress(OSError):
        there = [p for p in (root / STATE / kind).iterdir() if p.is_dir()]
        # A new one is made first, and locked then.
        old = [p for p in there if time.time() - p.stat().st_mtime > 60 or (p / "lock").exists()]
        return tuple(p for p in old if not is_alive(p))
    return ()


def find_run(root: Path, name: str | None) -> Path:
    """The folder of the run `name` (an id, the beginning of one id, or `latest`: the newest
    that got as far as having a plan). Raises InputError, with the runs that there are."""
    runs = list(all_runs(root))
    if name in (None, LATEST):
        if begun := [r for r in runs if (r / "plan.json").exists()] or runs:
            link = root / STATE / "runs" / LATEST
            latest = link.parent / link.readlink().name if link.is_symlink() else begun[-1]
            return latest if latest in begun else begun[-1]
        raise InputError(f"{root}: no run here yet: `distromatrix run` makes one")
    hits = [r for r in runs if r.name == name] or [
        r for r in runs if name and r.name.startswith(name)
    ]
    if len(hits) == 1:
        return hits[0]
    known = ", ".join(r.name for r in runs[-3:]) or "none"
    said = "no such run" if not hits else "more than one run begins so"
    raise InputError(f"{name}: {said} (the newest here: {known})")


def remove_folder(path: Path) -> None:
    """Remove a dead run's folder with all that is in it."""
    shutil.rmtree(path, ignore_errors=True)
