"""What came of a project's runs: one SQLite file among the user's data, by which the next run
begins the longest cells first.

It holds names, verdicts and times, and nothing that a product has printed. It is harmless: where
it is damaged, busy or of a newer version, that is told in one line, and a run goes on without it.
A process that is killed while it writes leaves what was there before (a rollback journal: it
serves on network file systems, too, as a write-ahead log does not).
"""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from time import time
from typing import TYPE_CHECKING

from distromatrix.files.git import head_of
from distromatrix.files.lock import InUseError, hold
from distromatrix.files.user_folders import NO_HOME, user_folder
from distromatrix.files.whole import give_to_caller
from distromatrix.model import CellResult
from distromatrix.plan.durations import LONGEST, MOST_RUNS, Durations, seconds_of

if TYPE_CHECKING:
    from sqlite3 import Connection, Error

# What made each version of the file out of the one before; PRAGMA user_version says which it is.
_STEPS = (
    (
        "CREATE TABLE runs (number INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, "
        "time REAL NOT NULL, matrix TEXT NOT NULL, commit_id TEXT NOT NULL)",
        "CREATE TABLE cells (run INTEGER NOT NULL REFERENCES runs ON DELETE CASCADE, "
        "id TEXT NOT NULL, verdict TEXT NOT NULL, seconds REAL NOT NULL, "
        "PRIMARY KEY (run, id)) WITHOUT ROWID",
    ),
)
KEPT_RUNS = 1000  # the newest
KEPT_CELLS = 100_000  # of all runs together; the newest run is always kept
KEPT_PROJECTS = 200  # those that ran last: a folder that was tested once may be long gone
_READ_CELLS = 10_000  # back from the newest
_WAIT = 5.0  # seconds for others that write
_UNSAFE = re.compile(r"[^a-z0-9._-]")


class _NewerError(Exception):
    """The file is of a version that is not known here."""


@dataclass(frozen=True, slots=True)
class RunStamp:
    """Which run it was: its id, when it began (seconds since the epoch), and the commit that the
    product was at, or ''."""

    id: str
    time: float
    commit: str = ""


@dataclass(slots=True)
class History:
    """What is remembered of the runs of one matrix (its path from the project's root). `path`
    None: nothing is. Its methods never raise; what went wrong is a line of text, once."""

    path: Path | None
    matrix: str
    _told: str = ""

    @classmethod
    def of(cls, root: Path, matrix: Path) -> History:
        """That of the matrix file of the project at `root`."""
        root = root.resolve()
        return cls(history_file(root), os.path.relpath(matrix.resolve(), root))

    def stamp(self, run: str, product: Path) -> RunStamp:
        """Of a run of the product in that folder, which begins now."""
        return RunStamp(run, time(), head_of(product) if self.path else "")

    def durations(self) -> Durations:
        """How long cells took in the last runs."""
        if self.path is None or not (inode := _inode(self.path)):
            return Durations()
        cells: dict[str, list[float]] = {}
        try:
            with _opened(self.path) as database:
                for cell, seconds in database.execute(
                    # what is text is greater than any number
                    "SELECT cells.id, seconds FROM cells JOIN runs ON run = number "
                    "WHERE matrix = ? AND seconds > 0 AND seconds < ? ORDER BY run DESC LIMIT ?",
                    (self.matrix, LONGEST, _READ_CELLS),
                ):
                    if len(known := cells.setdefault(str(cell), [])) < MOST_RUNS:
                        known.append(float(seconds))
        except Exception as error:  # noqa: BLE001 - no run ends by what it might have known
            return Durations(warning=self._once(_fault(self.path, error, inode)))
        return Durations(cells={cell: tuple(known[::-1]) for cell, known in cells.items()})

    def add(self, run: RunStamp, results: Iterable[CellResult]) -> str:
        """Remember what came of the cells that were begun, once more where the run is known
        already. Returns what kept it from being written, or ''. Safe where several do it."""
        if self.path is None:
            return ""
        inode = _inode(self.path)
        try:
            if not inode and not _made_room(self.path.parent):
                return ""
            with _opened(self.path, write=True) as database:
                _add(database, run, self.matrix, results)
            give_to_caller(self.path)
        except Exception as error:  # noqa: BLE001 - see above
            return self._once(_fault(self.path, error, inode))
        return ""

    def _once(self, text: str) -> str:
        before, self._told = self._told, text
        return "" if text == before else text


def history_file(root: Path) -> Path | None:
    """Where the history of the project at `root` is; None for a user who has no folder for data,
    and where the engine is the fake one."""
    folder = None if os.environ.get("DISTROMATRIX_FAKE") else user_folder("data")
    if folder is None:
        return None
    name = _UNSAFE.sub("_", root.name.lower())[:40]
    digest = hashlib.sha256(os.fsencode(root)).hexdigest()[:16]
    return folder / "history" / f"{name}-{digest}.sqlite3"


def _add(database: Connection, run: RunStamp, matrix: str, results: Iterable[CellResult]) -> None:
    database.execute(
        "INSERT OR IGNORE INTO runs (id, time, matrix, commit_id) VALUES (?, ?, ?, ?)",
        (run.id, run.time, matrix, run.commit),
    )
    found = database.execute("SELECT number FROM runs WHERE id = ?", (run.id,))
    (number,) = found.fetchone()
    database.executemany(
        "INSERT OR REPLACE INTO cells (run, id, verdict, seconds) VALUES (?, ?, ?, ?)",
        ((number, r.id, str(r.verdict), seconds_of(r)) for r in results if not r.left_out),
    )
    database.execute("DELETE FROM runs WHERE number <= ?", (number - KEPT_RUNS,))
    database.execute(
        "DELETE FROM runs WHERE number < ? AND number <= "
        "(SELECT run FROM cells ORDER BY run DESC LIMIT 1 OFFSET ?)",
        (number, KEPT_CELLS),
    )


@contextmanager
def _opened(path: Path, *, write: bool = False) -> Iterator[Connection]:
    """The file, of today's version, in a transaction: all that is done to it there is, or nothing.
    Raises sqlite3.Error, _NewerError."""
    import sqlite3

    database = sqlite3.connect(path, timeout=_WAIT, isolation_level=None)
    try:
        database.execute("PRAGMA foreign_keys = ON")
        database.execute("PRAGMA synchronous = NORMAL")
        if write or _version(database) < len(_STEPS):
            database.execute("BEGIN IMMEDIATE")
            for step in _STEPS[_version(database) :]:
                for statement in step:
                    database.execute(statement)
            database.execute(f"PRAGMA user_version = {len(_STEPS)}")
        else:
            database.execute("BEGIN")
        yield database
        database.execute("COMMIT")
    finally:
        database.close()  # which takes back what was not committed


def _version(database: Connection) -> int:
    (version,) = database.execute("PRAGMA user_version").fetchone()
    if version > len(_STEPS):
        raise _NewerError
    return int(version)


def _made_room(folder: Path) -> bool:
    """A folder for one more file, and not too many beside it; False for a user who has none."""
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        if error.errno in NO_HOME and not os.environ.get("XDG_DATA_HOME"):
            return False
        raise
    give_to_caller(folder)
    files = [(file.stat().st_mtime, file) for file in folder.glob("*.sqlite3")]
    for _, file in sorted(files, reverse=True)[KEPT_PROJECTS - 1 :]:
        file.unlink(missing_ok=True)
    return True


def _inode(path: Path) -> int:
    """What tells a file from another at the same place; 0 where there is none."""
    try:
        return path.stat().st_ino
    except OSError:
        return 0


def _fault(path: Path, error: Exception, inode: int) -> str:
    """What to say of it; the file, where it is damaged, is set aside."""
    if isinstance(error, _NewerError):
        return f"{path}: a newer version of distromatrix wrote this history; it is left alone"
    if isinstance(error, OSError | ImportError):
        return _unused(path, getattr(error, "strerror", None) or str(error))
    import sqlite3

    if not isinstance(error, sqlite3.Error):
        raise error
    if not _is_damage(error):
        return _unused(path, str(error))
    aside = path.with_suffix(".damaged")
    try:
        _set_aside(path, aside, inode)
    except (OSError, InUseError) as failed:
        return _unused(path, f"it is damaged, and cannot be set aside: {failed}")
    return f"{path}: the history is damaged; it is now {aside.name}, and a new one begins"


def _unused(path: Path, why: str) -> str:
    return f"{path}: the history of runs cannot be used: {why}"


def _is_damage(error: Error) -> bool:
    """Whether the file itself is at fault, and not what is done around it."""
    import sqlite3

    return getattr(error, "sqlite_errorcode", sqlite3.SQLITE_ERROR) & 0xFF not in (
        sqlite3.SQLITE_BUSY,
        sqlite3.SQLITE_LOCKED,
        sqlite3.SQLITE_PERM,
        sqlite3.SQLITE_READONLY,
        sqlite3.SQLITE_IOERR,
        sqlite3.SQLITE_FULL,
        sqlite3.SQLITE_CANTOPEN,
        sqlite3.SQLITE_NOMEM,
        sqlite3.SQLITE_AUTH,
        sqlite3.SQLITE_PROTOCOL,
    )


def _set_aside(path: Path, aside: Path, inode: int) -> None:
    """Another may have done it meanwhile: then the new file stays."""
    with hold(path.parent / ".lock", wait=_WAIT):
        if _inode(path) == inode:
            path.replace(aside)
