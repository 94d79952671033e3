"""The bench in the process that pytest was started in: what makes and ends everything."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from threading import Lock, RLock, Thread
from typing import TYPE_CHECKING

from distromatrix.errors import (
    CellSkippedError,
    DistromatrixError,
    InfrastructureError,
    InputError,
    SetupFailedError,
)
from distromatrix.model import Cell, Distro, Plan, RunResult
from distromatrix.plan.needs import version_meets
from distromatrix.record.events import Event, ImageProgress
from distromatrix.testing.contract import CellReport, MachineRequest

if TYPE_CHECKING:
    from distromatrix.engines import Engines
    from distromatrix.engines.contract import Address
    from distromatrix.execute.product.snapshot import Snapshot
    from distromatrix.execute.queue.slots import Slots
    from distromatrix.load.settings import Settings
    from distromatrix.record.history import Outcomes
    from distromatrix.testing.bench.machines import Machines
    from distromatrix.testing.bench.on_demand import CellsOnDemand


@dataclass(slots=True)
class _Held:
    """What one test has: its place, and its fresh machines."""

    place: ExitStack = field(default_factory=ExitStack)
    fresh: list[str] = field(default_factory=list)


class DirectBench:
    """See Bench. `plan` is that of all cells of the session's matrix, or one without cells
    where there is no matrix; `distros` are all that a name may stand for; `progress` is told
    what is done about images. The engine is opened by the first `expect`.

    Besides Bench: `worker_gone`, `interrupt`, `end`.
    """

    def __init__(
        self,
        *,
        plan: Plan,
        settings: Settings,
        distros: Callable[[], tuple[Distro, ...]],
        command: str = "pytest",
        keep: str = "never",
        progress: Callable[[str], None] = lambda _: None,
    ) -> None:
        from distromatrix.execute.job import Options

        self.folder: Path | None = None  # of the run, once cells were expected
        self.warning = ""  # at its end
        self._plan = plan
        self._settings = settings
        self._distros = distros
        self._options = Options(command=command, keep=keep)
        self._progress = progress
        self._beginning = RLock()
        self._closing = ExitStack()
        self._engines: Engines | None = None
        self._refused: DistromatrixError | None = None
        self._slots: Slots | None = None
        self._run: CellsOnDemand | None = None
        self._remember: Callable[[RunResult, Outcomes], str] | None = None
        self._machines: Machines | None = None
        self._held: dict[str, _Held] = {}
        self._gone: set[str] = set()  # workers
        self._lock = Lock()
        self._result: RunResult | None = None
        self._interrupted = False
        self._ended = False

    # --- Bench -----------------------------------------------------------------------------

    def expect(self, cells: tuple[str, ...], *, machines: bool) -> None:
        """See Bench."""
        from distromatrix.project.project import restrict
        from distromatrix.trust import require

        wanted = {cell.id for cell in self._plan.cells if cell.engine is not None} & set(cells)
        if not wanted and not machines:
            return
        with self._beginning:
            if self._refused is not None:
                raise self._refused
            try:
                require(self._plan if machines else restrict(self._plan, set(cells), ""))
                if machines:
                    self._opened()
                if wanted and self._run is None:
                    self._run = self._begun(self._hosts(), cells)
            except DistromatrixError as error:
                self._refused = error
                raise

    def run_cell(self, cell: str, test: str) -> CellReport:
        """See Bench. Raises InputError for a cell that was not expected."""
        from distromatrix.reports.commands import run_again

        with self._beginning:
            self._check()
            if self._run is None:
                self.expect((cell,), machines=False)
            run = self._run
        if run is None or cell not in run:
            raise InputError(f"{cell}: not a cell of this session")
        self._check(test)
        result = run.run(cell)
        folder = run.folder / "cells" / cell
        expected = next((c.expect_fail for c in self._plan.cells if c.id == cell), ())
        return CellReport(
            result=result,
            folder=folder,
            again=run_again(self._plan, [cell]),
            expected=expected,
            told_by=run.faults.told_by(result),
        )

    def machine(self, want: MachineRequest, test: str) -> Address:
        """See Bench. Raises CellSkippedError, SetupFailedError."""
        distro, cell = self._wanted(want)
        machines = self._had_machines()
        self._place(cell, test)
        address = machines.shared(str(want), distro, cell)
        _check_kernel(machines, want, address.name)
        return address

    def fresh(self, want: MachineRequest, test: str) -> Address:
        """See Bench. Raises CellSkippedError, SetupFailedError."""
        distro, cell = self._wanted(want)
        machines = self._had_machines()
        held = self._place(cell, test)
        address = machines.fresh(distro, cell)
        with self._lock:
            mine = self._held.get(test) is held
            held.fresh.append(address.name)
        if not mine:  # its worker died meanwhile
            machines.give_back(address.name)
        _check_kernel(machines, want, address.name)
        return address

    def reboot(self, name: str, test: str) -> int:
        """See Bench."""
        self._check(test)
        return self._had_machines().reboot(name)

    def done(self, test: str) -> None:
        """See Bench."""
        with self._lock:
            held = self._held.pop(test, None)
        if held is not None:
            held.place.close()
            for name in held.fresh:
                if self._machines is not None:
                    self._machines.give_back(name)

    # --- for whoever owns it ---------------------------------------------------------------

    def worker_gone(self, worker: str) -> None:
        """A worker has ended, however: what its tests held is given back. Never raises."""
        with self._lock:
            self._gone.add(worker)
            tests = [test for test in self._held if test.partition(" ")[0] == worker]
        for test in tests:
            self.done(test)

    def interrupt(self) -> None:
        """End what runs; who waits is told. Returns at once; never raises."""
        self._interrupted = True
        if self._slots is not None:
            self._slots.cancel()
        if self._run is not None:
            self._run.interrupt()

    def end(self) -> RunResult | None:
        """End everything within seconds, and write the run's reports, where cells ran. May be
        called twice; never raises but for a report that cannot be written."""
        with self._beginning:
            if self._ended:
                return self._result
            self._ended = True
        machines = self._machines
        ending = Thread(target=machines.end if machines else lambda: None, daemon=True)
        ending.start()
        try:
            if self._run is not None:
                self._result = self._reported(self._run)
        finally:
            ending.join(30.0)
            with suppress(DistromatrixError, OSError):
                self._closing.close()
        return self._result

    def _reported(self, run: CellsOnDemand) -> RunResult | None:
        from distromatrix.files.whole import give_all_to_caller
        from distromatrix.reports.files import write_reports

        if self._interrupted:
            run.interrupt()
        result = run.end("pytest ended before it asked for this cell")
        if result is not None:
            written = write_reports(run.folder, run.plan, result)
            give_all_to_caller(run.folder)
            if self._remember is not None:
                self.warning = self._remember(result, written.outcomes)
        return result

    # --- beginning -------------------------------------------------------------------------

    def _check(self, test: str = "") -> None:
        gone = test.partition(" ")[0] in self._gone
        if self._ended or self._interrupted or gone:
            raise InfrastructureError("the session has ended", transient=False)

    def _opened(self) -> Engines:
        self._check()
        if self._engines is None:
            from distromatrix.execute.queue.memory import free_memory
            from distromatrix.execute.queue.slots import Slots
            from distromatrix.execute.sweep import sweep
            from distromatrix.execute.threads import in_background
            from distromatrix.project.session import bound_caches, opened_engines

            engines = self._closing.enter_context(opened_engines(self._settings))
            self._closing.callback(bound_caches, engines.containers, self._settings, self._plan)
            facts = engines.containers.facts()
            self._slots = Slots(None, facts.cpus, facts.memory, free_memory())
            self._engines = engines
            in_background(
                lambda: sweep(engines.containers, room=self._settings.keep_products)
            )  # what it cannot, the next one will
        return self._engines

    def _hosts(self) -> Engines:
        """What runs cells: the user's cluster, where there is one."""
        if not self._settings.cluster:
            return self._opened()
        from distromatrix.cluster.connection import cluster_of
        from distromatrix.cluster.team import engines_of

        self._check()
        if self._options.keep != "never":
            raise InputError(
                "--distromatrix-keep: machines on a cluster's hosts cannot be entered from here"
            )
        opened = cluster_of(self._settings, lambda _: None)  # told when cells were collected
        return engines_of(self._closing.enter_context(opened))

    def _begun(self, engines: Engines, cells: tuple[str, ...]) -> CellsOnDemand:
        from distromatrix.execute.queue.slots import Slots
        from distromatrix.project.project import restrict
        from distromatrix.project.session import begin_run, job_of, require_images
        from distromatrix.record.folder import RunFolder
        from distromatrix.record.history import History
        from distromatrix.record.journal import Journal
        from distromatrix.testing.bench.on_demand import CellsOnDemand

        plan = restrict(self._plan, set(cells), "not selected in this session of pytest")
        slots = self._slots or Slots(1, 1, 1)  # the hosts of a cluster have their own
        if not self._settings.cluster:
            require_images(engines.containers, self._settings, plan)
        folder = self._closing.enter_context(RunFolder.create(plan.root))
        self.folder = folder.path
        history = History.of(plan.root, plan.matrix)
        stamp = history.stamp(folder.id, plan.product.path)
        self._remember = lambda result, outcomes: history.add(stamp, result.cells, outcomes)
        snapshot = begin_run(plan, folder, engines.containers)
        journal = self._closing.enter_context(Journal(folder.journal))

        def emit(event: Event) -> None:
            journal(event)
            self._note(event)

        job = job_of(plan, engines, self._settings, folder, snapshot, emit, self._options)
        return CellsOnDemand(job, slots)

    def _note(self, event: Event) -> None:
        if isinstance(event, ImageProgress):
            self._progress(f"{event.distro}: {event.text}")

    def _had_machines(self) -> Machines:
        with self._beginning:
            if self._refused is not None:
                raise self._refused
            engines = self._opened()
            if self._machines is None:
                self._machines = self._made(engines)
            return self._machines

    def _made(self, engines: Engines) -> Machines:
        from distromatrix.execute.product.snapshot import take
        from distromatrix.project.session import keeper_of, opening_of
        from distromatrix.record.folder import SESSIONS, RunFolder, remove_dead, remove_folder
        from distromatrix.testing.bench.machines import Machines, Once
        from distromatrix.trust import require

        plan = self._plan
        require(plan)
        remove_dead(plan.root, SESSIONS)
        folder = self._closing.enter_context(RunFolder.create(plan.root, kind=SESSIONS))
        self._closing.callback(remove_folder, folder.path)
        taken: Once[str, Snapshot] = Once()

        def snapshot() -> Snapshot:
            return taken.get("", had)

        def had() -> Snapshot:
            keeper = keeper_of(plan, engines.containers, folder)
            return take(plan.product, folder.snapshot, keeper=keeper)

        opening = opening_of(plan, engines, self._settings, folder, snapshot, self._note)
        return Machines(opening, folder.path, self._progress)

    # --- machines --------------------------------------------------------------------------

    def _wanted(self, want: MachineRequest) -> tuple[Distro, Cell]:
        """What the machine is of. Raises InputError, CellSkippedError, and SetupFailedError where
        nothing here is such a machine."""
        if want.refused:
            raise SetupFailedError(f"{want}: {want.refused}")
        if want.suite:
            for cell in self._plan.cells:
                if cell.id == want.cell:
                    if cell.engine is None and not (want.engine and cell.unmet):
                        raise CellSkippedError(cell.reason)
                    engine = want.engine or cell.engine
                    return self._plan.distro(want.distro), replace(cell, engine=engine)
            raise InputError(f"{want}: the matrix has no such cell")
        distro = self._distro(want.distro)
        engine = want.engine or self._settings.engine
        return distro, Cell(
            id=distro.name, distro=distro.name, suite="", engine=engine, reason="", run=":"
        )

    def _distro(self, name: str) -> Distro:
        """That of the matrix, else the catalogue's, which is read when it is first needed:
        tests ask each time they use a machine. Raises InputError."""
        from distromatrix.trust import require

        with suppress(KeyError):
            return self._plan.distro(name)
        if name not in self._catalogue:
            raise InputError(f"{name}: no such distro")
        distro = self._catalogue[name]
        require(replace(self._plan, cells=(), distros=(distro,)))
        return distro

    @cached_property
    def _catalogue(self) -> dict[str, Distro]:
        return {distro.name: distro for distro in self._distros()}

    def _place(self, cell: Cell, test: str) -> _Held:
        """The place of a test, waited for where it has none yet."""
        from distromatrix.execute.queue.slots import Cancelled

        with self._lock:
            held = self._held.get(test)
        if held is not None:
            return held
        self._check(test)
        assert self._slots is not None  # noqa: S101  # made with the engine
        held = _Held()
        try:
            held.place.enter_context(self._slots.hold(cell))
        except Cancelled:
            raise InfrastructureError("the session has ended", transient=False) from None
        with self._lock:
            late = test.partition(" ")[0] in self._gone
            other = None if late else self._held.setdefault(test, held)
        if other is not held:  # two threads of one test asked at once, or its worker died
            held.place.close()
        if other is None:
            raise InfrastructureError("the test's worker has died", transient=False)
        return other


def _check_kernel(machines: Machines, want: MachineRequest, name: str) -> None:
    """See that its kernel is one that its tests need. Raises SetupFailedError."""
    if want.versions:
        release = machines.kernel(name)
        lacking = [str(need) for need in want.versions if not version_meets(need.version, release)]
        if lacking:
            text = f"{want}: needs {', '.join(lacking)}, and its kernel is {release}"
            raise SetupFailedError(text)
