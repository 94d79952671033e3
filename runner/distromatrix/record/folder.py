"""Folders of runs: their names, their locks, and whose they are.

A run lives as long as the lock (flock(2)) that it holds on its folder: not by pid, which is
reused, and not by time. The kernel lets go of the lock however the process ends.

They lie below the project's `.distromatrix`, which a stranger's checkout may have brought along:
it is refused unless it is ours, and no link at or below it is followed.
"""

from __future__ import annotations

import os
import re
import secrets
import stat
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from distromatrix.errors import InputError
from distromatrix.files.below import Folder, caller
from distromatrix.files.lock import InUseError, is_held, take
from distromatrix.files.whole import give_to_caller, writing

STATE = ".distromatrix"
LATEST = "latest"
RUNS = "runs"
_NOT_MADE = "cannot make a folder for the run"
SHELLS = "shells"  # kind of the folders of `shell`
SESSIONS = "sessions"  # kind of those of pytest's sessions that have machines open
BISECTS = "bisects"
WHYS = "whys"
_KINDS = (RUNS, SHELLS, SESSIONS, BISECTS, WHYS, "builds")
_IGNORE = ".gitignore"
_LOCK = "lock"
_ID = re.compile(r"\d{8}-\d{6}-[0-9a-f]{4}")


def is_alive(folder: Path) -> bool:
    """Whether a process holds the run's lock. A lock that we may not look at is another
    user's, and counts as held; a folder that is gone is dead."""
    return is_held(folder / _LOCK)


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
        with Folder.at(self.path, owner=caller()) as run:
            run.make(f"cells/{cell_id}")
        return self.path / "cells" / cell_id

    @classmethod
    def create(cls, root: Path, kind: str = RUNS) -> RunFolder:
        """Make and lock a new run folder below `root/.distromatrix/kind`."""
        parent = root / STATE / kind
        with (
            writing(parent, _NOT_MADE),
            make_state(root) as state,
            state.folder(kind, make=True) as runs,
        ):
            name = _new_folder(runs)
            folder = cls.lock(parent / name)
            if kind == RUNS:
                with suppress(OSError):
                    runs.point(LATEST, name)
            return folder

    @classmethod
    def create_at(cls, path: Path) -> RunFolder:
        """Make and lock a run folder at `path`, where there is none."""
        with writing(path, _NOT_MADE):
            path.mkdir(parents=True, exist_ok=True)
            return cls.lock(path.resolve())

    @classmethod
    def lock(cls, path: Path, *, wait: float = 2.0) -> RunFolder:
        """Lock an existing run folder (`--resume`). Raises InputError if it stays alive."""
        try:
            fd = take(path / _LOCK, wait=wait, mode=0o644)
        except InUseError:
            raise InputError(f"run {path.name} is still running") from None
        if not os.fstat(fd).st_size:
            os.write(fd, _mark(path.name))
        give_to_caller(path / _LOCK)
        return cls(path=path, _lock=fd)

    def __enter__(self) -> RunFolder:
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self._lock)


def _new_folder(parent: Folder) -> str:
    """The name of a folder that nobody else has made, which says the time."""
    while True:
        name = time.strftime("%Y%m%d-%H%M%S-") + secrets.token_hex(2)
        if not parent.has(name):
            parent.make(name)
            return name


def _mark(name: str) -> bytes:
    """What the lock of a folder of that name holds: by this we know that we made it."""
    return f"distromatrix {name}\n".encode()


def make_state(root: Path) -> Folder:
    """The project's `.distromatrix`, opened; made where there is none, ignored by git. Raises
    InputError where it is not ours, OSError."""
    state = open_state(root)
    if state is None:
        with Folder.at(root, owner=caller()) as project:
            state = project.folder(STATE, make=True)
    if not state.has(_IGNORE):
        state.write(_IGNORE, b"*\n")
    return state


def open_state(root: Path) -> Folder | None:
    """The same, None where there is none. Nothing is changed. Raises InputError."""
    state = root / STATE
    try:
        with Folder.at(root, owner=caller()) as project:
            if not project.has(STATE):
                return None
            if fault := _not_ours(project):
                raise InputError(f"{state}{fault}; nothing was written or removed there")
            return project.folder(STATE)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise InputError(f"{state}: cannot be read: {error.strerror}") from error


def _not_ours(project: Folder) -> str:
    """Why the project's state may be somebody else's, and what to do; '' where it is ours."""
    from distromatrix.files.git import is_tracked

    found = project.stat(STATE)
    if not stat.S_ISDIR(found.st_mode):
        return " is a link or a file, where our own folder should be: remove it"
    with project.folder(STATE) as state:
        if strange := _strange(state):
            return f"/{strange}: remove it"
    if is_tracked(project.path, STATE):  # it asks git, which refuses what is not the user's
        return (
            " is tracked by git, so the checkout's author wrote it: take it out of the repository"
        )
    ours = {os.geteuid(), 0, *(caller() or ())[:1]}
    if found.st_uid not in ours and not _is_trusted(project, found.st_uid):
        return f" belongs to another user (uid {found.st_uid}): remove it, or run as that user"
    return ""


def _strange(state: Folder) -> str:
    """What in it is none of ours, and why; '' where nothing is."""
    for kind in _KINDS:
        if state.has(kind) and not stat.S_ISDIR(state.stat(kind).st_mode):
            return f"{kind} is a link or a file, where our own folder should be"
    if state.has(_IGNORE) and not stat.S_ISREG(state.stat(_IGNORE).st_mode):
        return f"{_IGNORE} is not a file, as ours is"
    latest = f"{RUNS}/{LATEST}"
    if state.has(latest) and not _ID.fullmatch(_target(state.path / latest)):
        return f"{latest} is not a link to a run beside it"
    return ""


def _target(link: Path) -> str:
    try:
        return str(link.readlink())
    except OSError:
        return ""


def _is_trusted(project: Folder, uid: int) -> bool:
    """Whether the user has told git to trust the checkout of that user (`safe.directory`)."""
    from distromatrix.files.git import is_work_tree

    try:
        return uid == project.stat().st_uid and is_work_tree(project.path)
    except FileNotFoundError:  # no git here
        return False


def all_runs(root: Path) -> Iterator[Path]:
    """Run folders of a project, oldest first. Raises InputError."""
    return _folders(root, RUNS)


def _folders(root: Path, kind: str, *, ours: bool = False) -> Iterator[Path]:
    if state := open_state(root):
        with state, suppress(OSError):
            for name in state.names(kind):
                if stat.S_ISDIR(state.stat(f"{kind}/{name}").st_mode) and (
                    not ours or _is_marked(state, kind, name)
                ):
                    yield root / STATE / kind / name


def _is_marked(state: Folder, kind: str, name: str) -> bool:
    """Whether we made it, by its name and by what is in it."""
    mark = _mark(name)
    try:
        return bool(_ID.fullmatch(name)) and (
            state.read_bytes(f"{kind}/{name}/{_LOCK}", len(mark)) == mark
        )
    except OSError:
        return False


def remove_dead(root: Path, kind: str) -> tuple[Path, ...]:
    """Remove the folders of that kind that we made and whose process is dead; returns them.
    Raises InputError."""
    dead = dead_folders(root, kind)
    for path in dead:
        remove_folder(path)
    return dead


def dead_folders(root: Path, kind: str) -> tuple[Path, ...]:
    """The folders of that kind that we made and whose process is dead, the oldest first. Raises
    InputError."""
    return tuple(p for p in _folders(root, kind, ours=True) if not is_alive(p))


def find_run(root: Path, name: str | None) -> Path:
    """The folder of the run `name` (an id, the beginning of one id, or `latest`: the newest
    that got as far as having a plan). Raises InputError, with the runs that there are."""
    runs = list(all_runs(root))
    if name in (None, LATEST):
        if begun := [r for r in runs if (r / "plan.json").exists()] or runs:
            link = root / STATE / RUNS / LATEST
            latest = link.with_name(_target(link) or begun[-1].name)
            return latest if latest in begun else begun[-1]
        raise InputError(f"{root}: no run here yet: `distromatrix run` makes one")
    hits = [r for r in runs if r.name == name] or [
        r for r in runs if name and r.name.startswith(name)
    ]
    if len(hits) == 1:
        return hits[0]
    known = ", ".join(r.name for r in runs[-3:]) or "none"
    fault = "no such run" if not hits else "more than one run begins so"
    raise InputError(f"{name}: {fault} (the newest here: {known})")


def require_plain(path: Path) -> None:
    """See that a run's folder, which will be written to, has no link in it but those of ours to
    Vagrant's folder of a guest. Raises InputError."""
    for folder, names, files in os.walk(path):
        for name in (*names, *files):
            link = Path(folder, name)
            if name != ".vagrant" and link.is_symlink():
                raise InputError(f"{link}: is a link, and no run makes one: nothing was written")


def remove_folder(path: Path) -> None:
    """Remove a dead run's folder with all that is in it, as far as can be."""
    with suppress(OSError), Folder.at(path.parent) as parent:
        parent.remove(path.name)
