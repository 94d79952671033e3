"""How often the cases of several reports of the same suite passed and failed.

Memory grows with the cases that failed at least once, not with all that there are: the reports
are read twice, first for who failed, then for who of these passed elsewhere.
"""

from __future__ import annotations

from collections.abc import Callable, Container, Mapping
from dataclasses import dataclass
from pathlib import Path

from distromatrix.collect.joined import parse_joined
from distromatrix.collect.junit import CollectError, parse_cases
from distromatrix.model import Case, CellResult, Fallback
from distromatrix.repeats import Runs, Tally, run_id

MAX_TRACKED = 10_000  # cases that failed

_FAILED = ("failed", "error")


@dataclass(frozen=True, slots=True)
class Joined:
    """The reports of a cell's folder, some of whose cases ran in guests."""

    folder: Path
    fallback: tuple[Fallback, ...]


def tally(
    reports: Mapping[int, Path | Joined],
    mask: Callable[[str], str] = str,
    red: Container[int] | None = None,
) -> dict[str, Tally]:
    """For each case that failed in one of the reports (by the number of the run; `red`: only in
    these did one fail): in how many it passed and failed. Where one name stands for several
    cases of a report, it failed if one of them did. A report that cannot be read
    says nothing. Never raises."""
    failed: dict[str, dict[int, str]] = {}  # case -> run -> its message
    for number, path in sorted(reports.items()):
        suspect = red is None or number in red
        for name, message in _failing(path, mask).items() if suspect else ():
            if name in failed or len(failed) < MAX_TRACKED:
                failed.setdefault(name, {})[number] = message
    passed = dict.fromkeys(failed, 0)
    for number, path in reports.items() if failed else ():
        for name in _passing(path, mask, failed):
            passed[name] += number not in failed[name]
    return {
        name: Tally(
            passed=passed[name], failed=len(where), first=min(where), message=where[min(where)]
        )
        for name, where in failed.items()
    }


def _failing(path: Path | Joined, mask: Callable[[str], str]) -> dict[str, str]:
    found: dict[str, str] = {}

    def on_case(case: Case) -> None:
        if case.status in _FAILED and len(found) < MAX_TRACKED:
            found.setdefault(mask(case.name), mask(case.message))

    return found if _read(path, on_case) else {}


def _passing(
    path: Path | Joined, mask: Callable[[str], str], wanted: Mapping[str, object]
) -> set[str]:
    found: set[str] = set()

    def on_case(case: Case) -> None:
        if case.status == "passed" and (name := mask(case.name)) in wanted:
            found.add(name)

    return found if _read(path, on_case) else set()


def _read(path: Path | Joined, on_case: Callable[[Case], None]) -> bool:
    try:
        if isinstance(path, Joined):
            parse_joined(path.folder, path.fallback, on_case)
        else:
            parse_cases(path, on_case)
    except (CollectError, OSError):
        return False
    return True


def join(
    runs: Runs,
    folder: Path,
    rest: CellResult | None = None,
    mask: Callable[[str], str] = str,
) -> CellResult:
    """What the runs of a cell say together. Their reports are below `folder`, the run's own;
    `rest` says why runs are missing."""
    cells = folder / "cells"
    reports = {
        n: Joined(cells / run_id(runs.cell, n), fallback) for n, fallback in runs.reports.items()
    }
    return runs.joined(tally(reports, mask, runs.red) if runs.red else {}, rest)
