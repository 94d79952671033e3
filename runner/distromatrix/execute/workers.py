"""Who does a run's work: threads that have images made, cells run and machines closed.

They decide nothing: what comes out is posted to the loop (`executor.Executor`), which does.
"""

from __future__ import annotations

import os
import shutil
import time
from collections import defaultdict
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial
from threading import Lock, Thread
from typing import TypeVar

from distromatrix.collect.joined import guest_folder
from distromatrix.collect.log import Masker
from distromatrix.engines.changes import Changes
from distromatrix.engines.contract import Machine, Stage
from distromatrix.engines.silence import Watch
from distromatrix.errors import EngineUnavailableError, InfrastructureError
from distromatrix.execute.cell.attempt import Attempt, AttemptResult, CaseSubset
from distromatrix.execute.cell.context import CellContext
from distromatrix.execute.cell.disk_watch import DiskWatch
from distromatrix.execute.cell.export import Exporter
from distromatrix.execute.cell.fallback import Again, Done, again, join
from distromatrix.execute.cell.faults import error_result
from distromatrix.execute.cell.retry import Once, once, retry_failed
from distromatrix.execute.cell.run import run_cell
from distromatrix.execute.job import Job
from distromatrix.execute.product.python_says import USES_MARK, used_fixtures
from distromatrix.execute.queue.order import Order, Task, by_image
from distromatrix.execute.queue.slots import Cancelled, Slots, Turn
from distromatrix.execute.state import Loop, State
from distromatrix.execute.threads import Threads, in_background
from distromatrix.images import Prepared
from distromatrix.images.facts import machine_facts
from distromatrix.model import CaseNeeds, Cell, CellResult, Facts
from distromatrix.plan.needs import GUESTS
from distromatrix.record.events import CellFallback, CellStarted
from distromatrix.record.verdicts import not_run

IMAGE_WORKERS = 2
CLOSING_WORKERS = 2
CLOSE_WITHIN = 4.5  # seconds that SIGINT and SIGTERM leave all that is open to end
CLOSE_PATIENTLY = 60.0  # seconds for that at the end of a run that was not interrupted
FACTS_WITHIN = 10.0  # seconds that a run's end waits for the facts of new images
SETTLE_WITHIN = 1.5  # seconds for machines to end before the stage goes below them
BACK_WITHIN = 10.0  # seconds that an engine may refuse in the middle of a run

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class _Broken:
    """What kept something from being done, after so many `attempts`."""

    error: Exception
    attempts: int


class Workers:
    """The workers of one execution, with the machines and the stage that they have open."""

    def __init__(
        self,
        slots: Slots,
        job: Job,
        state: State,
        tasks: tuple[Task, ...],
        loop: Loop,
        *,
        asked: bool = False,
    ) -> None:
        self._job = job
        self._state = state
        self._slots = slots
        self._loop = loop
        self._tasks = tasks
        self.at_once = slots.most_of([task.cell for task in tasks])
        guests = slots.guests_of([task.cell for task in tasks if task.in_guest])
        strict = job.plan.seed is not None
        self._order = Order(tasks, strict=strict, asked=asked, guests=guests)
        self._prepared: dict[object, Prepared] = {}
        self.facts: dict[str, Facts] = {}
        # Images of which no cell has begun: nobody may ever ask for one.
        self._factless: dict[object, tuple[Cell, ...]] = {}
        self._taking = Lock()
        self._asked = asked
        self._machines: set[Machine] = set()
        self._lock = Lock()
        self._stage_locks: dict[str, Lock] = defaultdict(Lock)  # by the engine's name
        self._image_workers = Threads(IMAGE_WORKERS, "image", loop.broke)
        self._cell_workers = Threads(self.at_once + slots.ahead, "cell", loop.broke)
        self._closers = Threads(CLOSING_WORKERS, "close", loop.broke)
        self.masker = Masker(job.opening.hidden)
        says = job.opening.snapshot().says if tasks else 0
        self._around = CellContext(
            job=job,
            slots=slots,
            masker=self.masker,
            watch=Watch(job.options.silent_after),
            disks=DiskWatch(),
            opened=self._opened,
            close=self._close_later,
            stage=self._staged,
            exporter=Exporter(job, lambda: bool(state.interrupted or state.gone)),
            callers=frozenset(name for name, value in os.environ.items() if value),
            case_needs=bool(says & USES_MARK),
            fixtures=used_fixtures(says),
        )

    def begin(self) -> None:
        """Have everything run."""
        for image, cells in by_image(self._tasks).items():
            self._image_workers.submit(partial(self._have_image, image, cells))

    def ask(self, cell: str) -> None:
        """A cell is wanted now, where only those are begun."""
        self._begin_so_many(self._order.ask(cell))

    def was_asked(self, cell: str) -> bool:
        """Whether it is: always, where all are begun."""
        return self._order.was_asked(cell)

    def _begin_so_many(self, count: int) -> None:
        for _ in range(count):
            self._cell_workers.submit(self._have_result)

    def cancel_images(self) -> Thread:
        """Give up images that are being made."""
        return in_background(self._job.opening.images.cancel)

    def end(self) -> None:
        """Close all that is open; after an interruption within CLOSE_WITHIN seconds."""
        state = self._state
        hurry = bool(state.interrupted or state.open or state.gone)
        until = time.monotonic() + (CLOSE_WITHIN if hurry else CLOSE_PATIENTLY)
        if not self._asked:  # else others have places there, too, and go on
            self._slots.cancel()
        if not hurry:  # what images are made of, where a run was shorter than seeing that
            self._image_workers.drain(FACTS_WITHIN)
        closing = [self.cancel_images()]
        if hurry:
            with self._lock:
                machines = tuple(self._machines)
            closing += [in_background(machine.close) for machine in machines]
            self._settle(min(until, time.monotonic() + SETTLE_WITHIN), closing)
        else:
            self._settle(until, closing)
        closing.append(in_background(self._job.opening.unstage))
        self._settle(until, closing)
        for workers in (self._cell_workers, self._image_workers, self._closers):
            workers.end()

    def _settle(self, until: float, closing: list[Thread]) -> None:
        """Wait for what is under way to end."""
        for workers in (self._cell_workers, self._image_workers, self._closers):
            workers.drain(max(0.0, until - time.monotonic()))
        for thread in closing:
            thread.join(max(0.0, until - time.monotonic()))

    # --- images and cells ------------------------------------------------------------------

    def _have_image(self, image: object, cells: tuple[Cell, ...]) -> None:
        first, prepare = cells[0], self._job.opening.prepare
        distro = self._job.plan.distro(first.distro)
        prepared = self._retried(lambda _: prepare(distro, first), first.engine)
        if isinstance(prepared, _Broken):
            if self._state.stopping:  # the stop may be what ended it
                prepared = replace(prepared, attempts=0)
            for cell in cells:
                self._tell(self._not_done(cell, prepared, cell.id))
        else:
            self._prepared[image] = prepared
            self._factless[image] = cells
        self._begin_so_many(self._order.settle(image, there=image in self._prepared))

    def _have_facts(self, prepared: Prepared, cells: tuple[Cell, ...]) -> None:
        """See what the image of those cells is made of, when all images are there."""
        if self._state.interrupted or self._state.gone:
            return
        facts = self._job.opening.images.facts(prepared.image)
        with self._lock:
            self.facts |= {cell.id: machine_facts(facts, cell, prepared) for cell in cells}

    def _have_result(self) -> None:
        """Run what comes next."""
        with self._taking:  # who takes it first is served first
            if (task := self._order.take()) is None:
                return
            ticket = self._slots.ticket()
        cell = task.cell
        if cells := self._factless.pop(task.image, None):
            self._image_workers.submit(partial(self._have_facts, self._prepared[task.image], cells))

        def attempt(number: int) -> AttemptResult:
            self._job.emit(CellStarted(cell=cell.id, repeat=task.repeat, attempt=number))
            return self._attempt(task, task.id, self._prepared[task.image], number, ticket)

        try:
            ran = self._retried(attempt, cell.engine)
        finally:
            self._slots.drop(ticket)
            self._begin_so_many(self._order.done(task))
        if isinstance(ran, _Broken):
            result = self._not_done(cell, ran, task.id)
        else:
            first = self._with_guests(task, ran)
            # Repetitions tell what is flaky themselves.
            again = cell.retry_failed and not task.repeat
            result = self._retry_failed(task, first) if again else first.result
        self._tell(result, task.repeat)

    def _tell(self, result: CellResult, repeat: int = 0) -> None:
        if not self._state.interrupted:  # it may have ended because its machine was closed
            self._loop.finish(result, repeat)

    def _attempt(
        self,
        task: Task,
        name: str,
        prepared: Prepared,
        number: int,
        ticket: object,
        only: CaseSubset | None = None,
        state: Changes | None = None,
    ) -> AttemptResult:
        """Run a cell, or some of its cases, in a new machine; what it leaves goes into the folder
        `name` below `cells/`. `state`: what its setup has changed in another."""
        folder = self._job.folder.path / "cells" / name
        shutil.rmtree(folder, ignore_errors=True)
        self._job.folder.cell(name)
        stage = self._staged(prepared, task.cell.engine)
        if only is None and self._job.options.only and task.cell.cases:
            cases = tuple(CaseNeeds(test=name, needs=()) for name in self._job.options.only)
            only = CaseSubset(cases=cases, how="listed")
        tried = Attempt(
            task=task, prepared=prepared, folder=folder, number=number, only=only, state=state
        )
        return AttemptResult(tried, run_cell(tried, stage, self._around, ticket))

    def _once_more(
        self,
        task: Task,
        name: str,
        prepare: Callable[[], Prepared],
        only: CaseSubset | None,
        state: Changes | None = None,
    ) -> AttemptResult | _Broken:
        """As `_attempt`, for a cell whose first run has led to this; tried again where it broke."""
        ticket = object()  # drawn when the image is there: none waits for that

        def attempt(number: int) -> AttemptResult:
            return self._attempt(task, name, prepare(), number, ticket, only, state)

        try:
            return self._retried(attempt, task.cell.engine)
        finally:
            self._slots.drop(ticket)

    def _with_guests(self, task: Task, ran: AttemptResult) -> Once:
        """What one run of a cell comes to, with the cases of it that need guests."""
        tried = ran.tried
        if not ran.result.needing:
            tried.forget_state()
            return once(ran.result, (ran,))
        plan, folder = self._job.plan, self._job.folder.path / "cells" / task.id
        done = [self._run_again(task, one, tried.state) for one in again(task.cell, ran, plan)]
        tried.forget_state()
        result = join(task.cell, ran, done, plan, folder, self.masker.mask)
        return once(result, (ran, *(one.ran for one in done if one.ran)))

    def _retry_failed(self, task: Task, first: Once) -> CellResult:
        def run(number: int, only: CaseSubset | None) -> Once | CellResult:
            there = replace(task, retry=number)
            ran = self._once_more(there, there.id, lambda: self._prepared[task.image], only)
            if isinstance(ran, _Broken):
                return self._not_done(task.cell, ran, there.id)
            return self._with_guests(there, ran)

        folder = self._job.folder.path / "cells" / task.id
        return retry_failed(task.cell, first, run, folder, self.masker.mask, self._job.emit)

    def _run_again(self, task: Task, again: Again, state: Changes | None) -> Done:
        """Run some cases of a cell once more, alone, in a guest, after what setup changed. What
        breaks there is told in its result."""
        cell, engine = again.cell, again.cell.engine or ""
        name = f"{task.id}/{guest_folder(engine)}"

        def prepare() -> Prepared:
            distro = self._job.plan.distro(cell.distro)
            return self._job.opening.images.guest(distro, cell, self._prepared[task.image])

        self._job.emit(
            CellFallback(
                cell=task.cell.id,
                repeat=task.repeat,
                engine=engine,
                cases=len(again.only.cases),
                reason=cell.reason,
            )
        )
        ran = self._once_more(replace(task, cell=cell), name, prepare, again.only, state)
        if isinstance(ran, _Broken):
            return Done(again=again, result=self._not_done(cell, ran, name))
        return Done(again=again, result=ran.result, ran=ran)

    def _not_done(self, cell: Cell, broken: _Broken, name: str) -> CellResult:
        """What is said of a cell, or a part of it, that was not begun, or that the infrastructure
        broke; `name` as of `_attempt`."""
        error, attempts = broken.error, broken.attempts
        if isinstance(error, Cancelled) or (self._state.stopping and not attempts):
            return not_run(cell, self._state.stopping or "not run")
        return self.error(cell, error, attempts, name)

    def error(self, cell: Cell, error: Exception, attempts: int = 0, name: str = "") -> CellResult:
        """The result of a cell that an error ended."""
        job = self._job
        return error_result(job.plan, cell, error, attempts, job.folder, self.masker, name)

    def _retried(self, attempt: Callable[[int], T], engine: str | None) -> T | _Broken:
        """Try again what an infrastructure fault ended, as often as `retries` says; `engine` as
        the plan names it. Cancelled when no more is to be begun."""
        state, retries, begun = self._state, self._job.options.retries, 0
        try:
            while True:
                if gone := state.gone or state.gone_guests.get(engine or ""):
                    raise EngineUnavailableError(gone, transient=False)
                if state.stopping:
                    raise Cancelled
                begun += 1
                try:
                    return attempt(begun)
                except InfrastructureError as error:
                    if isinstance(error, EngineUnavailableError):
                        self._await_engine(error, engine)
                    if not error.transient or begun > retries or state.stopping:
                        raise
        except Exception as error:  # noqa: BLE001 - a cell's fault is no other's
            return _Broken(error, begun)

    def _await_engine(self, error: EngineUnavailableError, engine: str | None) -> None:
        """Give the engine some seconds to come back; else it is lost for all that want it."""
        until = time.monotonic() + BACK_WITHIN
        guests = engine if engine in GUESTS else ""
        while not self._state.gone and not self._state.stopping:
            try:
                self._job.opening.engines.of(engine).ping()
                return
            except InfrastructureError as silent:
                if guests and (not silent.transient or time.monotonic() > until):
                    why = f"the engine {guests} is gone: {error}"
                    self._state.gone_guests.setdefault(guests, why)
                    raise
                if time.monotonic() > until:
                    self._loop.lost(str(error))
                    raise
                time.sleep(0.5)

    # --- what is open ----------------------------------------------------------------------

    def _staged(self, prepared: Prepared, name: str | None) -> Stage:
        """The product on the engine that the plan calls so, put there by the first who asks."""
        engine = self._job.opening.engines.of(name)
        with self._lock:
            lock = self._stage_locks[engine.name]
        with lock:
            if self._state.stopping:
                raise Cancelled
            stage = self._job.opening.stage(engine, prepared)
            if self._state.interrupted:
                self._job.opening.unstage()
            return stage

    def _opened(self, machine: Machine) -> None:
        with self._lock:
            self._machines.add(machine)
        if self._state.interrupted or self._state.gone:
            raise Cancelled

    def _close_later(self, machine: Machine, turn: Turn) -> None:
        def close() -> None:
            with suppress(Exception):  # what is not closed, the next sweep finds
                machine.close()
            self._slots.give_back(turn)
            with self._lock:
                self._machines.discard(machine)

        self._closers.submit(close)
