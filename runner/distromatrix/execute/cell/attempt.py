"""What one attempt at a cell comes to: what its suite left, and the verdict on it."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from distromatrix.collect.errors import CollectError
from distromatrix.collect.junit import JUnitReport
from distromatrix.collect.log import CellLog, Masker
from distromatrix.collect.report_files import REPORT, TAP, store_reports
from distromatrix.collect.tap import TapReport
from distromatrix.collect.text import one_line
from distromatrix.engines.changes import Changes
from distromatrix.engines.contract import Exit, Machine
from distromatrix.execute.cell import case_needs
from distromatrix.execute.cell.outputs import FOUND, STAYS, bring_back
from distromatrix.execute.queue.order import Task
from distromatrix.images import Prepared
from distromatrix.model import (
    GREEN,
    CaseCounts,
    CaseNeeds,
    Cell,
    CellResult,
    Flaky,
    Phase,
    Rerun,
    Verdict,
)
from distromatrix.record.expectations import CRASHED, Marker
from distromatrix.record.verdicts import NO_REPORT, SuiteEnd, cell_verdict, said_of_needs

TAIL_LINES = 40
FAILING_CASES = 200
REASON = 500  # characters of what a suite says for itself


@dataclass(frozen=True, slots=True, kw_only=True)
class CaseSubset:
    """The cases that a second machine of a cell is for, and how they are had run alone."""

    cases: tuple[CaseNeeds, ...]
    how: Rerun

    @property
    def tests(self) -> tuple[str, ...]:
        """Their ids."""
        return tuple(case.test for case in self.cases)

    @property
    def names(self) -> frozenset[str] | None:
        """Their names in a JUnit file, in which there are others; None: there are no others."""
        return None if self.how == "pytest" else frozenset(self.tests)


@dataclass(slots=True, kw_only=True)
class Attempt:
    """One attempt at a run of a cell, the `number`th, and what it has come to so far. What it
    leaves goes into `folder`."""

    task: Task
    prepared: Prepared
    folder: Path
    number: int
    only: CaseSubset | None = None  # the cases that its machine is for; None: all
    phase: Phase = Phase.SETUP
    exit: Exit | None = None
    opening: float = 0.0  # seconds that its guest took, which are the cell's
    left: float = 0.0  # seconds of its timeout
    state: Changes | None = None  # what its setup changed in a container
    scale: float = 1.0  # how many times the suite's timeout counted
    counts: CaseCounts | None = None
    report: JUnitReport | None = None
    collect_fault: str = ""
    tap: TapReport | None = None  # its standard output, where that is one
    left_by_setup: bool = False  # a report, which does not count
    warnings: tuple[str, ...] = ()  # of its reports
    left_out: str = ""  # what of the artifacts stays behind, without a fault
    unmasked: str = ""  # what of them holds a secret
    needing: tuple[CaseNeeds, ...] = ()
    lost: str = ""  # what is wrong with the record of `needing`
    by_pytest: bool = False  # it is pytest that wrote it down
    ran: frozenset[str] = frozenset()  # of the cases that the machine is for
    dead: str = ""  # why its machine runs no more commands

    def forget_state(self) -> None:
        """Nobody wants it any more."""
        if self.state is not None:
            self.state.close()
            self.state = None

    def begin_tap(self) -> Callable[[bytes], None]:
        """Where its standard output is to go, too."""
        self.tap = TapReport()
        return self.tap.feed

    def note_left_by_setup(self, found: int) -> None:
        """Take down what came of removing (`clear_reports`) the reports that setup left."""
        self.left_by_setup = found in (FOUND, STAYS)
        if found == STAYS:
            self.collect_fault = "the report that setup left cannot be removed"
        elif found not in (0, FOUND):
            self.collect_fault = "whether setup left a report cannot be seen"

    @property
    def may_pass(self) -> bool:
        """Whether it failed in a way that may be chance."""
        ended, cases = self.exit, self.counts
        if ended is None or ended.timed_out or ended.oom or self.collect_fault:
            return False
        return ended.status != 0 or bool(cases and cases.failed)

    @property
    def crashed(self) -> bool:
        """Whether its exit status is no test tool's word on its cases."""
        return self.exit is not None and (self.exit.status or 0) >= CRASHED


@dataclass(frozen=True, slots=True)
class AttemptResult:
    """What came of a cell, or of some of its cases, in one machine."""

    tried: Attempt
    result: CellResult


def collect(tried: Attempt, machine: Machine, masker: Masker, *, by_pytest: bool) -> None:
    """Bring back what the suite left, and read its cases, those that the machine is for where
    it is not for all. `by_pytest`: its pytest writes down what cases need. Nothing of it is
    trusted."""
    folder = tried.folder
    with tempfile.TemporaryDirectory(prefix="distromatrix-") as reports:
        try:
            came = bring_back(machine, folder, Path(reports), masker, alive=not tried.dead)
            tried.left_out = masker.mask(came.left_out)
            tried.unmasked = masker.mask(came.unmasked)
            tried.collect_fault = tried.collect_fault or masker.mask(came.fault)
        except CollectError as fault:
            tried.collect_fault = str(fault)
        if tried.phase is Phase.RUN:
            _read_reports(tried, Path(reports), masker)
    if by_pytest:
        record = case_needs.bring_record(machine, folder, masker)
        tried.lost = record.fault
        if record.needing or (tried.only is not None and tried.only.how == "pytest"):
            tried.needing, tried.ran, tried.by_pytest = record.needing, record.ran, True


def _read_reports(tried: Attempt, reports: Path, masker: Masker) -> None:
    cell, into = tried.task.cell, tried.folder / REPORT
    if tried.tap is not None:
        with suppress(FileNotFoundError):
            fault = masker.mask(tried.tap.save(reports / TAP))
            tried.collect_fault = tried.collect_fault or fault
    names = tried.only.names if tried.only else None
    stored = store_reports(reports, into, masker, names, cell.expect_fail)
    tried.collect_fault = tried.collect_fault or stored.fault
    tried.warnings += stored.warnings
    report = stored.report
    if report is None:
        if tried.left_by_setup:
            tried.warnings += ("setup left a report: it does not count for run, which left none",)
        return
    tried.counts, tried.report = report.counts, report
    if case_needs.wanted(cell):
        tried.needing = case_needs.said_in(report.needing)
    if names is not None:
        there = names.intersection(case.name for case in report.cases)
        tried.ran = there.difference(case.test for case in tried.needing)


def judge(tried: Attempt, log: CellLog) -> CellResult:
    """The result of a cell whose commands ran and whose cases were read."""
    cell, ended = tried.task.cell, tried.exit
    names_junit = "DISTROMATRIX_JUNIT" in cell.run or cell.report == "tap" or tried.left_by_setup
    if tried.only is not None and tried.counts is not None and not tried.counts.total:
        tried.counts, names_junit = None, False  # none of its cases: they are told to be missing
    if tried.only is not None and _others_alone_failed(tried, tried.only):
        ended = replace(tried.exit or Exit(status=0, seconds=0.0), status=0)
    # What it holds back belongs to the tail.
    (log.settle if cell.debug or cell.restore else log.close)()
    timed_out = ended is not None and ended.timed_out
    report, status = tried.report, ended.status if ended else None
    end = SuiteEnd(
        status=status,
        timed_out_after=cell.timeout if timed_out else None,
        scale=tried.scale,
        hung=ended.hung if ended else "",
        oom_limit=cell.memory if ended and ended.oom else None,
        phase=tried.phase,
        names_junit=names_junit,
        no_report=_no_report(cell, tried),
        counts=tried.counts,
        collect_fault=tried.collect_fault,
    )
    found = (report.met, report.xpassed) if report else ()
    verdict, phase, reason = cell_verdict(end, cell.expect_fail, *found)
    hopeless = bool(tried.collect_fault)  # of rules that would expect it
    notes = (tried.lost, tried.left_out, tried.unmasked, *tried.warnings)
    tail, warnings = log.tail(TAIL_LINES), tuple(filter(None, notes))
    if status is not None and status == cell.skip_status and tried.phase is Phase.RUN:
        there = tried.counts if tried.counts and tried.counts.total else None
        without = replace(end, status=0, names_junit=False, counts=there)
        if cell_verdict(without, cell.expect_fail, *found)[0] in GREEN:
            verdict, phase, reason = Verdict.SKIPPED, Phase.RUN, _last_said(tail, status)
            hopeless = True
    if verdict in (Verdict.FAILED, Verdict.XFAILED) and case_needs.broken(tail):
        # No failure that the user expects: our own file is what was not found.
        verdict, warnings = Verdict.FAILED, (*warnings, case_needs.BROKEN_HINT)
        hopeless = True
    if not reason:
        reason = said_of_needs(tried.needing) if tried.needing else tried.lost
    result = CellResult(
        id=cell.id,
        verdict=verdict,
        phase=phase,
        engine=cell.engine,
        reason=reason,
        image=tried.prepared.used,
        cases=tried.counts,
        failed_by=() if hopeless else end.kinds,
        statuses=(end.failing_status,) if end.failing_status and not hopeless else (),
        needing=tried.needing,
        unmet=bool(tried.needing or tried.lost),  # what did not run is not known to have passed
        tail=tail,
        warnings=warnings,
        attempts=tried.number,
    )
    return replace(result, **_of_cases(cell, tried, result))


def _of_cases(cell: Cell, tried: Attempt, result: CellResult) -> dict[str, Any]:
    if tried.report is not None:
        return {"flaky": _flaky(tried.report), **told_cases(tried.report)}
    if result.verdict is not Verdict.SKIPPED and result.failed_by in (
        (),
        ("run",),
    ):  # it had its time, and there is no report
        return {"unmatched": Marker(cell.expect_fail).unmatched(())}
    return {}


def _no_report(cell: Cell, tried: Attempt) -> str:
    """What a suite lacks that left no report, though it was to leave one."""
    if cell.report == "tap":
        return "report: tap, but its standard output holds no TAP"
    if "DISTROMATRIX_JUNIT" not in cell.run and tried.left_by_setup:
        return "setup left a report, run left none"
    if "DISTROMATRIX_JUNIT_DIR" in cell.run:
        return "it names $DISTROMATRIX_JUNIT_DIR but left no report there"
    return NO_REPORT


def _flaky(report: JUnitReport) -> tuple[Flaky, ...]:
    """The cases that the suite's own tool had tried again until they passed."""
    cases = [case for case in report.cases if case.flaky][:FAILING_CASES]
    return tuple(
        Flaky(case=case.name, passed=1, failed=1, first=1, message=case.message) for case in cases
    )


def told_cases(report: JUnitReport) -> dict[str, Any]:
    """What a result says of single cases, as it bounds them."""
    return {
        "failing": report.failing[:FAILING_CASES],
        "xfailed": report.xfailed[:FAILING_CASES],
        "xpassed": report.xpassed[:FAILING_CASES],
        "unmatched": report.unmatched,
    }


def _last_said(tail: tuple[str, ...], status: int) -> str:
    """Why a suite has skipped itself: the last line that its `run` printed."""
    for line in map(str.strip, reversed(tail)):
        if line == f"--- {Phase.RUN}":  # above it are the lines of its setup
            break
        if line:
            return one_line(line, REASON)
    return f"it ended with exit status {status}, and said no more"


def _others_alone_failed(tried: Attempt, only: CaseSubset) -> bool:
    """Whether a suite that ran whole ended as it did for other cases than those that count."""
    ended = tried.exit is not None and not tried.exit.timed_out and not tried.exit.oom
    good = tried.counts is not None and not tried.counts.failed
    all_there = len(tried.ran) == len(only.cases)
    return only.how == "whole" and ended and good and all_there and tried.phase is Phase.RUN
