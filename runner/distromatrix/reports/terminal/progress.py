"""What a run has come to so far, and the lines that tell of it on the board and in plain output."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from time import monotonic
from typing import TYPE_CHECKING

from distromatrix.collect.text import one_line
from distromatrix.model import CellResult, Verdict
from distromatrix.plan.balance import makespan
from distromatrix.plan.durations import seconds_of
from distromatrix.record.events import (
    CellFallback,
    CellRetried,
    CellSilent,
    RunStarted,
)
from distromatrix.record.verdicts import tolerated
from distromatrix.reports.style import Look, about, duration, repeated
from distromatrix.wording import counted

if TYPE_CHECKING:
    from rich.text import Text


class Progress:
    """Counts what both kinds of report show."""

    def __init__(self) -> None:
        self.began = monotonic()
        self.todo: frozenset[str] = frozenset()
        self.repeat = 1
        self.done: Counter[Verdict] = Counter()  # runs of cells
        self._runs: Counter[str] = Counter()  # cell -> runs that are done
        self._at_once = 1
        self._expected: dict[str, float] = {}  # what each cell takes; 1.0 where nothing is known
        self._took: dict[str, tuple[float, float]] = {}  # suite -> of that, and in seconds

    @property
    def finished(self) -> int:
        """How many runs of cells have ended."""
        return self.done.total()

    @property
    def total(self) -> int:
        """How many there will be."""
        return len(self.todo) * self.repeat

    def start(self, event: RunStarted) -> None:
        """Learn which cells will run."""
        self.todo = frozenset(event.cells)
        self.repeat = event.repeat
        self._at_once = event.jobs
        self._expected = dict.fromkeys(event.cells, 1.0) | dict(event.expected)
        if event.expected:
            self._took[""] = (1.0, 1.0)  # a second is a second, until cells take longer

    def finish_run(self, result: CellResult) -> None:
        """Count one of several runs of a cell."""
        self._runs[result.id] += 1
        self.done[result.verdict] += 1
        self._learn(result)

    def finish(self, result: CellResult) -> bool:
        """Whether it was news: of a repeated cell only what keeps it from its other runs is."""
        left = self.repeat - self._runs[result.id]
        if result.id not in self.todo:  # skipped before anything began
            return False
        self.done[result.verdict] += left
        self._runs[result.id] += left
        if left:
            self._learn(result)
        return left > 0

    def _learn(self, result: CellResult) -> None:
        """How long it took, beside what was expected: of its suite, and of all."""
        if seconds := seconds_of(result):
            for suite in (_suite(result.id), ""):
                expected, took = self._took.get(suite, (0.0, 0.0))
                self._took[suite] = (expected + self._expected[result.id], took + seconds)

    def left(self, running: Iterable[tuple[str, float]]) -> float | None:
        """How many seconds the rest will take, None where nothing is known of that; `running`: the
        cells that run now, and for how long. Where a suite's cells took longer than was expected,
        or those of all suites where none of it has ended, so will those that are left."""
        if "" not in self._took:
            return None
        left = {cell: self.repeat - self._runs[cell] for cell in self.todo}
        seconds = []
        for cell, since in running:
            left[cell] -= 1
            seconds.append(max(self._takes(cell) - since, 0.0))
        waiting = [each for cell, runs in left.items() for each in [self._takes(cell)] * runs]
        return makespan([*seconds, *sorted(waiting, reverse=True)], self._at_once)

    def _takes(self, cell: str) -> float:
        expected, took = self._took.get(_suite(cell)) or self._took[""]
        return self._expected[cell] * took / expected

    def name(self, cell: str, repeat: int) -> str:
        """A cell as it is shown: with which of its runs, where there are several."""
        return f"{cell} {repeat}/{self.repeat}" if repeat else cell


def _suite(cell: str) -> str:
    return cell.partition("/")[2].partition("/")[0]


def headline(event: RunStarted) -> str:
    """A run's first line."""
    cells = f"{counted(len(event.cells), 'cell')}{repeated(event.repeat)}"
    at_once = f"{event.jobs} at a time" if event.jobs > 1 else "one at a time"
    seed = f", shuffled by {event.seed}" if event.seed is not None else ""
    return f"{cells}, {at_once}{_expected(event)}, on {event.engine}{seed}"


def _expected(event: RunStarted) -> str:
    """How long all of it will take, where earlier runs say that."""
    if not event.expected:
        return ""
    seconds = sorted(event.expected.values(), reverse=True) * event.repeat
    return f", {about(makespan(seconds, event.jobs))}"


def result_line(result: CellResult, name: str, look: Look, width: int) -> tuple[Text | str, ...]:
    """A cell's verdict and, in further lines, why."""
    tried = f" (tried {result.attempts} times)" if result.attempts > 1 else ""
    idle = " (not gating)" if tolerated(result) else ""
    return (
        look.result(result, len("x xpassed")),
        f"  {name.ljust(width)}  {duration(result.seconds):>6}",
        f"  {one_line(result.reason).rstrip(':') or reported(result)}{tried}{idle}".rstrip(),
    )


def reported(result: CellResult) -> str:
    """How many cases passed."""
    if result.verdict is not Verdict.PASSED:
        return ""
    if result.cases is None:
        return "no report"
    skipped = f", {result.cases.skipped:,} skipped" if result.cases.skipped else ""
    return f"{counted(result.cases.passed, 'case')}{skipped}"


def fallback(event: CellFallback) -> str:
    """`2 cases again in qemu: needs kernel-modules, …`."""
    return f"{counted(event.cases, 'case')} again in {event.engine}: {one_line(event.reason, 300)}"


def retry(event: CellRetried) -> str:
    """`run again (1 of at most 2): 1 of 3 cases failed`."""
    return f"run again ({event.retry} of at most {event.of}): {one_line(event.reason, 300)}"


def silence(event: CellSilent, seconds: float | None = None) -> str:
    """For how long a cell has printed nothing, and what runs in it."""
    running = f", running: {one_line(event.command)}" if event.command else ""
    return f"silent for {duration(event.seconds if seconds is None else seconds)}{running}"
