"""The run of a session's cells: its folder, its journal, its reports."""

from __future__ import annotations

from collections.abc import Callable

from distromatrix.engines import Engines
from distromatrix.execute.job import Options
from distromatrix.execute.queue.slots import Slots
from distromatrix.files.whole import give_all_to_caller
from distromatrix.load.settings import Settings
from distromatrix.model import Plan, RunResult
from distromatrix.project.session import begin_run, job_of
from distromatrix.record.events import Event
from distromatrix.record.folder import RunFolder
from distromatrix.record.journal import Journal
from distromatrix.reports.files import write_reports
from distromatrix.testing.bench.on_demand import CellsOnDemand


class CellsRun:
    """The run of the cells: its folder, its journal, its reports."""

    def __init__(
        self,
        plan: Plan,
        engines: Engines,
        settings: Settings,
        folder: RunFolder,
        slots: Slots,
        options: Options,
        note: Callable[[Event], None],
    ) -> None:
        self.folder = folder
        self.ids = {cell.id for cell in plan.cells}
        self._plan = plan
        snapshot = begin_run(plan, folder)
        self._journal = Journal(folder.journal)

        def emit(event: Event) -> None:
            self._journal(event)
            note(event)

        job = job_of(plan, engines, settings, folder, snapshot, emit, options)
        self.cells: CellsOnDemand = CellsOnDemand(job, slots)

    def end(self, *, interrupted: bool) -> RunResult | None:
        """End it, and write what is made of its journal."""
        if interrupted:
            self.cells.interrupt()
        result = self.cells.end("pytest ended before it asked for this cell")
        if result is not None:
            write_reports(self.folder.path, self._plan, result)
            give_all_to_caller(self.folder.path)
        return result

    def close(self) -> None:
        """Close the journal."""
        self._journal.close()
