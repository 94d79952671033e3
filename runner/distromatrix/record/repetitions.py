"""Several runs of one cell (`--repeat`), and what they say together: pure functions of them.

A run is numbered from 1; its folder lies below its cell's.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

from distromatrix.model import (
    GREEN,
    RED,
    Case,
    CaseCounts,
    CaseNeeds,
    CellResult,
    CellRun,
    FailureKind,
    Fallback,
    Flaky,
    Outcome,
    Unmatched,
    Verdict,
    fields_of,
)

MAX_FAILING = 200  # cases of a cell that are kept with their text
# The verdict of a cell is the first of these that one of its runs has: a product that fails
# sometimes is failing; a rule that expects a failure is not outlived while there is one.
WORST_RUN_FIRST = (
    Verdict.FAILED,
    Verdict.ERROR,
    Verdict.SKIPPED,  # not all of its runs were made
    Verdict.XFAILED,
    Verdict.XPASSED,
    Verdict.PASSED,
)


def run_id(cell: str, repeat: int) -> str:
    """What stands for one run of a cell: also its folder's path. `repeat` 0: the only one."""
    return f"{cell}/repeat-{repeat}" if repeat else cell


def told_by(result: CellResult) -> str:
    """The id of the run that a cell's reason and last lines are of."""
    first = next((run.repeat for run in result.runs if run.verdict is result.verdict), 0)
    return run_id(result.id, first)


def as_run(number: int, result: CellResult) -> CellRun:
    """What is kept of the run of that number."""
    return CellRun(**fields_of(Outcome, result), repeat=number, fallback=result.fallback)


class Runs:
    """The runs of one cell so far. Memory is bounded by what fails differently, not by how
    many runs there are."""

    def __init__(self, cell: str, wanted: int) -> None:
        self.cell = cell
        self.wanted = wanted
        self.left = set(range(1, wanted + 1))  # that have neither come nor been given up
        self._runs: dict[int, CellRun] = {}
        self._speakers: dict[Verdict, tuple[int, CellResult]] = {}
        self._cases = _Cases()
        self._warnings: dict[str, list[int]] = {}
        self._needing: dict[str, CaseNeeds] = {}
        self._unmet = False
        self._rest: CellResult | None = None

    @property
    def reports(self) -> dict[int, tuple[Fallback, ...]]:
        """The runs with a JUnit file that could be used, each with what ran elsewhere."""
        runs = sorted(self._runs.items())
        return {n: run.fallback for n, run in runs if run.cases is not None}

    @property
    def red(self) -> frozenset[int]:
        """Those of them in which a case failed: where there is one, it takes a look at the
        reports to tell what is flaky."""
        return frozenset(n for n, run in self._runs.items() if run.cases and run.cases.red)

    def add(self, repeat: int, result: CellResult) -> None:
        """One run has come to its end."""
        self.left.discard(repeat)
        self._runs[repeat] = as_run(repeat, result)
        speaker = self._speakers.get(result.verdict)
        if speaker is None or repeat < speaker[0]:
            self._speakers[result.verdict] = (repeat, result)
        self._cases.add(result)
        for text in result.warnings:
            self._warnings.setdefault(text, []).append(repeat)
        self._needing |= {one.test: one for one in result.needing}
        self._unmet |= result.unmet

    def give_up(self, repeat: int, why: CellResult) -> None:
        """One run will not be made."""
        self.left.discard(repeat)
        self._rest = why

    def joined(self, tallies: Mapping[str, Flaky], rest: CellResult | None = None) -> CellResult:
        """The cell's result. `tallies` of every case that failed in some run; `rest` says why
        runs are missing, where none was given up."""
        rest = rest or self._rest
        runs = tuple(run for _, run in sorted(self._runs.items()))
        speakers = {verdict: result for verdict, (_, result) in self._speakers.items()}
        if rest is not None:
            speakers.setdefault(rest.verdict, rest)
        cases = self._cases.told(tallies)
        verdict = next(v for v in WORST_RUN_FIRST if v in speakers)
        if verdict is Verdict.XFAILED and cases["xpassed"]:
            verdict = Verdict.XPASSED  # no run saw these fail, whatever else did
        speaker = speakers[verdict]
        return replace(
            speaker,
            verdict=verdict,
            seconds=round(sum(run.seconds for run in runs), 3),
            reason=self._reason(verdict, speaker.reason, runs),
            cases=_sum(run.cases for run in runs),
            warnings=tuple(f"{text} ({_where(n)})" for text, n in self._warnings.items()),
            attempts=max((run.attempts for run in runs), default=speaker.attempts),
            kept=next((run.kept for run in runs if run.kept), None),
            exported=next((run.exported for run in runs if run.exported), None),
            runs=runs,
            flaky=(*_flaky_cell(runs), *_flaky_cases(tallies)),
            needing=tuple(self._needing.values()),
            unmet=self._unmet or speaker.unmet,
            fallback=_fallback(one for run in runs for one in run.fallback),
            **cases,
        )

    def _reason(self, verdict: Verdict, reason: str, runs: tuple[CellRun, ...]) -> str:
        alike = sum(run.verdict is verdict for run in runs)
        missing = self.wanted - len(runs)
        if reason and alike:
            often = "all" if alike == self.wanted else f"{alike} of"
            reason = f"in {often} {self.wanted} runs: {reason}"
        if missing and runs:
            return f"{reason} ({len(runs)} of {self.wanted} runs were made)"
        return reason


class _Cases:
    """What the runs of a cell say of single cases, and how they failed; bounded."""

    def __init__(self) -> None:
        self._of: dict[str, dict[str, Case]] = {"failing": {}, "xfailed": {}, "xpassed": {}}
        self._unmatched: dict[str, Unmatched] | None = None
        self._failed_by: dict[FailureKind, None] = {}
        self._statuses: dict[int, None] = {}

    def add(self, result: CellResult) -> None:
        for key, known in self._of.items():
            for case in getattr(result, key):
                if len(known) < MAX_FAILING:
                    known.setdefault(case.name, case)
        self._failed_by |= dict.fromkeys(result.failed_by)
        self._statuses |= dict.fromkeys(result.statuses)
        if result.cases is not None or result.unmatched:
            here = {one.glob: one for one in result.unmatched}
            before = here if self._unmatched is None else self._unmatched
            self._unmatched = {glob: one for glob, one in before.items() if glob in here}

    def told(self, tallies: Mapping[str, Flaky]) -> dict[str, Any]:
        """The fields of a result: of the failing cases those that passed in none of the runs, of
        those that passed against a rule the ones that failed in none."""
        failing, xfailed, xpassed = (tuple(known.values()) for known in self._of.values())
        return {
            "failing": tuple(c for c in failing if not _passed(tallies, c.name)),
            "xfailed": tuple(c for c in xfailed if not _passed(tallies, c.name)),
            "xpassed": tuple(c for c in xpassed if c.name not in tallies),
            "unmatched": tuple((self._unmatched or {}).values()),
            "failed_by": tuple(self._failed_by),
            "statuses": tuple(self._statuses),
        }


def _passed(tallies: Mapping[str, Flaky], case: str) -> bool:
    return case in tallies and tallies[case].passed > 0


def _where(runs: list[int]) -> str:
    return f"in run {runs[0]}" if len(runs) == 1 else f"in {len(runs)} runs"


def _sum(counts: Iterable[CaseCounts | None]) -> CaseCounts | None:
    there = [c for c in counts if c is not None]
    return sum(there, CaseCounts()) if there else None


def _fallback(every: Iterable[Fallback]) -> tuple[Fallback, ...]:
    """What all runs had run elsewhere, those in one engine as one."""
    found: dict[str, Fallback] = {}
    for one in every:
        before = found.get(one.engine)
        if before is None:
            found[one.engine] = one
            continue
        worse = min(before, one, key=lambda f: WORST_RUN_FIRST.index(f.verdict))
        found[one.engine] = replace(
            worse,
            tests=tuple(dict.fromkeys((*before.tests, *one.tests))),
            seconds=round(before.seconds + one.seconds, 3),
            cases=_sum((before.cases, one.cases)),
            attempts=max(before.attempts, one.attempts),
            kept=before.kept or one.kept,
            exported=before.exported or one.exported,
        )
    return tuple(found.values())


def _flaky_cases(tallies: Mapping[str, Flaky]) -> tuple[Flaky, ...]:
    """The cases that both passed and failed, those that fail most often first."""
    found = (tally for tally in tallies.values() if tally.passed and tally.failed)
    return tuple(sorted(found, key=lambda f: (-f.failed, f.case)))


def _flaky_cell(runs: tuple[CellRun, ...]) -> tuple[Flaky, ...]:
    """The cell itself, where it both passed and failed and no case says why."""
    passed = sum(run.verdict in GREEN for run in runs)
    failed = [run for run in runs if run.verdict in RED]
    bare = [run for run in failed if run.cases is None or not run.cases.red]
    if not passed or not bare:
        return ()
    first = bare[0]
    return (
        Flaky(case="", passed=passed, failed=len(failed), first=first.repeat, message=first.reason),
    )
