"""Carrying out a plan: images, then cells, as many at once as there is room for.

One queue of messages, one loop that consumes it (`Executor.run`). Workers post to the queue;
only the loop decides. The next machines are opened while others are under test, and closed
in the background.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from queue import Empty, SimpleQueue
from threading import Lock, Thread
from typing import TypeVar

from distromatrix.collect.log import Masker
from distromatrix.engines.base import Machine, Stage
from distromatrix.errors import (
    DistromatrixError,
    EngineUnavailableError,
    InfrastructureError,
)
from distromatrix.events import CellFinished, CellStarted, RunFinished, RunStarted, Warned
from distromatrix.execute.cell import Surroundings, run_cell
from distromatrix.execute.faults import error_result
from distromatrix.execute.interrupts import interrupts
from distromatrix.execute.job import Job
from distromatrix.execute.pulse import Pulse
from distromatrix.execute.slots import Cancelled, Slots
from distromatrix.execute.workers import Workers
from distromatrix.images import Prepared, layer_inputs
from distromatrix.model import Cell, CellResult, RunResult, Verdict
from distromatrix.verdicts import run_verdict

IMAGE_WORKERS = 2
CLOSING_WORKERS = 2
CLOSE_WITHIN = 4.5  # seconds that SIGINT and SIGTERM leave all that is open to end
CLOSE_PATIENTLY = 60.0  # seconds for that at the end of a run that was not interrupted
SETTLE_WITHIN = 1.5  # seconds for machines to end before the stage goes below them
BACK_WITHIN = 10.0  # seconds that an engine may refuse in the middle of a run
SILENT_FOR = 60.0  # seconds after which an engine that says nothing is given up
TICK = 0.5
BAD = (Verdict.FAILED, Verdict.ERROR, Verdict.XPASSED)

T = TypeVar("T")


@dataclass(slots=True)
class _State:
    """What the loop knows."""

    results: dict[str, CellResult] = field(default_factory=dict)
    open: dict[str, Cell] = field(default_factory=dict)  # cells that have no result yet
    interrupted: str = ""
    stopping: str = ""  # why no more cells are begun


def execute(job: Job) -> RunResult:
    """Run every cell of the plan that has an engine and is not done yet.

    Returns one result for each cell of the plan, in its order. Raises
    EngineUnavailableError if the engine is not there to begin with, and InfrastructureError
    if the run itself cannot go on (its journal cannot be written).
    """
    executor = Executor(job)
    with interrupts(executor.interrupt):
        return executor.run()


class Executor:
    """One execution. Made and used by `execute` alone."""

    def __init__(self, job: Job) -> None:
        self._job = job
        self._plan, self._engine, self._images = job.plan, job.engine, job.images
        self._folder, self._emit, self._options = job.folder, job.emit, job.options
        self._messages: SimpleQueue[Callable[[], None]] = SimpleQueue()
        self._state = _State()
        self._machines: set[Machine] = set()
        self._lock = Lock()
        self._stage: Stage | None = None
        self._stage_lock = Lock()
        self._gone = ""
        facts = job.engine.facts()
        self._title = str(facts)
        todo = self._todo()
        self._slots = Slots(job.options.jobs, facts.cpus, facts.memory)
        self._at_once = self._slots.most_of(todo)
        self._image_workers = Workers(IMAGE_WORKERS, "image", self._broke)
        self._cell_workers = Workers(self._at_once + self._slots.ahead, "cell", self._broke)
        self._closers = Workers(CLOSING_WORKERS, "close", self._broke)
        hidden = Masker((*job.secrets.values(), *job.handed.secrets))
        self._around = Surroundings(
            engine=job.engine,
            slots=self._slots,
            emit=job.emit,
            masker=hidden,
            environment=job.handed.env,
            secrets=job.secrets,
            labels=job.labels,
            run=job.folder.id,
            keep=job.options.keep,
            opened=self._opened,
            close=self._close_later,
        )

    # --- the loop --------------------------------------------------------------------------

    def run(self) -> RunResult:
        """Begin everything, consume messages until every cell has its result, end."""
        began = time.monotonic()
        pulse = Pulse(self._engine.facts)
        try:
            for group in _by_image(self._begin()):
                self._image_workers.submit(partial(self._have_image, group))
            while self._state.open and not self._state.interrupted:
                self._consume(pulse)
            self._drain()
        finally:
            self._state.stopping = self._state.stopping or "the run has ended"
            pulse.stop()
            self._end()
        return self._result(time.monotonic() - began)

    def _consume(self, pulse: Pulse) -> None:
        """The next message, if one comes soon, and a look at the engine's pulse."""
        asked = time.monotonic()
        with suppress(Empty):
            self._messages.get(timeout=TICK)()
        silent = pulse.tick(min(time.monotonic() - asked, TICK))
        if silent > SILENT_FOR and not self._gone:
            self._lost(f"it has not answered for {silent:.0f} s")

    def _drain(self) -> None:
        """Results that had come before the run was interrupted count."""
        with suppress(Empty):
            while True:
                self._messages.get_nowait()()

    def _todo(self) -> tuple[Cell, ...]:
        done = {r.id for r in self._options.done}
        return tuple(c for c in self._plan.cells if c.engine is not None and c.id not in done)

    def _begin(self) -> tuple[Cell, ...]:
        todo = self._todo()
        self._state.results = {r.id: r for r in self._options.done}
        self._state.open = {c.id: c for c in todo}
        self._emit(
            RunStarted(
                run=self._folder.id,
                cells=tuple(self._state.open),
                jobs=self._at_once,
                engine=self._title,
                command=self._options.command,
            )
        )
        for line in (
            *self._plan.warnings,
            *self._job.snapshot.warnings,
            *self._job.handed.warnings,
            *self._around.masker.notes,
        ):
            self._emit(Warned(text=line))
        for cell in self._plan.cells:
            if cell.engine is None and cell.id not in self._state.results:
                self._record(
                    CellResult(
                        id=cell.id,
                        verdict=cell.verdict or Verdict.SKIPPED,
                        reason=cell.reason,
                        unmet=cell.unmet,
                    )
                )
        return todo

    def interrupt(self, signal: str) -> None:
        """End the run, with the results so far. Called by a signal's handler."""
        self._state.interrupted = signal
        self._state.stopping = "interrupted"
        self._slots.cancel()
        told = Warned(text=f"{signal}: ending the machines (once more: leave at once)")
        self._post(partial(self._emit, told))  # not here: whom it interrupts may hold a lock

    def _end(self) -> None:
        """Close all that is open; after an interruption within CLOSE_WITHIN seconds."""
        state = self._state
        hurry = bool(state.interrupted or state.open or self._gone)
        until = time.monotonic() + (CLOSE_WITHIN if hurry else CLOSE_PATIENTLY)
        self._slots.cancel()
        closing = [_behind(self._images.cancel)]
        if hurry:
            with self._lock:
                machines = tuple(self._machines)
            closing += [_behind(machine.close) for machine in machines]
            self._settle(min(until, time.monotonic() + SETTLE_WITHIN), closing)
        else:
            self._settle(until, closing)
        with self._lock:
            stage = self._stage
        if stage is not None:
            closing.append(_behind(stage.close))
        self._settle(until, closing)
        for workers in (self._cell_workers, self._image_workers, self._closers):
            workers.end()

    def _settle(self, until: float, closing: list[Thread]) -> None:
        """Wait for what is under way to end."""
        for workers in (self._cell_workers, self._image_workers, self._closers):
            workers.drain(max(0.0, until - time.monotonic()))
        for thread in closing:
            thread.join(max(0.0, until - time.monotonic()))

    def _result(self, seconds: float) -> RunResult:
        state = self._state
        why = "interrupted before it ended" if state.interrupted else "not run"
        cells = tuple(
            state.results.get(c.id)
            or CellResult(id=c.id, verdict=Verdict.SKIPPED, engine=c.engine, reason=why)
            for c in self._plan.cells
        )
        verdict, exit_code = run_verdict(cells, state.interrupted, self._options.allow_unmet)
        self._emit(
            RunFinished(
                verdict=verdict,
                exit_code=exit_code,
                seconds=round(seconds, 3),
                interrupted=state.interrupted,
            )
        )
        if not state.interrupted:
            self._job.snapshot.path.unlink(missing_ok=True)
        return RunResult(
            run=self._folder.id,
            folder=self._folder.path,
            verdict=verdict,
            exit_code=exit_code,
            cells=cells,
            seconds=round(seconds, 3),
            interrupted=state.interrupted,
        )

    # --- workers ---------------------------------------------------------------------------

    def _have_image(self, cells: tuple[Cell, ...]) -> None:
        first = cells[0]
        distro = self._plan.distro(first.distro)
        attempts = 0

        def attempt(number: int) -> Prepared:
            nonlocal attempts
            attempts = number
            return self._images.prepared(
                distro, first, self._job.snapshot.matching, self._job.handed
            )

        try:
            prepared = self._retried(attempt)
        except (Cancelled, DistromatrixError, OSError) as error:
            begun = 0 if self._state.stopping else attempts  # the stop may be what ended it
            for cell in cells:
                self._report_fault(cell, error, begun)
            return
        for cell in cells:
            self._cell_workers.submit(partial(self._have_result, cell, prepared))

    def _have_result(self, cell: Cell, prepared: Prepared) -> None:
        folder = self._folder.path / "cells" / cell.id
        attempts = 0

        def attempt(number: int) -> CellResult:
            nonlocal attempts
            attempts = number
            shutil.rmtree(folder, ignore_errors=True)
            self._folder.cell(cell.id)
            self._emit(CellStarted(cell=cell.id, attempt=number))
            stage = self._staged(prepared)
            return run_cell(cell, prepared, stage, folder, self._around, number)

        try:
            result = self._retried(attempt)
        except (Cancelled, DistromatrixError, OSError) as error:
            self._report_fault(cell, error, attempts)
            return
        if not self._state.interrupted:  # it may have ended because its machine was closed
            self._post(partial(self._finish, result))

    def _report_fault(self, cell: Cell, error: Exception, attempts: int) -> None:
        if self._state.interrupted:
            return
        if isinstance(error, Cancelled) or (self._state.stopping and not attempts):
            self._post(partial(self._finish, self._not_run(cell)))
        else:
            self._post(partial(self._finish, self._error(cell, error, attempts)))

    def _retried(self, attempt: Callable[[int], T]) -> T:
        """Try again what an infrastructure fault ended, as often as `retries` says. Raises
        Cancelled when no more is to be begun."""
        for number in range(1, self._options.retries + 2):
            if self._gone:
                raise EngineUnavailableError(self._gone, transient=False)
            if self._state.stopping:
                raise Cancelled
            try:
                return attempt(number)
            except InfrastructureError as error:
                if isinstance(error, EngineUnavailableError):
                    self._await_engine(error)
                if not error.transient or number > self._options.retries or self._state.stopping:
                    raise
        raise AssertionError("unreachable")

    def _await_engine(self, error: EngineUnavailableError) -> None:
        """Give the engine some seconds to come back; else it is lost for all."""
        until = time.monotonic() + BACK_WITHIN
        while not self._gone and not self._state.stopping:
            try:
                self._engine.facts()
                return
            except InfrastructureError:
                if time.monotonic() > until:
                    self._post(partial(self._lost, str(error)))
                    raise
                time.sleep(0.5)

    def _lost(self, why: str) -> None:
        """The engine is gone: none of the cells that are left waits for it any more."""
        if not self._gone:
            self._gone = f"the engine is gone: {why}"
            for cell in tuple(self._state.open.values()):
                gone = EngineUnavailableError(self._gone, transient=False)
                self._finish(self._error(cell, gone, 0))

    def _staged(self, prepared: Prepared) -> Stage:
        with self._stage_lock:
            if self._state.stopping:
                raise Cancelled
            if self._stage is None:
                stage = self._engine.stage(
                    self._job.snapshot.path, image=prepared.image.id, labels=self._job.labels
                )
                with self._lock:
                    self._stage = stage
                if self._state.interrupted:
                    stage.close()
            return self._stage

    def _opened(self, machine: Machine) -> None:
        with self._lock:
            self._machines.add(machine)
        if self._state.interrupted or self._gone:
            raise Cancelled

    def _close_later(self, machine: Machine) -> None:
        def close() -> None:
            machine.close()
            with self._lock:
                self._machines.discard(machine)

        self._closers.submit(close)

    def _post(self, message: Callable[[], None]) -> None:
        self._messages.put(message)

    def _broke(self, error: BaseException) -> None:
        def stop() -> None:
            raise error

        self._post(stop)

    # --- results ---------------------------------------------------------------------------

    def _finish(self, result: CellResult) -> None:
        if self._state.open.pop(result.id, None) is None:
            return  # a worker that had been given up with its engine
        self._record(result)
        if self._options.fail_fast and result.verdict in BAD and not self._state.stopping:
            self._state.stopping = f"not run: --fail-fast, after {result.id} {result.verdict}"
            self._slots.cancel()  # those that wait; what is under test ends by itself
            _behind(self._images.cancel)

    def _record(self, result: CellResult) -> None:
        self._state.results[result.id] = result
        log = self._folder.path / "cells" / result.id / "log.txt"
        shown = str(log.relative_to(self._folder.path)) if log.exists() else ""
        self._emit(CellFinished(result=result, log=shown))

    def _not_run(self, cell: Cell) -> CellResult:
        return CellResult(
            id=cell.id,
            verdict=Verdict.SKIPPED,
            engine=cell.engine,
            reason=self._state.stopping,
        )

    def _error(self, cell: Cell, error: Exception, attempts: int) -> CellResult:
        return error_result(cell, error, attempts, self._folder, self._around.masker)


def _behind(work: Callable[[], object]) -> Thread:
    """Do it in a thread of its own, for which the end of the process does not wait."""

    def quietly() -> None:
        with suppress(DistromatrixError, OSError):
            work()

    thread = Thread(target=quietly, daemon=True)
    thread.start()
    return thread


def _by_image(cells: tuple[Cell, ...]) -> tuple[tuple[Cell, ...], ...]:
    """The cells grouped by the prepared image that they share, in the plan's order."""
    groups: dict[object, list[Cell]] = {}
    for cell in cells:
        groups.setdefault(layer_inputs(cell), []).append(cell)
    return tuple(tuple(group) for group in groups.values())
