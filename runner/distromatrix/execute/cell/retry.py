"""Cells that failed and are run again (`retry_failed`): which, with which cases, and what all
their runs say together. Pure but for the reports that are read."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import count
from pathlib import Path

from distromatrix.collect.errors import CollectError
from distromatrix.collect.junit import gather
from distromatrix.collect.retried import parse_views, views_of
from distromatrix.collect.tally import Histories, History, View, read_histories
from distromatrix.execute.cell.attempt import AttemptResult, CaseSubset, told_cases
from distromatrix.model import (
    CaseNeeds,
    Cell,
    CellResult,
    Expectation,
    Flaky,
    Verdict,
)
from distromatrix.record.events import CellRetried, Event
from distromatrix.record.expectations import Marker, said_of_cases, said_of_rules
from distromatrix.record.repetitions import as_run
from distromatrix.wording import counted

_GREEN = (Verdict.PASSED, Verdict.XFAILED, Verdict.XPASSED)


@dataclass(frozen=True, slots=True, kw_only=True)
class Once:
    """What came of a cell in one run, guests included. `may_pass` and `crashed` as in Attempt."""

    result: CellResult
    may_pass: bool
    crashed: bool


def once(result: CellResult, parts: Sequence[AttemptResult]) -> Once:
    """What one run came to: `result` is what its `parts`, in machines of their own, say
    together."""
    failed = [part for part in parts if part.result.verdict is Verdict.FAILED]
    may_pass = bool(failed) and all(part.tried.may_pass for part in failed)
    crashed = any(part.tried.crashed for part in failed)
    return Once(result=result, may_pass=may_pass, crashed=crashed)


def retry_failed(
    cell: Cell,
    first: Once,
    run: Callable[[int, CaseSubset | None], Once | CellResult],
    folder: Path,
    mask: Callable[[str], str],
    emit: Callable[[Event], None],
) -> CellResult:
    """The result of a cell, run again while it is `failed` and may pass, as often as it says.

    `run` does that, for the time of a number from 1, with some cases or all; what it could not
    do comes back as a result that says why. `folder` is the cell's."""
    result, latest = first.result, first
    again: list[CellResult] = []
    for number in range(1, cell.retry_failed + 1):
        if result.verdict is not Verdict.FAILED or not latest.may_pass:
            break
        emit(CellRetried(cell=cell.id, retry=number, of=cell.retry_failed, reason=result.reason))
        views = views_of(folder, first.result.fallback, tuple(map(as_run, count(1), again)))
        came = run(number, cases_again(cell, latest, views))
        if isinstance(came, CellResult):
            why = f"it was not run again ({came.reason})"
            return replace(result, warnings=(*result.warnings, why))
        latest = came
        again.append(came.result)
        result, worth_it = join_runs(first.result, again, folder, mask, cell.expect_fail)
        if not worth_it:
            break
    return result


def cases_again(cell: Cell, latest: Once, views: dict[int, View]) -> CaseSubset | None:
    """The cases that a suite which can be told them (`cases: true`) is told when it is run again:
    those that failed, and have not passed since. None: all of it is run."""
    if not cell.cases or latest.crashed:
        return None
    marker = Marker(cell.expect_fail)
    failing = tuple(
        CaseNeeds(test=name, needs=())
        for name, history in read_histories(views).of.items()
        if _failed(history, marker)
    )
    return CaseSubset(cases=failing, how="listed") if failing else None


def join_runs(
    first: CellResult,
    again: Sequence[CellResult],
    folder: Path,
    mask: Callable[[str], str],
    expected: Sequence[Expectation] = (),
) -> tuple[CellResult, bool]:
    """What the first run of a cell and those after it say together, and whether one more could
    say something else. `folder` is the cell's; `expected`: what rules expect to fail in it."""
    runs = tuple(as_run(number, one) for number, one in enumerate(again, start=1))
    last = again[-1]
    views = views_of(folder, first.fallback, runs)
    found = read_histories(views)
    marker = Marker(expected)
    failed = any(_failed(history, marker) for history in found.of.values())
    broke = any(history.broke for history in found.of.values())
    green = last.verdict in _GREEN and not failed and found.whole
    joined = replace(
        last if green else _worst(first, again),
        seconds=round(sum(one.seconds for one in (first, *again)), 3),
        warnings=tuple(dict.fromkeys(w for one in (first, *again) for w in one.warnings)),
        attempts=max(one.attempts for one in (first, *again)),
        kept=first.kept,
        exported=first.exported,
        fallback=first.fallback,
        retries=runs,
        flaky=_flaky(first, found, green=green),
    )
    try:
        report = gather(lambda on_case: parse_views(views, found, on_case), mask, expected)
        joined = replace(joined, cases=report.counts, **told_cases(report))
        if green and report.xpassed:
            reason = said_of_cases(report.counts.xpassed, report.xpassed)
            joined = replace(joined, verdict=Verdict.XPASSED, reason=reason)
        elif green and report.xfailed and joined.verdict is Verdict.PASSED:
            joined = replace(joined, verdict=Verdict.XFAILED, reason=said_of_rules(report.met))
    except (CollectError, OSError):
        pass  # none of the runs left one
    return replace(joined, reason=_reason(joined, broke=broke)), not green and not broke


def _failed(history: History, marker: Marker) -> bool:
    """Whether a case has failed for good, and no rule expects that."""
    return not history.flaky and marker.mark(history.case).status in ("failed", "error")


def _worst(first: CellResult, again: Sequence[CellResult]) -> CellResult:
    """Who speaks for a cell that failed: the last run that did."""
    return next((one for one in reversed(again) if one.verdict is Verdict.FAILED), first)


def _reason(joined: CellResult, *, broke: bool) -> str:
    runs = f"run {len(joined.retries) + 1} times"
    if joined.verdict is not Verdict.FAILED:
        flaky = sum(bool(one.case) for one in joined.flaky)
        what = counted(flaky, "case") if flaky else "it"
        reason = f"flaky: {what} failed first and passed when run again"
        return f"{reason}; {joined.reason}" if joined.reason else reason
    if joined.failing and joined.cases:
        many = f"{joined.cases.failed:,} of {joined.cases.total:,} cases failed"
        return f"{many} ({runs}{', and what passed at first failed later' if broke else ''})"
    return f"{joined.reason} ({runs})"


def _flaky(first: CellResult, found: Histories, *, green: bool) -> tuple[Flaky, ...]:
    """The cases that failed and then passed; the cell itself where none of them says why."""
    cases = tuple(
        Flaky(
            case=name,
            passed=len(history.passed),
            failed=len(history.failed),
            first=min(history.failed) + 1,
            message=history.case.message,
        )
        for name, history in sorted(found.of.items())
        if history.flaky
    )
    if green and not cases:
        return (Flaky(case="", passed=1, failed=1, first=1, message=first.reason),)
    return cases
