"""What of a job's cells is left to be done, where they are carried out elsewhere and hosts may be
lost: what one had begun is begun again on another."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence

from distromatrix.execute.queue.order import Task
from distromatrix.model import Cell, CellResult


class Left:
    """Of the `tasks` and of what was `repeated` before, as in Options. Not thread-safe."""

    def __init__(
        self, tasks: Sequence[Task], repeated: Iterable[tuple[int, CellResult]], retries: int
    ) -> None:
        self.cells = {task.cell.id: task.cell for task in tasks}
        self._runs: dict[str, set[int]] = defaultdict(set)
        for task in tasks:
            self._runs[task.cell.id].add(task.repeat)
        self._repeated: dict[str, list[tuple[int, CellResult]]] = defaultdict(list)
        for number, one in repeated:
            self._repeated[one.id].append((number, one))
        self._retries = retries
        self._lost: dict[str, int] = defaultdict(int)

    def of(self, ids: Iterable[str]) -> list[Cell]:
        """Those of the cells that are not done."""
        return [self.cells[one] for one in ids if self._runs[one]]

    def has(self, cell: str, repeat: int) -> bool:
        """Whether that run of a cell is not done."""
        return repeat in self._runs.get(cell, ())

    def repeated(self, ids: Iterable[str]) -> tuple[tuple[int, CellResult], ...]:
        """The repetitions of the cells that are done."""
        return tuple(one for cell in ids for one in self._repeated.get(cell, ()))

    def done(self, result: CellResult, repeat: int) -> None:
        """A run of a cell is done."""
        self._runs[result.id].discard(repeat)
        if repeat:
            self._repeated[result.id].append((repeat, result))

    def drop(self, cell: str) -> None:
        """No more of it will be done."""
        self._runs[cell].clear()

    def attempts(self, cell: str) -> int:
        """How often it was begun in vain."""
        return self._lost[cell]

    def lose(self, ids: Iterable[str]) -> list[Cell]:
        """These had begun, and their host is lost. Returns those for which it was once too
        often."""
        cells = self.of(ids)
        for cell in cells:
            self._lost[cell.id] += 1
        return [cell for cell in cells if self._lost[cell.id] > self._retries]
