"""What both passed and failed in several runs of the same cell."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass

from distromatrix.model import CellResult, Flaky, Plan
from distromatrix.reports.grouping import column_of


@dataclass(frozen=True, slots=True, kw_only=True)
class FlakyCase:
    """One flaky case (a whole cell where `case` is ''), and the cells in which it is, each
    with its counts."""

    column: str
    case: str
    cells: tuple[tuple[CellResult, Flaky], ...]

    @property
    def message(self) -> str:
        """Why it failed, where it did first."""
        return self.cells[0][1].message


def flaky_cases(plan: Plan, results: Iterable[CellResult]) -> tuple[FlakyCase, ...]:
    """All that is flaky, what is so in the most cells first, then what fails most often."""
    columns = {cell.id: column_of(cell) for cell in plan.cells}
    found: dict[tuple[str, str], list[tuple[CellResult, Flaky]]] = defaultdict(list)
    for result in results:
        for one in result.flaky:
            found[columns.get(result.id, result.id), one.case].append((result, one))
    made = (
        FlakyCase(column=column, case=where[0][1].case, cells=tuple(where))
        for (column, _), where in found.items()
    )
    return tuple(sorted(made, key=lambda f: (-len(f.cells), -sum(o.failed for _, o in f.cells))))
