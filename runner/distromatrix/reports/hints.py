"""Which hints belong to a failure: a cell's are found in its last lines, whatever failed there."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from distromatrix.collect.hints import of_lines
from distromatrix.model import Case, CellResult, Plan
from distromatrix.reports.grouping import Failure

MOST = 4


def hints_of(
    failures: Iterable[Failure], plan: Plan, results: Iterable[CellResult]
) -> tuple[str, ...]:
    """What may mend these failures: the hints of their cells, each once, but those that only the
    text of another case of the cell gives."""
    failures = tuple(failures)
    wanted = {cell for failure in failures for cell in failure.cells}
    mine = {failure.case.name for failure in failures if failure.case}
    shells = {cell.id: cell.shell for cell in plan.cells}
    found: list[str] = []
    for result in results:
        if result.id in wanted and result.hints:
            shell = shells.get(result.id, "sh")
            ours, others = set[str](), set[str]()
            for case in (*result.failing, *result.xfailed):
                (ours if case.name in mine else others).update(_told_by(case, shell))
            found += [hint for hint in result.hints if hint in ours or hint not in others]
    return tuple(dict.fromkeys(found))[:MOST]


def _told_by(case: Case, shell: str) -> Iterator[str]:
    return of_lines((*case.message.splitlines(), *case.text.splitlines()), shell)
