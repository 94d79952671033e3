"""The cases of a cell that failed and was run again (`retry_failed`): what all its runs say.

What failed and then passed is flaky; what passed and then failed has failed. A name that stands
for several cases of a report failed if one of them did.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from distromatrix.collect.joined import parse_joined
from distromatrix.collect.tally import Histories, History, View, read_histories
from distromatrix.model import Case, CellResult, CellRun, Fallback

_FAILED = ("failed", "error")


def retry_folder(number: int) -> str:
    """Where what a cell left when it was run again lies, below its own folder."""
    return f"retry-{number}"


def parse_cell(folder: Path, result: CellResult | CellRun, on_case: Callable[[Case], None]) -> None:
    """As `parse_cases`, of a cell's folder: the last word on each of its cases. Raises
    CollectError and FileNotFoundError where none of its runs left a report that can be used."""
    retries = result.retries if isinstance(result, CellResult) else ()
    if not retries:
        parse_joined(folder, result.fallback, on_case)
        return
    views = views_of(folder, result.fallback, retries)
    parse_views(views, read_histories(views), on_case)


def views_of(
    folder: Path, fallback: tuple[Fallback, ...], retries: Sequence[CellRun]
) -> dict[int, View]:
    """The first run of a cell, 0, and those that came after it, by their numbers."""
    again = {run.repeat: View(folder / retry_folder(run.repeat), run.fallback) for run in retries}
    return {0: View(folder, fallback), **again}


def parse_views(
    views: dict[int, View], histories: Histories, on_case: Callable[[Case], None]
) -> None:
    """As `parse_cell`, of the runs of a cell, whose `histories` these are. Cases come in the order
    of the first report that can be used; those that failed without being in it come last."""
    left = dict(histories.of)

    def tell(case: Case) -> None:
        history = histories.of.get(case.name)
        left.pop(case.name, None)
        on_case(_last_word(case, history) if history else case)

    base = views[histories.readable or 0]
    parse_joined(base.folder, base.fallback, tell)
    for history in left.values():
        on_case(_last_word(history.case, history))


def _last_word(case: Case, history: History) -> Case:
    if history.flaky:
        return replace(case, status="passed", flaky=True) if case.status in _FAILED else case
    return case if case.status in _FAILED else history.case
