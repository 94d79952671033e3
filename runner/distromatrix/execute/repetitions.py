"""The runs of cells that are run several times, while they come in."""

from __future__ import annotations

from collections.abc import Callable

from distromatrix.collect.tally import join
from distromatrix.execute.job import Job
from distromatrix.execute.queue.order import Task
from distromatrix.model import CellResult
from distromatrix.record.repetitions import Runs


class Repeats:
    """Empty where each cell has only one run."""

    def __init__(self, job: Job) -> None:
        self._folder = job.folder.path
        done = {result.id for result in job.options.done}
        self._runs: dict[str, Runs] = {}
        if job.plan.repeat > 1:
            self._runs = {
                c.id: Runs(c.id, job.plan.repeat)
                for c in job.plan.cells
                if c.engine is not None and c.id not in done
            }
        for repeat, result in job.options.repeated:
            if result.id in self._runs:
                self.add(result, repeat)

    def missing(self, tasks: tuple[Task, ...]) -> tuple[Task, ...]:
        """Those of the tasks that are not done yet."""
        return tuple(
            task
            for task in tasks
            if not task.repeat or task.repeat in self._runs[task.cell.id].left
        )

    def add(self, result: CellResult, repeat: int) -> None:
        """One run has come to its end."""
        self._runs[result.id].add(repeat, result)

    def give_up(self, result: CellResult, repeat: int) -> None:
        """One run will not be made; `result` says why."""
        self._runs[result.id].give_up(repeat, result)

    def complete(self, cell: str) -> bool:
        """Whether no more runs of it are to come."""
        return cell in self._runs and not self._runs[cell].left

    def needs_a_look(self, cell: str) -> bool:
        """Whether `joined` will have to read reports."""
        return cell in self._runs and bool(self._runs[cell].red)

    def joined(self, cell: str, rest: CellResult | None, mask: Callable[[str], str]) -> CellResult:
        """What the runs of a cell say together, with `rest` for those that are missing; that
        itself where it has only one run. Reads the reports of the runs."""
        runs = self._runs.get(cell)
        if runs is None:
            assert rest is not None  # noqa: S101 - for the type checker
            return rest
        return join(runs, self._folder, rest, mask)
