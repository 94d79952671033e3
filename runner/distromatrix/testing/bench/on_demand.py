"""Cells of a plan, each run when it is asked for: `Executor` in a thread, with its results
handed to those who wait for them."""

from __future__ import annotations

import traceback
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from threading import Lock, Thread

from distromatrix.errors import InfrastructureError
from distromatrix.execute.executor import Executor
from distromatrix.execute.job import Job
from distromatrix.execute.queue.slots import Slots
from distromatrix.model import CellResult, RunResult
from distromatrix.record.events import CellFinished, Event
from distromatrix.reports.grouping import ImageFaults

END_WITHIN = 70.0  # seconds that the run's end may take; interrupted, it takes a few


class CellsOnDemand:
    """A run whose cells begin when they are asked for. Images of all of them are had ahead.

    Raises EngineUnavailableError if the engine is not there to begin with."""

    def __init__(self, job: Job, slots: Slots) -> None:
        self.plan = job.plan
        self.folder = job.folder.path
        self.faults = ImageFaults()
        self._results: dict[str, Future[CellResult]] = {c.id: Future() for c in job.plan.cells}
        self._ended: Future[RunResult] = Future()
        self._lock = Lock()
        self._asked: set[str] = set()
        self._executor = Executor(replace(job, emit=self._passing_on(job.emit)), slots, asked=True)
        Thread(target=self._run, name="run", daemon=True).start()

    def __contains__(self, cell: str) -> bool:
        return cell in self._results

    def run(self, cell: str) -> CellResult:
        """Have a cell run, when there is a place for it, and wait. Raises KeyError for one
        that is not in the plan, and InfrastructureError if the run itself broke off."""
        result = self._results[cell]
        with self._lock:
            self._asked.add(cell)
        self._executor.ask(cell)
        return result.result()

    def interrupt(self, signal: str = "SIGINT") -> None:
        """End all machines; who waits for a cell gets InfrastructureError. Returns at once."""
        self._executor.interrupt(signal)

    def end(self, why: str) -> RunResult | None:
        """End the run: cells that were not asked for are skipped, and `why`. Who asked for one
        that still runs has died, or was interrupted: that one is broken off. None where the run
        itself broke."""
        self._executor.leave_out(why)
        with self._lock:
            under_way = any(not self._results[cell].done() for cell in self._asked)
        if under_way:
            self.interrupt()
        with suppress(InfrastructureError, TimeoutError):
            return self._ended.result(END_WITHIN)
        return None

    def _passing_on(self, emit: Callable[[Event], None]) -> Callable[[Event], None]:
        def passing_on(event: Event) -> None:
            emit(event)
            if isinstance(event, CellFinished):
                future = self._results[event.result.id]
                if not future.done():
                    future.set_result(event.result)

        return passing_on

    def _run(self) -> None:
        try:
            result = self._executor.run()
        except BaseException as error:  # noqa: BLE001 - told to all who wait
            broken = (
                error
                if isinstance(error, InfrastructureError)
                else InfrastructureError(f"the run failed: {_told(error)}", transient=False)
            )
            self._ended.set_exception(broken)
            self._give_up(broken)
        else:
            self._ended.set_result(result)
            self._give_up(InfrastructureError("the run was interrupted", transient=False))

    def _give_up(self, error: InfrastructureError) -> None:
        for future in self._results.values():
            if not future.done():
                future.set_exception(error)


def _told(error: BaseException) -> str:
    """A fault of ours, with where it arose: who reports it has nothing else."""
    frames = traceback.extract_tb(error.__traceback__)[-3:]
    where = " < ".join(f"{Path(f.filename).name}:{f.lineno} {f.name}" for f in reversed(frames))
    return f"{error!r} ({where})"
