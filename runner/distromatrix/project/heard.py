"""The cells of a job that other hosts carry out: what is left of them, and what is heard of them,
which is taken as far as it can be true."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import replace

from distromatrix.collect.errors import CollectError
from distromatrix.collect.facts import facts_from
from distromatrix.collect.log import Masker
from distromatrix.errors import InfrastructureError
from distromatrix.execute.cell.faults import error_result
from distromatrix.execute.job import Job
from distromatrix.execute.queue.left import Left
from distromatrix.execute.queue.order import Task
from distromatrix.execute.state import Loop, State
from distromatrix.merge.bounded import bounded
from distromatrix.merge.unpack import MOST_MADE, unpack
from distromatrix.merge.untrusted import UnusableError, event_of
from distromatrix.model import Cell, CellResult, Facts
from distromatrix.record.events import (
    CellFinished,
    CellStarted,
    Event,
    ImageProgress,
    RepeatFinished,
    RunFinished,
    RunStarted,
    Warned,
)
from distromatrix.record.verdicts import not_run

PIECE = 4 << 20  # bytes of a file that travel at once
_NO_EVENTS = (CellFinished, RepeatFinished, RunStarted, RunFinished)  # see result_of, Executor


class CellsElsewhere:
    """See above. Not thread-safe, but for `error` and `take`."""

    def __init__(self, job: Job, state: State, tasks: Sequence[Task], loop: Loop) -> None:
        self.masker = Masker(job.opening.hidden)
        self.facts: dict[str, Facts] = {}
        self._machines: list[Facts] = []  # of which there are few
        self.left = Left(tasks, job.options.repeated, job.options.retries)
        self._job = job
        self._state = state
        self._loop = loop
        self._told: set[str] = set()  # warnings

    def error(self, cell: Cell, error: Exception, attempts: int = 0, name: str = "") -> CellResult:
        """See Team."""
        job = self._job
        return error_result(job.plan, cell, error, attempts, job.folder, self.masker, name)

    def warn(self, text: str) -> None:
        """Say something, once."""
        if text not in self._told:
            self._told.add(text)
            self._job.emit(Warned(text=text))

    def give_up(self, cells: Iterable[Cell], why: str) -> None:
        """These are not run."""
        for cell in cells:
            self.left.drop(cell.id)
            self._loop.finish(not_run(cell, why))

    def fail(self, cells: Iterable[Cell], why: str, host: str = "") -> None:
        """The infrastructure broke these, on that host if any."""
        for cell in cells:
            self.left.drop(cell.id)
            error = InfrastructureError(why, transient=False)
            result = self.error(cell, error, max(1, self.left.attempts(cell.id)))
            self._loop.finish(replace(result, host=host))

    def finish(self, result: CellResult, repeat: int, fault: str) -> None:
        """A run of a cell is done; `fault`: see take."""
        if fault:
            self.fail([self.left.cells[result.id]], fault, result.host)
            return
        self.left.done(result, repeat)
        if result.left_out:
            self.left.drop(result.id)
        if not self._state.interrupted:
            self._loop.finish(result, repeat)

    # --- what a host says of the `cells` that it has ---------------------------------------

    def hear(self, line: str, cells: Sequence[str], host: str) -> Event | None:
        """Tell the event of a line, where it can be true. Returns it then."""
        event = event_of(line.encode())
        if isinstance(event, _NO_EVENTS) or getattr(event, "cell", None) not in (None, *cells):
            return None
        if isinstance(event, Warned):
            self.warn(event.text)
            return event
        if isinstance(event, ImageProgress):
            event = replace(event, text=f"{event.text} (on {host})")
        elif isinstance(event, CellStarted):
            event = replace(event, attempt=event.attempt + self.left.attempts(event.cell))
        if event is not None:
            self._job.emit(event)
        return event

    def hear_facts(self, text: str, cells: Sequence[str]) -> None:
        """What their machines were made of."""
        with suppress(ValueError, RecursionError, LookupError, TypeError):
            for said in json.loads(text):
                facts = facts_from(said)
                if facts not in self._machines:
                    self._machines.append(facts)
                facts = self._machines[self._machines.index(facts)]  # held once
                self.facts |= {cell: facts for cell in said["cells"] if cell in cells}

    def result_of(
        self, line: str, cells: Sequence[str], host: str
    ) -> tuple[CellResult, int] | None:
        """The result of a line, and of which repetition it is; None where that is done already, or
        cannot be."""
        event = event_of(line.encode())
        if not isinstance(event, CellFinished | RepeatFinished):
            return None
        result, repeat = event.result, event.repeat if isinstance(event, RepeatFinished) else 0
        if result.id not in cells or not self.left.has(result.id, repeat):
            return None
        attempts = result.attempts + self.left.attempts(result.id)
        result = bounded(result, self.left.cells[result.id], self._job.plan.repeat)
        return replace(result, attempts=attempts, host=host), repeat

    def take(self, pieces: Iterable[bytes], run: str) -> str:
        """Take what one run of a cell left (see unpack). Returns why it cannot be used, '' where it
        can; that is an error of this cell alone. Raises what `pieces` does, but for our errors."""
        try:
            unpack(pieces, run, self._job.folder)
        except (CollectError, UnusableError, InfrastructureError) as error:
            return f"what it left cannot be used: {error}"
        return ""


def in_pieces(size: int, read: Callable[[int, int], bytes]) -> Iterator[bytes]:
    """What a cell left, as a host says of `size` bytes, by what reads so many at an offset.
    Raises InfrastructureError where it is too big, and what `read` does."""
    if not 0 < size <= MOST_MADE:
        raise InfrastructureError("it is too big")
    for offset in range(0, size, PIECE):
        yield read(offset, PIECE)
