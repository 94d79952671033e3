"""What failed as GitHub's annotations: few, and the most telling first.

Format and escaping are those of the runner's parser of workflow commands
(https://github.com/actions/runner, ActionCommand.cs), which also keeps just 10 of a kind in a
step, and 4,096 UTF-16 units of a message (ExecutionContext.cs).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from itertools import chain
from typing import Literal

from distromatrix.collect.text import one_line, shorten
from distromatrix.model import Case, Plan, RunResult, Verdict
from distromatrix.reports.commands import run_elsewhere
from distromatrix.reports.expected import passed_against
from distromatrix.reports.flaky import FlakyCase, counts_of, flaky_cases
from distromatrix.reports.grouping import (
    NOT_GATING,
    WHOSE,
    WORDINGS,
    Failure,
    Group,
    group_failures,
    group_faults,
)
from distromatrix.reports.hints import hints_of
from distromatrix.wording import some_of

MOST = 10  # of a kind, in a step
_TITLE = 220  # characters
_NAME = 140
_MESSAGE = 2000  # at most two UTF-16 units each
_REASON = 600
_CELLS = 8  # named in one annotation
_IDS = 2  # named in its title

Place = Callable[[Case], tuple[str, int]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Annotation:
    """One of them. `str()` of it is the workflow command, one line."""

    level: Literal["error", "warning", "notice"]
    title: str
    message: str
    file: str = ""
    line: int = 0

    def __str__(self) -> str:
        properties = [f"file={_property(self.file)}"] if self.file else []
        properties += [f"line={self.line}"] if self.file and self.line else []
        properties.append(f"title={_property(self.title)}")
        return f"::{self.level} {','.join(properties)}::{_data(self.message)}"


def _data(text: str) -> str:
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    return _data(text).replace(":", "%3A").replace(",", "%2C")


def make_annotations(
    plan: Plan,
    result: RunResult,
    *,
    place: Place = lambda _: ("", 0),
    mask: Callable[[str], str] = str,
) -> tuple[Annotation, ...]:
    """At most ten errors and ten warnings (what is flaky, or not gating), and a notice that says
    how many there are besides.

    First what fails on some distros only, on the fewest first; then what fails everywhere; what
    is flaky; what could not be tested; what passed or was skipped against the rules. Of each
    group one is told before any has its second.
    """
    teller = _Teller(plan, result, place, mask)
    queues = teller.queues()
    chosen: tuple[Annotation, ...] = ()
    for level in ("error", "warning"):
        of_level = [[one for one in queue if one.level == level] for queue in queues]
        told = _rounds([len(queue) for queue in of_level], MOST)
        chosen += tuple(
            replace(one, title=shorten(one.title, _TITLE), message=shorten(one.message, _MESSAGE))
            for queue, number in zip(of_level, told, strict=True)
            for one in queue[:number]
        )
    more = sum(map(len, queues)) - len(chosen)
    if not more:
        return chosen
    return (
        *chosen,
        Annotation(
            level="notice",
            title=f"distromatrix: {more:,} more failures",
            message=f"See the job's summary and junit.xml for {more:,} more failures; GitHub shows "
            f"{MOST} per step",
        ),
    )


def _rounds(lengths: list[int], most: int) -> list[int]:
    """How many to take of each queue: the first of each, then the second of each, …"""
    taken = [0] * len(lengths)
    left = most
    while left and any(t < n for t, n in zip(taken, lengths, strict=True)):
        for at, length in enumerate(lengths):
            if left and taken[at] < length:
                taken[at] += 1
                left -= 1
    return taken


class _Teller:
    def __init__(
        self, plan: Plan, result: RunResult, place: Place, mask: Callable[[str], str]
    ) -> None:
        self._plan = plan
        self._result = result
        self._cells = result.cells
        self._place = place
        self._mask = mask

    def queues(self) -> list[list[Annotation]]:
        """Annotations of what belongs together, the most telling first."""
        groups = group_failures(self._plan, self._cells)
        some = sorted((g for g in groups if g.partial), key=lambda g: len(g.distros))
        rest = [g for g in groups if not g.partial]
        told: Iterator[Iterable[Annotation]] = chain(
            (self._group(group) for group in (*some, *rest)),
            ([self._flaky(one)] for one in flaky_cases(self._plan, self._cells)),
            ([one] for one in self._faults()),
            ([one] for one in self._against_rules()),
        )
        return [list(queue) for queue in told]

    def _group(self, group: Group) -> Iterator[Annotation]:
        more = len(group.failures) - 1
        for number, failure in enumerate(group.failures):
            beside = f"and {more:,} more with it" if more and not number else ""
            yield self._failure(group, failure, beside)

    def _failure(self, group: Group, failure: Failure, beside: str) -> Annotation:
        file, line = self._place(failure.case) if failure.case else ("", 0)
        what = self._text(failure.case.name, _NAME) if failure.case else failure.column
        title = f"{what} {group.label}"
        return Annotation(
            level=_level(gating=group.gating),
            title=title,
            message=_lines(
                title,
                *self._wordings(failure),
                *self._hints(failure),
                f"in {some_of(failure.cells, _CELLS)}",
                beside,
                self._again(failure.cells),
            ),
            file=file,
            line=line,
        )

    def _wordings(self, failure: Failure) -> Iterator[str]:
        """What is said of it, with where, if not everywhere the same."""
        several = len(failure.wordings) > 1
        for one in failure.wordings[:WORDINGS]:
            said = self._text(one.text, _REASON // WORDINGS if several else _REASON)
            yield f"{some_of(one.cells, _IDS)}: {said}" if several else said
        if (more := len(failure.wordings) - WORDINGS) > 0:
            yield f"and in {more:,} other wordings"

    def _hints(self, failure: Failure) -> Iterator[str]:
        for one in hints_of([failure], self._plan, self._cells)[:WORDINGS]:
            yield f"hint: {self._text(one, 300)}"

    def _flaky(self, one: FlakyCase) -> Annotation:
        what = self._text(one.case, _NAME) or one.column
        ids = tuple(cell.id for cell, _ in one.cells)
        counts = (f"{cell.id}: {counts_of(cell, seen)}" for cell, seen in one.cells[:_CELLS])
        title = f"{what} is flaky in {some_of(ids, _IDS)}"
        reason = self._text(one.message, _REASON)
        level = _level(gating=one.gating and not one.passed)
        message = _lines(title, reason, *counts, self._again(ids))
        return Annotation(level=level, title=title, message=message)

    def _faults(self) -> Iterator[Annotation]:
        if self._result.interrupted:
            said = f"the run was interrupted ({self._result.interrupted})"
            yield Annotation(level="error", title=said, message=f"{said}: not all cells were run")
        for fault in group_faults(self._cells):
            ids = tuple(cell.id for cell in fault.cells)
            phase = f" ({fault.phase})" if fault.phase else ""
            phase += "" if fault.gating else NOT_GATING
            title = f"{some_of(ids, _IDS)} could not be tested{phase}"
            said = self._text(fault.reason, _REASON)
            yield Annotation(
                level=_level(gating=fault.gating),
                title=f"{title}: {said}",
                message=_lines(
                    f"{title}: {said}",
                    WHOSE[fault.blame],
                    self._again(ids),
                ),
            )

    def _against_rules(self) -> Iterator[Annotation]:
        for one in passed_against(self._cells):
            what = self._text(one.case, _NAME) or some_of(one.cells, _IDS)
            title = f"{what} passed, though a rule expects a failure"
            where = f"in {some_of(one.cells, _IDS)}" if one.case else ""
            reason = self._text(one.reason, _REASON)
            yield Annotation(level="error", title=title, message=_lines(title, reason, where))
        if self._result.verdict is Verdict.FAILED:
            for cell in self._cells:
                if cell.unmet:
                    title = f"{cell.id} has unmet needs" + NOT_GATING * bool(cell.not_gating)
                    level = _level(gating=not cell.not_gating)
                    message = _lines(title, self._text(cell.reason, _REASON))
                    yield Annotation(level=level, title=title, message=message)

    def _again(self, cells: tuple[str, ...]) -> str:
        return f"again: {run_elsewhere(self._plan, cells)}"

    def _text(self, text: str, length: int) -> str:
        return one_line(self._mask(text), length)


def _level(*, gating: bool) -> Literal["error", "warning"]:
    return "error" if gating else "warning"


def _lines(*lines: str) -> str:
    return "\n".join(line for line in lines if line)
