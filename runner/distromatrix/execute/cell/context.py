"""What all cells of a run share."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from distromatrix.collect.log import CellLog, Masker
from distromatrix.collect.text import printable
from distromatrix.engines.contract import Machine, Stage
from distromatrix.engines.silence import Watch
from distromatrix.execute.cell.disk_watch import DiskWatch
from distromatrix.execute.cell.export import Exporter
from distromatrix.execute.job import Job
from distromatrix.execute.queue.order import Task
from distromatrix.execute.queue.slots import Slots, Turn
from distromatrix.images import Prepared
from distromatrix.model import BAD, CellResult
from distromatrix.record.events import CellProgress, CellSilent

OURS = "--- "  # begins the lines of a log that are not the suite's


@dataclass(frozen=True, slots=True, kw_only=True)
class CellContext:
    """What all cells of a run share."""

    job: Job
    slots: Slots
    masker: Masker
    watch: Watch
    disks: DiskWatch
    opened: Callable[[Machine], None]
    exporter: Exporter
    close: Callable[[Machine, Turn], None]  # later, and with it its turn comes to its end
    stage: Callable[[Prepared, str | None], Stage]  # the product, on the engine of that name
    case_needs: bool = False  # the product's cases say what they need
    fixtures: frozenset[str] | None = None  # of ours, that they ask for (python_says)
    callers: frozenset[str] = frozenset()  # variables that are not empty where the user is

    def keeps(self, result: CellResult) -> bool:
        """Whether the machine of a cell that ended so is to stay."""
        keep = self.job.options.keep
        return keep == "always" or (keep == "failed" and result.verdict in BAD)

    def tell(self, task: Task, what: str) -> None:
        """Say what is done for a cell's guest."""
        self.job.emit(CellProgress(cell=task.cell.id, repeat=task.repeat, text=what))

    def silent(self, task: Task, log: CellLog, seconds: float, command: str) -> None:
        """Say that a cell has printed nothing for so long."""
        line = "".join(log.tail(1))
        self.job.emit(
            CellSilent(
                cell=task.cell.id,
                repeat=task.repeat,
                seconds=round(seconds, 1),
                line="" if line.startswith(OURS) else line,
                command=printable(self.masker.mask(command)),
            )
        )
