"""The table of all cases: what came of each on each distro, as the page's script reads it."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from heapq import nlargest
from pathlib import Path
from typing import Any

from distromatrix.collect.errors import CollectError
from distromatrix.collect.retried import parse_cell
from distromatrix.collect.text import one_line
from distromatrix.model import Case, CellResult, CellRun, Plan, RunResult
from distromatrix.record.expectations import Marker
from distromatrix.record.past import OUTCOMES, outcome_of
from distromatrix.record.repetitions import run_id
from distromatrix.reports.grouping import column_of

MOST_ROWS = 200_000
_MOST_SAID = 20_000  # messages
_NAME, _MESSAGE = 400, 300  # characters
SLOWEST = 10
LETTERS = dict(zip(OUTCOMES, "feXkxsp", strict=True))  # one letter for what came of a case
_OUTCOMES = {ord(letter): outcome for outcome, letter in LETTERS.items()}
_LOUD = set("feXk")
# The folder of a run of a cell, what is known of it, and whether it is one of several.
_Run = tuple[str, CellResult | CellRun, bool]


@dataclass(slots=True)
class CaseTable:
    """`rows`: by suite and name of a case a letter for each of `distros`, and what is said of
    it there, by the distro's number. `slowest`: the slowest cases, each with its cell; `more`:
    cases for which there is no room."""

    distros: list[str]
    suites: list[str]
    rows: dict[tuple[int, str], tuple[bytearray, dict[int, str]]] = field(default_factory=dict)
    slowest: list[tuple[float, str, str]] = field(default_factory=list)
    more: int = 0
    said: int = 0

    def add(self, suite: int, distro: int, case: Case, *, again: bool) -> None:
        """One more case. `again`: the same cell may have had it in another of its runs."""
        row = self.rows.get((suite, case.name))
        if row is None:
            if len(self.rows) >= MOST_ROWS:
                self.more += 1
                return
            row = self.rows[suite, case.name] = (bytearray(b"." * len(self.distros)), {})
        letters, messages = row
        before = _OUTCOMES.get(letters[distro], "")
        letters[distro] = ord(LETTERS[outcome_of(before, case, again=again)])
        said = case.message or case.expected
        if said and distro not in messages and self.said < _MOST_SAID:
            messages[distro] = said
            self.said += 1

    def read(self, folder: Path, place: tuple[int, int], run: _Run, marker: Marker) -> None:
        """The cases of one run of a cell."""
        name, result, again = run

        def take(case: Case) -> None:
            self.add(*place, marker.mark(case), again=again)
            self.slowest.append((case.seconds, case.name, name))
            if len(self.slowest) > 5000:
                self.slowest = nlargest(SLOWEST, self.slowest)

        # Where there is none, or none that can be read, the cell says so.
        with suppress(OSError, CollectError):
            parse_cell(folder / "cells" / name, result, take)

    def json(self, shown: Callable[[str], str]) -> str:
        """What the page's script reads, the rows first that have failed; `shown` makes names and
        messages fit to be shown."""
        names = {key: one_line(shown(key[1]), _NAME) for key in self.rows}
        rows: list[list[Any]] = []
        for key, (letters, said) in sorted(self.rows.items(), key=lambda row: _rank(row[1][0])):
            row: list[Any] = [key[0], names[key], letters.decode()]
            if said:
                row.append({str(n): one_line(shown(text), _MESSAGE) for n, text in said.items()})
            rows.append(row)
        data = {
            "distros": [one_line(shown(name)) for name in self.distros],
            "suites": [one_line(shown(name)) for name in self.suites],
            "rows": rows,
        }
        return as_script(data)


def _rank(letters: bytearray) -> int:
    """Those first that fail somewhere, and not everywhere."""
    found = set(letters.decode()) - {"."}
    return (0 if found - _LOUD else 1) if found & _LOUD else 2 if "x" in found else 3


def as_script(data: object) -> str:
    """JSON that ends no <script> that it stands in, and that no older parser breaks a line in."""
    text = json.dumps(data, separators=(",", ":"))  # ASCII alone
    return text.replace("&", "\\u0026").replace("<", "\\u003c").replace(">", "\\u003e")


def read_cases(folder: Path, plan: Plan, result: RunResult) -> CaseTable:
    """All cases of a run, from the cells' own files."""
    by_id = {cell.id: cell for cell in plan.cells}
    cells = [by_id[one.id] for one in result.cells if one.id in by_id]
    distros = list(dict.fromkeys(cell.distro for cell in cells))
    suites = list(dict.fromkeys(column_of(cell) for cell in cells))
    table = CaseTable(distros=distros, suites=suites)
    rows, columns = ({name: n for n, name in enumerate(names)} for names in (distros, suites))
    for one in result.cells:
        if cell := by_id.get(one.id):
            place = columns[column_of(cell)], rows[cell.distro]
            for run in _runs_of(one):
                table.read(folder, place, run, Marker(cell.expect_fail))
    table.slowest = [one for one in nlargest(SLOWEST, table.slowest) if one[0] > 0]
    return table


def _runs_of(cell: CellResult) -> Iterator[_Run]:
    if not cell.runs:
        yield cell.id, cell, False
    for run in cell.runs:
        yield run_id(cell.id, run.repeat), run, True
