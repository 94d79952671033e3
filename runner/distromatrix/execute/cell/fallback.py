"""Cases that a cell's machine could not serve: which guests run them again, and what all say
together. Pure but for the reports that `join` reads."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from distromatrix.collect.joined import parse_joined
from distromatrix.collect.junit import CollectError, gather
from distromatrix.execute.cell import case_needs
from distromatrix.execute.cell.attempt import AttemptResult, CaseSubset, told_cases
from distromatrix.model import (
    CaseNeeds,
    Cell,
    CellResult,
    Fallback,
    Need,
    Outcome,
    Plan,
    Rerun,
    Verdict,
    fields_of,
)
from distromatrix.plan.needs import Choice, choose_guest
from distromatrix.record.repetitions import WORST_RUN_FIRST
from distromatrix.record.verdicts import said_of_needs

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Again:
    """Cases to be run again in a guest: those that `only` names, as `cell`."""

    cell: Cell
    only: CaseSubset


@dataclass(frozen=True, slots=True, kw_only=True)
class Done:
    """What came of that. `ran` None: nothing ran, and `result` says why."""

    again: Again
    result: CellResult
    ran: AttemptResult | None = None


def again(cell: Cell, first: AttemptResult, plan: Plan) -> tuple[Again, ...]:
    """What to run again where, the cheapest guests first. Cases that no guest here serves are
    in none of it."""
    how: Rerun = "pytest" if first.tried.by_pytest else "listed" if cell.cases else "whole"
    chosen: dict[str, list[CaseNeeds]] = {}
    for case in first.result.needing:
        engine = _choice(cell, case, plan).engine
        if engine is not None and engine != cell.engine:
            chosen.setdefault(engine, []).append(case)
    return tuple(
        Again(
            cell=replace(cell, engine=engine, reason=_why(cell, cases)),
            only=CaseSubset(cases=tuple(cases), how=how),
        )
        for engine, cases in sorted(chosen.items())
    )


def _choice(cell: Cell, case: CaseNeeds, plan: Plan) -> Choice:
    needs = (*cell.needs, *map(need_of, case.needs))
    return choose_guest(needs, plan.guests, plan.distro(cell.distro).guest)


def need_of(text: str) -> Need:
    """A need as a case says it: `own-kernel >=6.1`."""
    name, _, version = text.partition(" ")
    return Need(name=name, version=version.replace(" ", ""))


def _why(cell: Cell, cases: Sequence[CaseNeeds]) -> str:
    """Why those cases are not served by the cell's own machine."""
    refused = case_needs.refused(cell)
    reasons: dict[str, None] = {}
    for need in dict.fromkeys(need for case in cases for need in case.needs):
        name = need.partition(" ")[0]
        reasons[refused.get(name, f"needs {need}, which its own machine had not")] = None
    return "; ".join(reasons)


def join(
    cell: Cell,
    first: AttemptResult,
    done: Sequence[Done],
    plan: Plan,
    folder: Path,
    mask: Callable[[str], str],
) -> CellResult:
    """What the cell's own machine and its guests say together. `folder` is the cell's."""
    result = first.result
    fallback = tuple(map(_fallback, done))
    served = {test for one in done if one.ran for test in one.ran.tried.ran}
    left = tuple(case for case in result.needing if case.test not in served)
    speaker, engine = _speaker(result, done)
    reason = f"in {engine}: {speaker.reason}" if engine and speaker.reason else speaker.reason
    if speaker.verdict in (Verdict.PASSED, Verdict.XPASSED, Verdict.XFAILED) and left:
        missing = _not_run(cell, left, done, plan)
        reason = missing if speaker.verdict is Verdict.PASSED else f"{reason}; {missing}"
    elif speaker.verdict is Verdict.PASSED:
        reason = ""
    cases: dict[str, Any] = {}
    if result.cases is not None and served:
        try:
            parse = partial(parse_joined, folder, fallback)
            report = gather(parse, mask, cell.expect_fail)
            cases = {"cases": report.counts, **told_cases(report)}
        except (CollectError, OSError):
            pass  # it was read before: what it said then stands
    parts = tuple(one.result for one in done)
    notes = (f"in {d.again.cell.engine}: {text}" for d in done for text in d.result.warnings)
    joined = replace(
        result,
        verdict=speaker.verdict,
        phase=speaker.phase,
        reason=reason,
        seconds=round(sum(r.seconds for r in (result, *parts)), 3),
        failed_by=_all(r.failed_by for r in (result, *parts)),
        statuses=_all(r.statuses for r in (result, *parts)),
        needing=left,
        unmet=bool(left or first.tried.lost),
        tail=speaker.tail or result.tail,
        debug=speaker.debug or result.debug,
        hints=speaker.hints,
        blame=speaker.blame,
        warnings=(*result.warnings, *notes),
        attempts=max(r.attempts for r in (result, *parts)),
        kept=next((r.kept for r in (result, *parts) if r.kept), None),
        exported=next((r.exported for r in (result, *parts) if r.exported), None),
        fallback=fallback,
    )
    return replace(joined, **cases)


def _all(each: Iterable[tuple[T, ...]]) -> tuple[T, ...]:
    return tuple(dict.fromkeys(one for some in each for one in some))


def _fallback(done: Done) -> Fallback:
    only, ran = done.again.only, done.ran.tried.ran if done.ran else ()
    return Fallback(
        **fields_of(Outcome, done.result),
        engine=done.again.cell.engine or "",
        why=done.again.cell.reason,
        how=only.how,
        tests=tuple(case.test for case in only.cases if case.test in ran),
    )


def _speaker(first: CellResult, done: Sequence[Done]) -> tuple[CellResult, str]:
    """Whose verdict is the cell's, and the engine of the guest if it is one's. What was skipped
    as a whole has none to give."""
    told = [(first, ""), *((one.result, one.again.cell.engine or "") for one in done)]
    told = [(result, engine) for result, engine in told if result.verdict is not Verdict.SKIPPED]
    return min(told, key=lambda one: _rank(one[0]), default=(first, ""))


def _rank(result: CellResult) -> int:
    """The worst first. A case that passed against a rule is none the better for what failed as
    expected in another machine; a whole cell that did is."""
    named = result.verdict is Verdict.XPASSED and bool(result.xpassed)
    return WORST_RUN_FIRST.index(Verdict.SKIPPED if named else result.verdict)


def _not_run(cell: Cell, left: tuple[CaseNeeds, ...], done: Sequence[Done], plan: Plan) -> str:
    """Why some cases ran nowhere: of each guest that was tried, and of those that were not."""
    asked = {case.test: one for one in done for case in one.again.only.cases}
    why: dict[str, None] = {}
    for case in left:
        one = asked.get(case.test)
        if one is None:
            why[_choice(cell, case, plan).reason or "no other guest serves them"] = None
        else:
            why[f"{one.again.cell.engine}: {_why_not(case, one)}"] = None
    return f"{said_of_needs(left)} ({'; '.join(why)})"


def _why_not(case: CaseNeeds, one: Done) -> str:
    """Why a guest did not run a case that it was for."""
    if one.ran is None or one.result.verdict is Verdict.SKIPPED:
        return one.result.reason
    lacking = (c.needs for c in one.result.needing if c.test == case.test)
    if needs := next(lacking, ()):
        return f"skipped there, too, for {', '.join(needs)}"
    return "not found there"
