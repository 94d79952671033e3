"""What both passed and failed in several runs of the same cell."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from distromatrix.model import CellResult, Flaky, Plan, Verdict
from distromatrix.reports.grouping import NOT_GATING, column_of


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

    @property
    def gating(self) -> bool:
        """Whether it counts in one of them."""
        return not all(cell.not_gating for cell, _ in self.cells)

    @property
    def passed(self) -> bool:
        """Whether it passed in the end in all of them, when they were run again."""
        return all(is_green(cell) for cell, _ in self.cells)


def is_green(cell: CellResult) -> bool:
    """Whether a cell is as it is expected to be, flaky or not."""
    return cell.verdict in (Verdict.PASSED, Verdict.XFAILED)


def count_flaky(results: Iterable[CellResult]) -> int:
    """How many cells passed in the end, and have something flaky."""
    return sum(is_green(cell) and bool(cell.flaky) for cell in results)


def counts_of(cell: CellResult, one: Flaky) -> str:
    """`passed 2, failed 3 of 5 runs`."""
    if not cell.runs and not cell.retries:
        return "passed when the suite's own tool retried it"
    runs = len(cell.runs) or 1 + len(cell.retries)
    return f"passed {one.passed}, failed {one.failed} of {runs} runs"


def flaky_sections(
    plan: Plan, results: Iterable[CellResult]
) -> Iterator[tuple[str, Verdict, bool, tuple[FlakyCase, ...]]]:
    """What is flaky, in the parts in which it is shown: their titles, how they look, whether they
    count, and the cases of each."""
    found = flaky_cases(plan, results)
    both = "flaky: passed and failed in the same cell"
    for title, verdict, gating, passed in (
        (both, Verdict.FAILED, True, False),
        (both + NOT_GATING, Verdict.FAILED, False, False),
        ("flaky: failed first, passed when retried", Verdict.XFAILED, True, True),
    ):
        cases = (one for one in found if one.passed is passed)
        if some := tuple(one for one in cases if passed or one.gating is gating):
            yield title, verdict, gating, some


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
