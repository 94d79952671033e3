"""How long cells took in earlier runs, and what to expect of others; and a small file of that,
which CI keeps in its cache, by which `plan --durations` balances the shards.

It is harmless: what is absent, broken or of another matrix is told in one line, and costs no
more than a worse balance.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Any

from distromatrix.errors import InfrastructureError
from distromatrix.files.below import Folder
from distromatrix.files.lock import InUseError, hold
from distromatrix.model import RAN, Cell, CellResult, Plan
from distromatrix.plan.shards import UNKNOWN

VERSION = 1
MOST_CELLS = 20_000  # are kept, those that ran last
MOST_RUNS = 5  # of a cell are kept, the newest last
_BIGGEST = 4 * 1024**2  # bytes
LONGEST = 365 * 86400.0  # seconds; more is not a duration
_WAIT = 60.0  # seconds for others that write the same file
# A cell that broke, or did not run, says nothing of how long it takes.


@dataclass(frozen=True, slots=True, kw_only=True)
class Durations:
    """Seconds of earlier runs by cell id, the newest last. `warning`: why there are none, or
    not all, '' where nothing is wrong."""

    cells: Mapping[str, tuple[float, ...]] = field(default_factory=dict)
    warning: str = ""

    def estimate(self, plan: Plan) -> dict[str, float]:
        """What each cell of the plan that runs is expected to take: the median of its runs, else
        of the same suite's on other distros (with the same variant before any), else of all."""
        known = {cell: median(seconds) for cell, seconds in self.cells.items()}
        alike: dict[str, list[float]] = {}
        for cell, seconds in known.items():
            for kind in _kinds(cell):
                alike.setdefault(kind, []).append(seconds)
        typical = {kind: median(seconds) for kind, seconds in alike.items()}

        def expected(cell: Cell) -> float:
            kinds = (kind for kind in _kinds(cell.id) if kind in typical)
            return known.get(cell.id) or typical.get(next(kinds, ""), UNKNOWN)

        return {c.id: round(expected(c), 3) for c in plan.cells if c.engine is not None}

    def of_another(self, plan: Plan) -> bool:
        """Whether there are some, and none of them is of a cell of the plan."""
        return bool(self.cells) and not any(cell.id in self.cells for cell in plan.cells)


def informed(seconds: Mapping[str, float]) -> Mapping[str, float]:
    """What cells are expected to take; nothing where that is a guess for all of them."""
    return {} if set(seconds.values()) <= {UNKNOWN} else seconds


def _kinds(cell: str) -> tuple[str, ...]:
    """What a cell is like, the closest first."""
    suite = cell.partition("/")[2]
    return f"/{suite}", suite.partition("/")[0], "*"


def read(path: Path) -> Durations:
    """What the file says, as far as it is sound. Never raises; `warning` is one line."""
    try:
        with path.open("rb") as file:
            raw = file.read(_BIGGEST + 1)
    except FileNotFoundError:
        return Durations(warning=f"{path}: no durations of earlier runs yet")
    except OSError as error:
        return Durations(warning=f"{path}: durations cannot be read: {error.strerror}")
    if len(raw) > _BIGGEST:
        return Durations(warning=f"{path}: more than 4 MiB are no durations; they are not used")
    try:
        found = json.loads(raw)
    except (ValueError, RecursionError):
        found = None
    entries = found.get("cells") if isinstance(found, dict) else None
    if not isinstance(entries, dict) or found.get("version") != VERSION:
        return Durations(warning=f"{path}: these are no durations of version 1; not used")
    cells = {cell: _sound(seconds) for cell, seconds in entries.items()}
    sound = {cell: seconds for cell, seconds in cells.items() if seconds}
    kept = dict(list(sound.items())[-MOST_CELLS:])
    left = len(cells) - len(kept)
    return Durations(cells=kept, warning=f"{path}: {left} entries left out" if left else "")


def _sound(entry: Any) -> tuple[float, ...]:
    """The newest of what are durations in an entry: anyone can have written it."""
    found = entry if isinstance(entry, list) else ()
    numbers = [value for value in found[-1000:] if type(value) in (int, float)]
    return tuple(float(value) for value in numbers if 0 < value < LONGEST)[-MOST_RUNS:]


def update(path: Path, results: Iterable[CellResult]) -> str:
    """Add what these cells took, of each a run; returns a line that warns, or ''. What the file
    held that was no durations is gone then. Safe where several do it at once. Raises
    InfrastructureError when it cannot be written."""
    path = path.resolve()  # a link stays one
    if path.exists() and not path.is_file():  # a device would be replaced by a file
        reason = f"{path}: durations cannot be written: it is not a regular file"
        raise InfrastructureError(reason, transient=False)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with hold(path.with_name(path.name + ".lock"), wait=_WAIT):
            before = read(path) if path.exists() else Durations()
            cells = dict(before.cells)
            for result in results:
                if seconds := seconds_of(result):
                    cells[result.id] = (*cells.pop(result.id, ()), seconds)[-MOST_RUNS:]
            _write(path, cells)
    except InUseError:
        raise InfrastructureError(f"{path}: another process holds its lock") from None
    except OSError as error:
        reason = f"{path}: durations cannot be written: {error.strerror}"
        raise InfrastructureError(reason, transient=False) from error
    return before.warning


def seconds_of(result: CellResult) -> float:
    """Seconds that a cell took, 0.0 where that says nothing; of several runs, on average."""
    if result.verdict not in RAN:
        return 0.0
    return round(result.seconds / max(len(result.runs), 1), 3)


def _write(path: Path, cells: Mapping[str, tuple[float, ...]]) -> None:
    """At once or not at all; those that ran last, as many as fit."""
    kept = [(cell, list(seconds)) for cell, seconds in cells.items()][-MOST_CELLS:]
    while len(text := _text(dict(kept))) > _BIGGEST:
        kept = kept[len(kept) // 10 + 1 :]
    with Folder.at(path.parent) as folder:
        folder.write(path.name, text)


def _text(cells: Mapping[str, list[float]]) -> bytes:
    """One line a cell: a cache that is looked at, or compared, reads well."""
    lines = (f"  {json.dumps(cell)}: {json.dumps(seconds)}" for cell, seconds in cells.items())
    return ('{"version": 1, "cells": {\n' + ",\n".join(lines) + "\n}}\n").encode()
