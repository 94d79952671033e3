"""What is said of a cell, and of a run: pure functions of what happened."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

from distromatrix.errors import EXIT_FAILED, EXIT_INFRASTRUCTURE, EXIT_OK
from distromatrix.model import (
    BAD,
    Case,
    CaseCounts,
    CaseNeeds,
    Cell,
    CellResult,
    Expectation,
    FailureKind,
    Phase,
    Verdict,
)
from distromatrix.record.expectations import CellEnd, judge_expected

# 128 + the signal's number, as shells say it.
_INTERRUPTED = {"SIGHUP": 129, "SIGINT": 130, "SIGTERM": 143}
NO_REPORT = "it names $DISTROMATRIX_JUNIT but left no file there"
_SIGNALS = {134: "SIGABRT", 135: "SIGBUS", 136: "SIGFPE", 137: "SIGKILL", 139: "SIGSEGV"}


def run_verdict(
    cells: Iterable[CellResult],
    interrupted: str = "",
    allow_unmet: bool = False,
    fail_on_flaky: bool = False,
) -> tuple[Verdict, int]:
    """The verdict of a whole run and the exit code it ends with.

    `interrupted` names what ended it early (SIGHUP, SIGINT, SIGTERM, or anything else for a run
    that was killed): such a run is an `error`, whatever its cells say. `allow_unmet`: cells skipped
    because nothing here meets their needs do not make the run fail; `fail_on_flaky`: those with
    something flaky do. Cells that do not gate count for nothing, but that a run in which one of
    them passed was not skipped.
    """
    every = tuple(cells)
    cells = tuple(cell for cell in every if not cell.not_gating)
    verdicts = {cell.verdict for cell in cells}
    if interrupted:
        return Verdict.ERROR, _INTERRUPTED.get(interrupted, EXIT_INFRASTRUCTURE)
    if Verdict.ERROR in verdicts:
        return Verdict.ERROR, EXIT_INFRASTRUCTURE
    unmet = not allow_unmet and any(cell.unmet for cell in cells)
    flaky = fail_on_flaky and any(cell.flaky for cell in cells)
    if verdicts & {Verdict.FAILED, Verdict.XPASSED} or unmet or flaky:
        return Verdict.FAILED, EXIT_FAILED
    good = any(cell.verdict in (Verdict.PASSED, Verdict.XFAILED) for cell in every)
    return Verdict.PASSED if good or not every else Verdict.SKIPPED, EXIT_OK


def tolerated(cell: CellResult) -> bool:
    """Whether a cell did not pass, and that does not count: it is not gating."""
    return bool(cell.not_gating) and (cell.verdict in BAD or cell.unmet)


def not_run(cell: Cell, reason: str = "") -> CellResult:
    """The result of a cell that was not run: as its plan says, or for that reason."""
    if cell.engine is None:
        verdict = cell.verdict or Verdict.SKIPPED
        return CellResult(id=cell.id, verdict=verdict, reason=cell.reason, unmet=cell.unmet)
    return CellResult(id=cell.id, verdict=Verdict.SKIPPED, engine=cell.engine, reason=reason)


def with_gating(result: CellResult, cell: Cell) -> CellResult:
    """A cell's result with what its plan says of whether it counts, whatever the result says."""
    if result.not_gating == cell.not_gating:
        return result
    return replace(result, not_gating=cell.not_gating)


def said_of_needs(cases: tuple[CaseNeeds, ...]) -> str:
    """One line: `2 cases need kernel-modules: not run here`."""
    names = sorted({need.partition(" ")[0] for case in cases for need in case.needs})
    many = len(cases) != 1
    return f"{len(cases):,} case{'s' if many else ''} need{'' if many else 's'} " + (
        f"{', '.join(names)}: not run here"
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class SuiteEnd:
    """How a suite's commands ended, and what they left. `status` is the exit status of the last
    (None: it did not end by itself); `timed_out_after` seconds, which count `scale` times;
    `hung`: the commands that were running then; `oom_limit`: the memory limit, in bytes, that
    ended it; `phase`: setup or run, where it ended; `names_junit`: the suite names
    `$DISTROMATRIX_JUNIT`, and `no_report` is what is said where it left none; `counts`: what its
    JUnit file says, None without one; `collect_fault`: why what it left cannot be used."""

    status: int | None
    timed_out_after: float | None = None
    scale: float = 1.0
    hung: str = ""
    oom_limit: int | None = None
    phase: Phase = Phase.RUN
    names_junit: bool = False
    no_report: str = NO_REPORT
    counts: CaseCounts | None = None
    collect_fault: str = ""

    @property
    def failing_status(self) -> int | None:
        """The exit status that it gave itself, where that is not 0."""
        stopped = self.timed_out_after is not None or self.oom_limit is not None
        return None if stopped else self.status or None

    @property
    def kinds(self) -> tuple[FailureKind, ...]:
        """How it failed, expected or not; nothing where it did not. What ended before its time
        owes no report."""
        counts, out_of_memory = self.counts, self.oom_limit is not None
        timed_out = self.timed_out_after is not None or self.status is None
        stopped, in_setup = timed_out or out_of_memory, self.phase is Phase.SETUP
        bad_status = self.failing_status is not None
        no_case = not counts.total if counts is not None else self.names_junit
        found: dict[FailureKind, bool] = {
            "setup": in_setup and (stopped or bad_status),
            "run": not in_setup and (bad_status or (counts is not None and counts.red > 0)),
            "timeout": timed_out and not out_of_memory,
            "memory": out_of_memory,
            "report": not in_setup and not stopped and no_case,
        }
        return tuple(kind for kind, there in found.items() if there)


def cell_verdict(
    end: SuiteEnd,
    expected: tuple[Expectation, ...] = (),
    met: tuple[Expectation, ...] = (),
    xpassed: tuple[Case, ...] = (),
) -> tuple[Verdict, Phase | None, str]:
    """The verdict of a cell whose commands ran, the phase it failed in, and one line why.

    `expected`: what rules expect to fail, `met`: those of them by which a case did, `xpassed`:
    the cases that passed against one.
    Infrastructure errors are not decided here: no expectation ever excuses them.
    """
    reason = _command_fault(end)
    if end.phase is Phase.SETUP and reason:
        failed_in: Phase | None = end.phase
        reason = f"setup: {reason}"
    else:
        # A file that cannot be used is there: the fault says all, 'left no file' would be wrong.
        missing = end.no_report if end.names_junit and not end.collect_fault else ""
        failed_in, reason = _outcome(reason, missing, end.counts)
    if end.collect_fault:  # hostile or unreadable: never green, expected or not
        both = f"{reason}; {end.collect_fault}" if reason else end.collect_fault
        return Verdict.FAILED, failed_in or Phase.COLLECT, both
    if not expected:
        return (Verdict.FAILED, failed_in, reason) if failed_in else (Verdict.PASSED, None, "")
    ended = CellEnd(
        kinds=end.kinds,
        phase=failed_in,
        reason=reason,
        status=end.failing_status,
        counts=end.counts or CaseCounts(),
    )
    return judge_expected(ended, expected, met, xpassed)


def time_of(seconds: float, scale: float) -> str:
    """A timeout in words."""
    if scale == 1:
        return f"{seconds:g} s"
    return f"{seconds * scale:g} s ({seconds:g} s, which count {scale:g} times under emulation)"


def size_of(size: int) -> str:
    """Bytes as a matrix has them: 10G, 64M."""
    return f"{size / 1024**3:g}G" if size >= 1024**3 else f"{size / 1024**2:g}M"


def _command_fault(end: SuiteEnd) -> str:
    status, after = end.status, end.timed_out_after
    if end.oom_limit is not None:
        limit = f"{end.oom_limit / 1024**2:,.0f} MiB"
        return f"out of memory: the kernel killed a process at the suite's limit of {limit}"
    if after is not None or status is None:
        when = "" if after is None else f" after {time_of(after, end.scale)}"
        return f"timed out{when}" + (f", running: {end.hung}" if end.hung else "")
    if status in _SIGNALS:
        return f"exit status {status} ({_SIGNALS[status]})"
    return f"exit status {status}" if status else ""


def _outcome(fault: str, no_report: str, counts: CaseCounts | None) -> tuple[Phase | None, str]:
    """Where and why a cell failed whose suite ran: (None, '') when it did not. `no_report`: what
    is said where there is none, though there should be."""
    if counts is not None and counts.red:
        plural = "s" if counts.total != 1 else ""
        cases = f"{counts.red} of {counts.total} case{plural} failed"
        if counts.failed and counts.xfailed:
            cases += f", {counts.xfailed} of them as expected"
        if not fault:
            return Phase.RUN, f"{cases}, though the command ended with exit status 0"
        return Phase.RUN, cases if fault == "exit status 1" else f"{cases}; {fault}"
    if counts is not None and not counts.total:
        missing = "the JUnit file holds no case"
    elif counts is None and no_report:
        missing = no_report
    elif fault and counts is not None:
        return Phase.RUN, f"{fault}, though none of {counts.total} cases failed"
    else:
        missing = ""
    if fault:
        return Phase.RUN, f"{fault}; {missing}" if missing else fault
    return (Phase.COLLECT, missing) if missing else (None, "")
