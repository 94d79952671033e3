"""The cases of a cell that failed and was run again (`retry_failed`): what all its runs say.

What failed and then passed is flaky; what passed and then failed has failed. A name that stands
for several cases of a report failed if one of them did.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from distromatrix.collect.errors import CollectError
from distromatrix.collect.joined import parse_joined
from distromatrix.collect.junit import JUnitReport, gather
from distromatrix.model import Case, CellResult, CellRun, Expectation, Fallback

MAX_FAILING = 10_000  # cases that failed in one of the runs: of more, none is told to be flaky

_FAILED = ("failed", "error")


def retry_folder(number: int) -> str:
    """Where what a cell left when it was run again lies, below its own folder."""
    return f"retry-{number}"


def read_cell(
    folder: Path,
    result: CellResult | CellRun,
    mask: Callable[[str], str] | None = None,
    expected: Sequence[Expectation] = (),
) -> JUnitReport:
    """As `read_cases`, of a cell's folder: the last word on each of its cases. Raises what
    `parse_cell` raises."""
    return gather(lambda on_case: parse_cell(folder, result, on_case), mask, expected)


def parse_cell(folder: Path, result: CellResult | CellRun, on_case: Callable[[Case], None]) -> None:
    """As `parse_cases`, of a cell's folder: the last word on each of its cases. Raises
    CollectError and FileNotFoundError where none of its runs left a report that can be used."""
    retries = result.retries if isinstance(result, CellResult) else ()
    if not retries:
        parse_joined(folder, result.fallback, on_case)
        return
    parse_views(views_of(folder, result.fallback, retries), on_case)


@dataclass(frozen=True, slots=True)
class View:
    """The reports of one run of a cell: those in `folder`, and of what ran in guests."""

    folder: Path
    fallback: tuple[Fallback, ...]

    def parse(self, on_case: Callable[[Case], None]) -> bool:
        """Whether there is a report that can be used."""
        try:
            parse_joined(self.folder, self.fallback, on_case)
        except (CollectError, OSError):
            return False
        return True


def views_of(
    folder: Path, fallback: tuple[Fallback, ...], retries: Sequence[CellRun]
) -> tuple[View, ...]:
    """The first run of a cell, and those that came after it, in their order."""
    again = (View(folder / retry_folder(run.repeat), run.fallback) for run in retries)
    return View(folder, fallback), *again


@dataclass(slots=True)
class History:
    """How a case that failed at least once did in the runs, which count from 0."""

    failed: set[int] = field(default_factory=set)
    passed: set[int] = field(default_factory=set)
    case: Case | None = None  # as it was when it failed first

    @property
    def flaky(self) -> bool:
        """It failed, and from then on passed; it did not pass before."""
        return bool(self.passed) and min(self.passed) > max(self.failed)

    @property
    def broke(self) -> bool:
        """It passed, and failed later: running it again says no more."""
        return bool(self.passed) and min(self.passed) < max(self.failed)


def histories(views: Sequence[View]) -> dict[str, History]:
    """Those of all cases that failed in one of the runs, by their names; none where they are
    more than MAX_FAILING. Never raises."""
    found: dict[str, History] = {}
    for number, view in enumerate(views):

        def failing(case: Case, number: int = number) -> None:
            if case.status in _FAILED and len(found) <= MAX_FAILING:
                history = found.setdefault(case.name, History(case=case))
                history.failed.add(number)

        view.parse(failing)
    if len(found) > MAX_FAILING:
        return {}
    for number, view in enumerate(views if found else ()):

        def passing(case: Case, number: int = number) -> None:
            history = found.get(case.name)
            if case.status == "passed" and history and number not in history.failed:
                history.passed.add(number)

        view.parse(passing)
    return found


def parse_views(views: Sequence[View], on_case: Callable[[Case], None]) -> None:
    """As `parse_cell`, of the runs of a cell. Cases come in the order of the first report that
    can be used; those that failed without being in it come last."""
    found = histories(views)
    left = dict(found)

    def tell(case: Case) -> None:
        history = found.get(case.name)
        left.pop(case.name, None)
        on_case(_last_word(case, history) if history else case)

    base = next((view for view in views if view.parse(lambda _: None)), views[0])
    parse_joined(base.folder, base.fallback, tell)
    for history in left.values():
        if history.case is not None:
            on_case(_last_word(history.case, history))


def _last_word(case: Case, history: History) -> Case:
    if history.flaky:
        return replace(case, status="passed", flaky=True) if case.status in _FAILED else case
    return case if case.status in _FAILED else history.case or case
