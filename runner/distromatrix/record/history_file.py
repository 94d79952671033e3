"""The file of a history: opened at today's version, whole or not at all; set aside where it is
damaged. Anyone can have written it: what is no schema of ours counts as damage, before anything is
read, and triggers or views in it are never run.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from distromatrix.files.lock import InUseError, hold
from distromatrix.files.user_folders import NO_HOME
from distromatrix.files.whole import give_to_caller

if TYPE_CHECKING:
    from sqlite3 import Connection, Error

# What made each version of the file out of the one before; PRAGMA user_version says which it is.
STEPS = (
    (
        "CREATE TABLE runs (number INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, "
        "time REAL NOT NULL, matrix TEXT NOT NULL, commit_id TEXT NOT NULL)",
        "CREATE TABLE cells (run INTEGER NOT NULL REFERENCES runs ON DELETE CASCADE, "
        "id TEXT NOT NULL, verdict TEXT NOT NULL, seconds REAL NOT NULL, "
        "PRIMARY KEY (run, id)) WITHOUT ROWID",
    ),
    (
        "CREATE TABLE cases (number INTEGER PRIMARY KEY, cell TEXT NOT NULL, name TEXT NOT NULL, "
        "UNIQUE (cell, name))",
        "CREATE TABLE outcomes (run INTEGER NOT NULL REFERENCES runs ON DELETE CASCADE, "
        "of_case INTEGER NOT NULL REFERENCES cases, status TEXT NOT NULL, seconds REAL NOT NULL, "
        "PRIMARY KEY (run, of_case)) WITHOUT ROWID",
        "CREATE INDEX outcomes_of_case ON outcomes (of_case, run)",
    ),
)
KEPT_PROJECTS = 200  # those that ran last: a folder that was tested once may be long gone
_WAIT = 5.0  # seconds for others that write
_BIGGEST = 512 << 20  # bytes


class NewerError(Exception):
    """The file is of a version that is not known here."""


@contextmanager
def opened(path: Path, *, write: bool = False) -> Iterator[Connection]:
    """The file, of today's version, in a transaction: all that is done to it there is, or nothing.
    Raises sqlite3.Error, NewerError."""
    import sqlite3

    if path.is_file() and not _may_be_one(path):
        raise sqlite3.DatabaseError("it is none")
    database = sqlite3.connect(path, timeout=_WAIT, isolation_level=None)
    try:
        database.execute("PRAGMA trusted_schema = OFF")
        database.execute("PRAGMA foreign_keys = ON")
        database.execute("PRAGMA synchronous = NORMAL")
        database.execute("BEGIN IMMEDIATE" if write else "BEGIN")
        if not write and _version(database) < len(STEPS):
            database.execute("COMMIT")
            database.execute("BEGIN IMMEDIATE")
        for step in STEPS[_version(database) :]:
            for statement in step:
                database.execute(statement)
            database.execute(f"PRAGMA user_version = {len(STEPS)}")
        yield database
        database.execute("COMMIT")
    finally:
        database.close()  # which takes back what was not committed


def _may_be_one(path: Path) -> bool:
    """Whether it begins like a database, and is not too big: SQLite writes over a few bytes of
    anything."""
    with path.open("rb") as file:
        return file.read(16) in (b"", b"SQLite format 3\0") and path.stat().st_size <= _BIGGEST


def _version(database: Connection) -> int:
    import sqlite3

    (version,) = database.execute("PRAGMA user_version").fetchone()
    if version > len(STEPS):
        raise NewerError
    there = {sql for (sql,) in database.execute("SELECT sql FROM sqlite_master") if sql}
    if there != {statement for step in STEPS[: max(version, 0)] for statement in step}:
        raise sqlite3.DatabaseError("its tables are not those of a history")
    return int(version)


def make_room(folder: Path) -> bool:
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


def beside(path: Path | None) -> tuple[Path, ...]:
    """The file, and what may be written beside it."""
    return () if path is None else (path, Path(f"{path}-journal"), Path(f"{path}.lock"))


def inode_of(path: Path) -> int:
    """What tells a file from another at the same place; 0 where there is none."""
    try:
        return path.stat().st_ino
    except OSError:
        return 0


def fault_of(path: Path, error: Exception, inode: int) -> str:
    """What to say of it; the file, where it is damaged, is set aside."""
    if isinstance(error, NewerError):
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
    if not path.is_file():
        raise OSError("it is not a regular file")
    with hold(path.with_name(f"{path.name}.lock"), wait=_WAIT):
        if inode_of(path) == inode:
            path.replace(aside)
