"""Carrying out a plan: images, then cells, as many at once as there is room for.

One queue of messages, one loop that consumes it (`Executor.run`). Workers post to the queue;
only the loop decides. The next machines are opened while others are under test, and closed
in the background.
"""

from __future__ import annotations

import os
import shutil
import signal
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from queue import SimpleQueue
from threading import Lock, Thread
from types import FrameType
from typing import TypeVar

from distromatrix.collect.log import Masker
from distromatrix.engines.base import Engine, Machine, Stage
from distromatrix.errors import (
    DistromatrixError,
    EngineUnavailableError,
    ImageError,
    InfrastructureError,
)
from distromatrix.events import CellFinished, CellStarted, Event, RunFinished, RunStarted, Warned
from distromatrix.execute.cell import Surroundings, run_cell
from distromatrix.execute.slots import Cancelled, Slots
from distromatrix.execute.snapshot import Snapshot
from distromatrix.execute.workers import Workers
from distromatrix.images import Handed, Images, Prepared
from distromatrix.model import Cell, CellResult, Phase, Plan, RunResult, Verdict
from distromatrix.runs import RunFolder
from distromatrix.verdicts import run_verdict

IMAGE_WORKERS = 2
CLOSING_WORKERS = 2
CLOSE_WITHIN = 5.0  # seconds that SIGINT and SIGTERM leave the machines to end
BACK_WITHIN = 10.0  # seconds that an engine may be away in the middle of a run
BAD = (Verdict.FAILED, Verdict.ERROR, Verdict.XPASSED)
CLEAN_UP = "distromatrix clean"

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """How to carry out a plan. `jobs` None: as many as the engine's cpus carry."""

    jobs: int | None = None
    fail_fast: bool = False
    retries: int = 1
    keep: str = "never"  # never | failed | always
    allow_unmet: bool = False
    command: str = ""
    done: tuple[CellResult, ...] = ()  # of the run that is resumed


@dataclass(slots=True)
class _State:
    """What the loop knows."""

    results: dict[str, CellResult] = field(default_factory=dict)
    open: set[str] = field(default_factory=set)  # cells that have no result yet
    interrupted: str = ""
    stopping: str = ""  # why no more cells are begun


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """A plan with all that it takes to carry it out. `labels` go on everything made on the
    engine; `secrets` are the `pass_env` values."""

    plan: Plan
    engine: Engine
    images: Images
    handed: Handed
    snapshot: Snapshot
    folder: RunFolder
    labels: Mapping[str, str]
    secrets: Mapping[str, str]
    emit: Callable[[Event], None]
    options: Options


def execute(job: Job) -> RunResult:
    """Run every cell of the plan that has an engine and is not done yet.

    Returns one result for each cell of the plan, in its order. Raises
    EngineUnavailableError if the engine is not there to begin with, and InfrastructureError
    if the run itself cannot go on (its journal cannot be written).
    """
    executor = Executor(job)
    with executor.signals():
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
        self._slots = Slots(job.options.jobs, facts.cpus, facts.memory)
        self._image_workers = Workers(IMAGE_WORKERS, "image", self._broke)
        self._cell_workers = Workers(self._slots.most + self._ahead(), "cell", self._broke)
        self._closers = Workers(CLOSING_WORKERS, "close", self._broke)
        hidden = (*job.secrets.values(), *job.handed.secrets)
        self._around = Surroundings(
            engine=job.engine,
            slots=self._slots,
            emit=job.emit,
            masker=lambda: Masker(hidden),
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
        try:
            for group in _by_image(self._begin()):
                self._image_workers.submit(partial(self._have_image, group))
            while self._state.open and not self._state.interrupted:
                self._messages.get()()
        except BaseException:
            self._state.stopping = self._state.stopping or "the run broke off"
            raise
        finally:
            self._end()
        return self._result(time.monotonic() - began)

    def _begin(self) -> tuple[Cell, ...]:
        done = {r.id: r for r in self._options.done}
        todo: list[Cell] = []
        for cell in self._plan.cells:
            if cell.id in done:
                self._state.results[cell.id] = done[cell.id]
            elif cell.engine is not None:
                todo.append(cell)
        self._state.open = {c.id for c in todo}
        self._emit(
            RunStarted(
                run=self._folder.id,
                cells=tuple(c.id for c in todo),
                jobs=self._slots.most,
                engine=self._title,
                command=self._options.command,
            )
        )
        for line in (
            *self._plan.warnings,
            *self._job.snapshot.warnings,
            *self._job.handed.warnings,
        ):
            self._emit(Warned(text=line))
        for cell in self._plan.cells:
            if cell.engine is None and cell.id not in done:
                self._finish(
                    CellResult(
                        id=cell.id,
                        verdict=cell.verdict or Verdict.SKIPPED,
                        reason=cell.reason,
                        unmet=cell.unmet,
                    )
                )
        return tuple(todo)

    def _ahead(self) -> int:
        """Machines that are opened while all places are taken."""
        return max(1, self._slots.most // 2)

    def _end(self) -> None:
        """Close all that is open. After a signal: at once, and within CLOSE_WITHIN seconds."""
        self._slots.cancel()
        hurry = bool(self._state.interrupted or self._state.open or self._gone)
        self._images.cancel()
        if hurry:
            with self._lock:
                open_now = tuple(self._machines)
            for machine in open_now:
                Thread(target=machine.close, daemon=True).start()
        until = time.monotonic() + (CLOSE_WITHIN if hurry else 60.0)
        while self._machines and time.monotonic() < until:
            time.sleep(0.02)
        self._closers.drain(max(0.1, until - time.monotonic()))
        if self._stage is not None:
            closing = Thread(target=self._stage.close, daemon=True)
            closing.start()
            closing.join(max(1.0, until - time.monotonic()))

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
        try:
            prepared = self._retried(
                lambda _: self._images.prepared(
                    distro, first, self._job.snapshot.matching, self._job.handed
                )
            )
        except (DistromatrixError, OSError) as error:
            for cell in cells:
                self._post(partial(self._finish, self._error(cell, error, 1)))
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
            if self._state.stopping:
                raise Cancelled
            result = self._retried(attempt)
        except Cancelled:
            if self._state.interrupted:
                return
            result = self._not_run(cell)
        except (DistromatrixError, OSError) as error:
            if self._state.interrupted:
                return
            result = self._error(cell, error, attempts)
        self._post(partial(self._finish, result))

    def _retried(self, attempt: Callable[[int], T]) -> T:
        """Try again what an infrastructure fault ended, as often as `retries` says."""
        for number in range(1, self._options.retries + 2):
            try:
                self._check_engine()
                return attempt(number)
            except InfrastructureError as error:
                if self._state.interrupted:
                    raise Cancelled from error
                if isinstance(error, EngineUnavailableError):
                    self._await_engine(error)
                if not error.transient or number > self._options.retries:
                    raise
        raise AssertionError("unreachable")

    def _check_engine(self) -> None:
        if self._gone:
            raise EngineUnavailableError(self._gone, transient=False)

    def _await_engine(self, error: EngineUnavailableError) -> None:
        """Give the engine some seconds to come back; else remember that it is gone, so that
        the cells that are left do not each wait for it."""
        until = time.monotonic() + BACK_WITHIN
        while not self._gone and not self._state.interrupted:
            try:
                self._engine.facts()
                return
            except InfrastructureError:
                if time.monotonic() > until:
                    self._gone = f"the engine is gone: {error}"
                time.sleep(0.5)
        self._check_engine()

    def _staged(self, prepared: Prepared) -> Stage:
        with self._stage_lock:
            if self._stage is None:
                self._stage = self._engine.stage(
                    self._job.snapshot.path, image=prepared.image.id, labels=self._job.labels
                )
            return self._stage

    def _opened(self, machine: Machine) -> None:
        with self._lock:
            self._machines.add(machine)
        if self._state.interrupted:
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
        self._state.results[result.id] = result
        self._state.open.discard(result.id)
        log = self._folder.path / "cells" / result.id / "log.txt"
        shown = str(log.relative_to(self._folder.path)) if log.exists() else ""
        self._emit(CellFinished(result=result, log=shown))
        if self._options.fail_fast and result.verdict in BAD and not self._state.stopping:
            self._state.stopping = f"not run: --fail-fast, after {result.id} {result.verdict}"
            self._slots.cancel()  # those that wait; what is under test ends by itself

    def _not_run(self, cell: Cell) -> CellResult:
        return CellResult(
            id=cell.id,
            verdict=Verdict.SKIPPED,
            engine=cell.engine,
            reason=self._state.stopping,
        )

    def _error(self, cell: Cell, error: Exception, attempts: int) -> CellResult:
        masker = self._around.masker()
        phase = Phase.IMAGE
        tail: tuple[str, ...] = ()
        if isinstance(error, ImageError):
            phase = Phase(error.phase)
            tail = tuple(masker.mask(error.log).splitlines()[-40:])
        elif attempts and (self._folder.path / "cells" / cell.id / "log.txt").exists():
            phase = Phase.RUN
        return CellResult(
            id=cell.id,
            verdict=Verdict.ERROR,
            phase=phase,
            engine=cell.engine,
            reason=masker.mask(str(error)),
            tail=tail,
            attempts=max(1, attempts),
        )

    # --- signals ---------------------------------------------------------------------------

    @contextmanager
    def signals(self) -> Iterator[None]:
        """SIGINT and SIGTERM end the run with its results kept; a second one ends it now."""

        def on_signal(number: int, _frame: FrameType | None) -> None:
            name = signal.Signals(number).name
            if self._state.interrupted:
                sys.stderr.write(f"\nleft at once; to remove what is still there: {CLEAN_UP}\n")
                sys.stderr.flush()
                os._exit(128 + number)
            self._state.interrupted = name
            self._slots.cancel()
            self._post(lambda: None)

        before = {}
        with suppress(ValueError):  # not the main thread: someone else handles signals
            for number in (signal.SIGINT, signal.SIGTERM):
                before[number] = signal.signal(number, on_signal)
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)


def _by_image(cells: tuple[Cell, ...]) -> tuple[tuple[Cell, ...], ...]:
    """The cells grouped by the prepared image that they share, in the plan's order."""
    groups: dict[object, list[Cell]] = {}
    for cell in cells:
        user = "root" if cell.user in ("root", "0") else cell.user
        groups.setdefault((cell.distro, cell.packages, cell.prepare, user), []).append(cell)
    return tuple(tuple(group) for group in groups.values())
