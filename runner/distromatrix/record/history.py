"""What came of a project's runs: one SQLite file among the user's data, or one that CI keeps in its
cache, by which the next run begins the longest cells first, and tells what is new from what has
failed for long.

It holds names, verdicts and times, and nothing that a product has printed. It is harmless: where
it is damaged, busy or of a newer version, that is told in one line, and a run goes on without it.
A process that is killed while it writes leaves what was there before (a rollback journal: it
serves on network file systems, too, as a write-ahead log does not).
"""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from time import time
from typing import TYPE_CHECKING, TypeVar

from distromatrix.files.git import head_of
from distromatrix.files.user_folders import user_folder
from distromatrix.files.whole import give_to_caller
from distromatrix.model import Case, CellResult
from distromatrix.plan.durations import LONGEST, MOST_RUNS, Durations, seconds_of
from distromatrix.record.history_file import fault_of, inode_of, make_room, opened
from distromatrix.record.past import RED, Seen, outcome_of

if TYPE_CHECKING:
    from sqlite3 import Connection

KEPT_RUNS = 1000  # the newest
KEPT_CELLS = 100_000  # of all runs together; the newest run is always kept
KEPT_OUTCOMES = 1_000_000  # of cases in all runs together; those of the newest run always
MOST_CASES = 100_000  # of a run are remembered
MOST_ASKED = 1000  # cases whose earlier runs are looked up at once
SEEN = 100  # earlier runs of each
_LONGEST_NAME = 1000  # characters
_READ_CELLS = 10_000  # back from the newest
_LATEST = 1e11  # seconds since the epoch
_UNSAFE = re.compile(r"[^a-z0-9._-]")

T = TypeVar("T")
CaseOf = tuple[str, str]  # a cell's id and a case's name, or '' for the cell as a whole


@dataclass(frozen=True, slots=True)
class RunStamp:
    """Which run it was: its id, when it began (seconds since the epoch), and the commit that the
    product was at, or ''."""

    id: str
    time: float
    commit: str = ""


@dataclass(frozen=True, slots=True)
class Known:
    """A cell or a case that is remembered, and in how many runs it was red."""

    key: CaseOf
    reds: int


@dataclass(slots=True)
class Outcomes:
    """The cases of a run, as they are remembered: of each its status, `flaky` where its runs do not
    agree, and its seconds; bounded, the red ones last left out."""

    repeated: bool = False
    of: dict[CaseOf, tuple[str, float]] = field(default_factory=dict)

    def note(self, cell: str, case: Case) -> None:
        """One more case of a cell; of the same name there may be several."""
        key = (cell, short_name(case.name))
        before, seconds = self.of.get(key, ("", 0.0))
        status = outcome_of(before, case, again=self.repeated)
        if before or len(self.of) < MOST_CASES or status in RED:
            self.of[key] = (status, max(seconds, case.seconds))


@dataclass(slots=True)
class History:
    """What is remembered of the runs of one matrix (its path from the project's root). `path`
    None: nothing is; `given`: it is a file that the user named. Its methods never raise; what went
    wrong is a line of text, once."""

    path: Path | None
    matrix: str
    given: bool = False
    untold: str = ""  # what went wrong where nothing was returned that says it
    _told: str = ""

    @classmethod
    def of(cls, root: Path, matrix: Path, given: Path | None = None) -> History:
        """That of the matrix file of the project at `root`; in the file `given`, where one is."""
        root = root.resolve()
        path = given.resolve() if given else history_file(root)
        return cls(path, os.path.relpath(matrix.resolve(), root), given is not None)

    def stamp(self, run: str, product: Path) -> RunStamp:
        """Of a run of the product in that folder, which begins now."""
        return RunStamp(run, time(), head_of(product) if self.path else "")

    def durations(self) -> Durations:
        """How long cells took in the last runs."""
        if self.given and self.path and not inode_of(self.path):
            return Durations(warning=f"{self.path}: no earlier runs yet")

        def read(database: Connection) -> dict[str, list[float]]:
            cells: dict[str, list[float]] = {}
            for cell, seconds in database.execute(
                # what is text is greater than any number
                "SELECT cells.id, seconds FROM cells JOIN runs ON run = number "
                "WHERE matrix = ? AND seconds > 0 AND seconds < ? ORDER BY run DESC LIMIT ?",
                (self.matrix, LONGEST, _READ_CELLS),
            ):
                if len(known := cells.setdefault(str(cell), [])) < MOST_RUNS:
                    known.append(float(seconds))
            return cells

        nothing: dict[str, list[float]] = {}
        cells, warning = self._asked(read, nothing)
        known = {cell: tuple(times[::-1]) for cell, times in cells.items()}
        return Durations(cells=known, warning=warning)

    def earlier(self, asked: Iterable[CaseOf], before: str = "") -> dict[CaseOf, tuple[Seen, ...]]:
        """What came of these cells and cases in the runs before the one of that id (in all, where
        it is not known), the newest last. What went wrong is `untold` then."""
        wanted = tuple(dict.fromkeys(asked))[:MOST_ASKED]

        def read(database: Connection) -> dict[CaseOf, tuple[Seen, ...]]:
            found = database.execute("SELECT number FROM runs WHERE id = ?", (before,)).fetchone()
            number = found[0] if found else 1 << 62
            return {one: self._seen(database, one, number) for one in wanted}

        nothing: dict[CaseOf, tuple[Seen, ...]] = {}
        found, warning = self._asked(read, nothing)
        self.untold = self.untold or warning
        return found

    def _seen(self, database: Connection, one: CaseOf, number: int) -> tuple[Seen, ...]:
        cell, name = one
        what = "runs.id, time, commit_id, {}, seconds FROM {} JOIN runs ON run = runs.number"
        end = "AND matrix = ? AND runs.number < ? ORDER BY runs.number DESC LIMIT ?"
        rest = (self.matrix, number, SEEN)
        if name:
            what = what.format("status", "cases JOIN outcomes ON of_case = cases.number")
            query = f"SELECT {what} WHERE cell = ? AND name = ? {end}"
            rows = database.execute(query, (cell, short_name(name), *rest))
        else:
            what = what.format("verdict", "cells")
            rows = database.execute(f"SELECT {what} WHERE cells.id = ? {end}", (cell, *rest))
        return tuple(
            Seen(str(run), _number(at, _LATEST), str(commit), str(status), _number(seconds))
            for run, at, commit, status, seconds in rows
        )[::-1]

    def known(self) -> tuple[tuple[Known, ...], str]:
        """All cells and cases that are remembered, and a line that warns, or ''."""

        def read(database: Connection) -> tuple[Known, ...]:
            cells = database.execute(
                "SELECT cells.id, '', sum(verdict = 'failed') FROM cells "
                "JOIN runs ON run = number WHERE matrix = ? GROUP BY cells.id",
                (self.matrix,),
            )
            cases = database.execute(
                "SELECT cell, name, sum(status IN ('failed', 'error', 'flaky')) FROM outcomes "
                "JOIN cases ON of_case = cases.number JOIN runs ON run = runs.number "
                "WHERE matrix = ? GROUP BY of_case",
                (self.matrix,),
            )
            rows = sorted((str(cell), str(name), reds) for cell, name, reds in (*cells, *cases))
            return tuple(Known((cell, name), int(reds)) for cell, name, reds in rows)

        return self._asked(read, ())

    def _asked(self, read: Callable[[Connection], T], nothing: T) -> tuple[T, str]:
        if self.path is None or not (inode := inode_of(self.path)):
            return nothing, ""
        try:
            with opened(self.path) as database:
                return read(database), ""
        except Exception as error:  # noqa: BLE001 - no run ends by what it might have known
            return nothing, self._once(fault_of(self.path, error, inode))

    def add(
        self, run: RunStamp, results: Iterable[CellResult], outcomes: Outcomes | None = None
    ) -> str:
        """Remember what came of the cells that were begun, and of their cases, once more where the
        run is known already. Returns what kept it from being written, or ''. Safe where several do
        it."""
        if self.path is None:
            return ""
        inode = inode_of(self.path)
        try:
            if self.given:
                self.path.parent.mkdir(parents=True, exist_ok=True)
            elif not inode and not make_room(self.path.parent):
                return ""
            with opened(self.path, write=True) as database:
                _add(database, run, self.matrix, results, outcomes or Outcomes())
            give_to_caller(self.path)
        except Exception as error:  # noqa: BLE001 - see above
            return self._once(fault_of(self.path, error, inode))
        return ""

    def _once(self, text: str) -> str:
        before, self._told = self._told, text
        return "" if text == before else text


def short_name(case: str) -> str:
    """The name of a case as it is kept: text that SQLite takes, a very long one by its beginning
    and a digest."""
    name = case.encode(errors="replace").decode()
    if len(name) <= _LONGEST_NAME:
        return name
    digest = hashlib.sha256(name.encode()).hexdigest()[:16]
    return f"{name[: _LONGEST_NAME - 17]}…{digest}"


def _number(value: object, most: float = LONGEST) -> float:
    return float(value) if isinstance(value, int | float) and 0 <= value < most else 0.0


def history_file(root: Path) -> Path | None:
    """Where the history of the project at `root` is; None for a user who has no folder for data,
    and where the engine is the fake one."""
    folder = None if os.environ.get("DISTROMATRIX_FAKE") else user_folder("data")
    if folder is None:
        return None
    name = _UNSAFE.sub("_", root.name.lower())[:40]
    digest = hashlib.sha256(os.fsencode(root)).hexdigest()[:16]
    return folder / "history" / f"{name}-{digest}.sqlite3"


def _add(
    database: Connection,
    run: RunStamp,
    matrix: str,
    results: Iterable[CellResult],
    outcomes: Outcomes,
) -> None:
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
    database.executemany(
        "INSERT OR IGNORE INTO cases (cell, name) VALUES (?, ?)",
        outcomes.of,
    )
    database.executemany(
        "INSERT OR REPLACE INTO outcomes (run, of_case, status, seconds) "
        "SELECT ?, number, ?, ? FROM cases WHERE cell = ? AND name = ?",
        ((number, *what, *one) for one, what in outcomes.of.items()),
    )
    database.execute("DELETE FROM runs WHERE number <= ?", (number - KEPT_RUNS,))
    database.execute(
        "DELETE FROM runs WHERE number < ? AND number <= "
        "(SELECT run FROM cells ORDER BY run DESC LIMIT 1 OFFSET ?)",
        (number, KEPT_CELLS),
    )
    database.execute(
        "DELETE FROM outcomes WHERE run < ? AND run <= "
        "(SELECT run FROM outcomes ORDER BY run DESC LIMIT 1 OFFSET ?)",
        (number, KEPT_OUTCOMES),
    )
    database.execute("DELETE FROM cases WHERE number NOT IN (SELECT of_case FROM outcomes)")
