"""Carrying out a plan: images, then cells, as many at once as there is room for.

One queue of messages, one loop that consumes it (`Executor.run`). `Workers` post to
the queue; only the loop decides. The next machines are opened while others are under test, and
closed in the background.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from functools import partial
from queue import Empty, SimpleQueue

from distromatrix.collect.facts import add_facts
from distromatrix.collect.tally import join
from distromatrix.errors import EngineUnavailableError
from distromatrix.execute.heartbeat import Pulse
from distromatrix.execute.interrupts import interrupts
from distromatrix.execute.job import Job
from distromatrix.execute.queue.memory import free_memory
from distromatrix.execute.queue.order import in_order
from distromatrix.execute.queue.slots import Slots
from distromatrix.execute.state import State, Team
from distromatrix.execute.threads import in_background
from distromatrix.execute.workers import Workers
from distromatrix.model import BAD, Cell, CellResult, Facts, RunResult
from distromatrix.plan.needs import GUESTS
from distromatrix.record.events import CellFinished, RepeatFinished, RunFinished, RunStarted, Warned
from distromatrix.record.repetitions import Runs, run_id
from distromatrix.record.verdicts import not_run, run_verdict, with_gating

MakeTeam = Callable[..., Team]  # of a job, its state, its tasks, the loop; and `asked`
SILENT_FOR = 60.0  # seconds after which an engine that says nothing is given up
TICK = 0.5


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
    """One execution: the loop. With `slots`, its cells share the places with whoever else has
    these; where they are `asked`, a cell is begun when it is asked for (`ask`), and none before.
    """

    def __init__(self, job: Job, slots: Slots | None = None, *, asked: bool = False) -> None:
        self._job = job
        self._plan, self._emit, self._options = job.plan, job.emit, job.options
        self._folder = job.folder
        self._cells = {cell.id: cell for cell in job.plan.cells}
        self._messages: SimpleQueue[Callable[[], None]] = SimpleQueue()
        self._post = self._messages.put
        self._state = State()
        facts = job.engine.facts()
        todo, plan = self._todo(), job.plan
        used = {cell.engine: None for cell in todo if cell.engine in GUESTS}
        self._title = ", ".join([str(facts), *filter(None, used)])
        self._slots = slots or Slots(job.options.jobs, facts.cpus, facts.memory, free_memory())
        # Of cells that are run several times.
        self._runs = {c.id: Runs(c.id, plan.repeat) for c in todo} if plan.repeat > 1 else {}
        for repeat, result in job.options.repeated:
            if result.id in self._runs:
                self._runs[result.id].add(repeat, result)
        tasks = in_order(todo, plan.repeat, plan.seed, job.options.seconds)
        tasks = tuple(t for t in tasks if not t.repeat or t.repeat in self._runs[t.cell.id].left)
        make: MakeTeam = job.opening.engines.team or partial(Workers, self._slots)
        self._workers: Team = make(job, self._state, tasks, self, asked=asked)

    def run(self) -> RunResult:
        """Begin everything, consume messages until every cell has its result, end."""
        began = time.monotonic()
        pulse = Pulse(self._job.engine.ping)
        try:
            self._begin()
            self._workers.begin()
            while self._state.open and not self._state.interrupted:
                self._consume(pulse)
            self._drain()
        finally:
            self._state.stopping = self._state.stopping or "the run has ended"
            pulse.stop()
            self._workers.end()
            add_facts(self._folder.path, self.facts)
        return self._result(time.monotonic() - began)

    def _consume(self, pulse: Pulse) -> None:
        """The next message, if one comes soon, and a look at the engine's pulse."""
        asked = time.monotonic()
        with suppress(Empty):
            self._messages.get(timeout=TICK)()
        silent = pulse.tick(min(time.monotonic() - asked, TICK))
        if silent > SILENT_FOR and not self._state.gone:
            self._give_up(f"it has not answered for {silent:.0f} s")

    def _drain(self) -> None:
        """Results that had come before the run was interrupted count."""
        with suppress(Empty):
            while True:
                self._messages.get_nowait()()

    def _todo(self) -> tuple[Cell, ...]:
        done = {r.id for r in self._options.done}
        return tuple(c for c in self._plan.cells if c.engine is not None and c.id not in done)

    def _begin(self) -> None:
        self._state.results = {
            r.id: with_gating(r, self._cells[r.id])
            for r in self._options.done
            if r.id in self._cells
        }
        self._state.open = {c.id: c for c in self._todo()}
        self._emit(
            RunStarted(
                run=self._folder.id,
                cells=tuple(self._state.open),
                jobs=self._workers.at_once,
                engine=self._title,
                command=self._options.command,
                repeat=self._plan.repeat,
                seed=self._plan.seed,
                expected={c: s for c, s in self._options.seconds.items() if c in self._state.open},
            )
        )
        for line in (
            *self._plan.warnings,
            *self._job.opening.snapshot().warnings,
            *self._job.opening.handed.warnings,
            *self._workers.masker.notes,
        ):
            self._emit(Warned(text=line))
        for cell in self._plan.cells:
            if cell.engine is None and cell.id not in self._state.results:
                self._record(not_run(cell))
        for cell_id, runs in self._runs.items():
            if not runs.left:  # killed before it could say so
                self._join(cell_id)

    @property
    def facts(self) -> Mapping[str, Facts]:
        """What the machines of cells were made of, by the cells' ids."""
        return self._workers.facts

    @property
    def gone(self) -> str:
        """Why the engine of containers was given up, '' where it was not."""
        return self._state.gone

    def ask(self, cell: str) -> None:
        """Have a cell begun; the event CellFinished says when it is done."""
        self._workers.ask(cell)

    def leave_out(self, why: str) -> None:
        """No more will be asked for: what was not has been skipped, and `why`."""

        def skip() -> None:
            self._state.stopping = self._state.stopping or why
            for cell in tuple(self._state.open.values()):
                if not self._workers.was_asked(cell.id):
                    self._finish(not_run(cell, self._state.stopping))

        self._post(skip)

    def interrupt(self, signal: str) -> None:
        """End the run, with the results so far. Called by a signal's handler."""
        self._state.interrupted = signal
        self._state.stopping = "interrupted"
        self._slots.cancel()
        told = Warned(text=f"{signal}: ending the machines (once more: leave at once)")
        self._post(partial(self._emit, told))  # not here: whom it interrupts may hold a lock

    def _result(self, seconds: float) -> RunResult:
        state = self._state
        why = "interrupted before it ended" if state.interrupted else "not run"
        cells = tuple(
            state.results.get(c.id) or with_gating(self._joined(c.id, not_run(c, why)), c)
            for c in self._plan.cells
        )
        verdict, exit_code = run_verdict(
            cells, state.interrupted, self._options.allow_unmet, self._options.fail_on_flaky
        )
        self._emit(
            RunFinished(
                verdict=verdict,
                exit_code=exit_code,
                seconds=round(seconds, 3),
                interrupted=state.interrupted,
            )
        )
        if not state.interrupted:
            self._job.opening.forget()
        return RunResult(
            run=self._folder.id,
            folder=self._folder.path,
            verdict=verdict,
            exit_code=exit_code,
            cells=cells,
            seconds=round(seconds, 3),
            interrupted=state.interrupted,
        )

    # --- what the workers tell (state.Loop) ------------------------------------------------

    def broke(self, error: BaseException) -> None:
        """See Loop."""

        def stop() -> None:
            raise error

        self._post(stop)

    def lost(self, why: str) -> None:
        """See Loop."""
        self._post(partial(self._give_up, why))

    def _give_up(self, why: str) -> None:
        """None of the cells that are left waits for the engine any more."""
        if not self._state.gone:
            self._state.gone = f"the engine is gone: {why}"
            for cell in tuple(self._state.open.values()):
                gone = EngineUnavailableError(self._state.gone, transient=False)
                self._finish(self._workers.error(cell, gone))

    def finish(self, result: CellResult, repeat: int = 0) -> None:
        """See Loop."""
        self._post(partial(self._finish, result, repeat))

    def _finish(self, result: CellResult, repeat: int = 0) -> None:
        if result.id not in self._state.open:
            return  # a worker that had been given up with its engine
        if not repeat:
            self._join(result.id, result)
            return
        runs = self._runs[result.id]
        if result.left_out:
            runs.give_up(repeat, result)
        else:
            runs.add(repeat, result)
            log = self._log(run_id(result.id, repeat))
            self._emit(RepeatFinished(result=result, repeat=repeat, log=log))
            self._fail_fast(result)
        if not runs.left:
            self._join(result.id)

    def _join(self, cell_id: str, rest: CellResult | None = None) -> None:
        """A cell has all its results: what do they say together? `rest` is that of a cell with
        one run, or says why there are no more."""

        def look() -> None:
            try:
                self._post(partial(self._close, self._joined(cell_id, rest)))
            except Exception as error:  # noqa: BLE001 - a cell's fault is no other's
                result = self._workers.error(self._cells[cell_id], error, 1)
                self._post(partial(self._close, result))
            except BaseException as error:  # noqa: BLE001 - told to the loop
                self.broke(error)

        if cell_id in self._runs and self._runs[cell_id].red:
            in_background(look)  # at reports, for some seconds where they are big
        else:
            self._close(self._joined(cell_id, rest))

    def _joined(self, cell_id: str, rest: CellResult | None) -> CellResult:
        if rest is not None and cell_id not in self._runs:
            return rest
        return join(self._runs[cell_id], self._folder.path, rest, self._workers.masker.mask)

    def _close(self, result: CellResult) -> None:
        if self._state.open.pop(result.id, None) is not None:
            self._record(result)
            self._fail_fast(result)

    def _fail_fast(self, result: CellResult) -> None:
        counts = result.verdict in BAD and not self._cells[result.id].not_gating
        if self._options.fail_fast and counts:
            self._stop(f"not run: --fail-fast, after {result.id} {result.verdict}")

    def stop(self, why: str) -> None:
        """Begin no more cells, and say why; what is under test ends by itself."""
        self._post(partial(self._stop, why))

    def _stop(self, why: str) -> None:
        if not self._state.stopping:
            self._state.stopping = why
            self._slots.cancel()  # those that wait
            self._workers.cancel_images()

    # --- results ---------------------------------------------------------------------------

    def _record(self, result: CellResult) -> None:
        result = with_gating(result, self._cells[result.id])
        self._state.results[result.id] = result
        self._emit(CellFinished(result=result, log=self._log(result.id)))

    def _log(self, run: str) -> str:
        log = self._folder.path / "cells" / run / "log.txt"
        return str(log.relative_to(self._folder.path)) if log.exists() else ""
