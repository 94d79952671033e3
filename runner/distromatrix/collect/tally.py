"""How the cases of several reports of the same suite came out.

Memory grows with the cases that failed at least once, not with all that there are: the reports
are read twice, first for who failed, then for who of these passed elsewhere.
"""

from __future__ import annotations

from collections.abc import Callable, Container, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from distromatrix.collect.joined import parse_joined
from distromatrix.collect.junit import CollectError
from distromatrix.model import Case, CellResult, Fallback, Flaky
from distromatrix.record.repetitions import Runs, run_id

MAX_TRACKED = 10_000  # cases that failed
_MAX_FULL = 200  # of them that are kept with their text

_FAILED = ("failed", "error")


@dataclass(frozen=True, slots=True)
class View:
    """The reports of one run of a cell: those in `folder`, and of what ran in guests."""

    folder: Path
    fallback: tuple[Fallback, ...] = ()

    def parse(self, on_case: Callable[[Case], None]) -> bool:
        """Whether there is a report that can be used."""
        try:
            parse_joined(self.folder, self.fallback, on_case)
        except (CollectError, OSError):
            return False
        return True


@dataclass(slots=True)
class History:
    """In which runs a case that failed at least once failed and passed, neither where it was
    skipped or absent. `case`: as it was when it failed first."""

    case: Case
    failed: set[int] = field(default_factory=set)
    passed: set[int] = field(default_factory=set)

    @property
    def flaky(self) -> bool:
        """It failed, and from then on passed; it did not pass before."""
        return bool(self.passed) and min(self.passed) > max(self.failed)

    @property
    def broke(self) -> bool:
        """It passed, and failed later: running it again says no more."""
        return bool(self.passed) and min(self.passed) < max(self.failed)


@dataclass(frozen=True, slots=True)
class Histories:
    """Those of the cases that failed, by their names; `whole`: none is missing, for there were no
    more than MAX_TRACKED. `readable`: the first run whose report can be used."""

    of: Mapping[str, History]
    whole: bool
    readable: int | None


def read_histories(
    views: Mapping[int, View],
    mask: Callable[[str], str] = str,
    red: Container[int] | None = None,
) -> Histories:
    """The histories of all cases that failed in one of the runs, by their numbers (`red`: only in
    these did one fail). Where one name stands for several cases of a report, it failed if one of
    them did. A report that cannot be read says nothing. Never raises."""
    found: dict[str, History] = {}
    whole, readable = True, None
    for number, view in sorted(views.items()):
        if red is not None and number not in red:
            continue
        failing: dict[str, Case] = {}

        def failed(case: Case, into: dict[str, Case] = failing) -> None:
            if case.status in _FAILED and len(into) <= MAX_TRACKED:
                into.setdefault(mask(case.name), case)

        if not view.parse(failed):
            continue
        readable = number if readable is None else readable
        for name, case in failing.items():
            if name not in found and len(found) == MAX_TRACKED:
                whole = False
                continue
            full = case if len(found) < _MAX_FULL else replace(case, text="")
            found.setdefault(name, History(full)).failed.add(number)
    for number, view in views.items() if found else ():
        for name in _passing(view, mask, found):
            if number not in found[name].failed:
                found[name].passed.add(number)
    return Histories(found, whole, readable)


def _passing(view: View, mask: Callable[[str], str], wanted: Mapping[str, object]) -> set[str]:
    found: set[str] = set()

    def passed(case: Case) -> None:
        if case.status == "passed" and (name := mask(case.name)) in wanted:
            found.add(name)

    return found if view.parse(passed) else set()


def tally(
    views: Mapping[int, View],
    mask: Callable[[str], str] = str,
    red: Container[int] | None = None,
) -> dict[str, Flaky]:
    """How often the cases failed and passed that `read_histories` gives."""
    return {
        name: Flaky(
            case=name,
            passed=len(one.passed),
            failed=len(one.failed),
            first=min(one.failed),
            message=mask(one.case.message),
        )
        for name, one in read_histories(views, mask, red).of.items()
    }


def join(
    runs: Runs,
    folder: Path,
    rest: CellResult | None = None,
    mask: Callable[[str], str] = str,
) -> CellResult:
    """What the runs of a cell say together. Their reports are below `folder`, the run's own;
    `rest` says why runs are missing."""
    cells = folder / "cells"
    views = {
        n: View(cells / run_id(runs.cell, n), fallback) for n, fallback in runs.reports.items()
    }
    return runs.joined(tally(views, mask, runs.red) if runs.red else {}, rest)
