"""How long cells took in earlier runs, and what to expect of others.

It is harmless: what is absent, broken or of another matrix costs no more than a worse balance.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from statistics import median

from distromatrix.model import RAN, Cell, CellResult, Plan
from distromatrix.plan.shards import UNKNOWN

MOST_RUNS = 5  # of a cell are kept, the newest last
LONGEST = 365 * 86400.0  # seconds; more is not a duration
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

    def knows(self, plan: Plan) -> bool:
        """Whether there are some of cells of the plan."""
        return any(cell.id in self.cells for cell in plan.cells)


def informed(seconds: Mapping[str, float]) -> Mapping[str, float]:
    """What cells are expected to take; nothing where that is a guess for all of them."""
    return {} if set(seconds.values()) <= {UNKNOWN} else seconds


def _kinds(cell: str) -> tuple[str, ...]:
    """What a cell is like, the closest first."""
    suite = cell.partition("/")[2]
    return f"/{suite}", suite.partition("/")[0], "*"


def seconds_of(result: CellResult) -> float:
    """Seconds that a cell took, 0.0 where that says nothing; of several runs, on average."""
    if result.verdict not in RAN:
        return 0.0
    return round(result.seconds / max(len(result.runs), 1), 3)
