"""What is begun when: what is expected to take longest first, round by round where cells are
repeated, or what a seed says."""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from threading import Lock

from distromatrix.collect.retried import retry_folder
from distromatrix.images import layer_inputs
from distromatrix.model import Cell
from distromatrix.plan.needs import GUESTS
from distromatrix.record.repetitions import run_id


@dataclass(frozen=True, slots=True)
class Task:
    """One run of a cell; `repeat` counts from 1, and is 0 where the cell has only one.
    `image` is equal for tasks that share a prepared image; `retry`: the how many-th time that
    the cell is run again, after it failed."""

    cell: Cell
    repeat: int
    image: object
    retry: int = 0

    @property
    def in_guest(self) -> bool:
        """Whether its machine is a guest."""
        return self.cell.engine in GUESTS

    @property
    def id(self) -> str:
        """What stands for it: also its folder's path."""
        run = run_id(self.cell.id, self.repeat)
        return f"{run}/{retry_folder(self.retry)}" if self.retry else run


def in_order(
    cells: Iterable[Cell], repeat: int, seed: int | None, seconds: Mapping[str, float] | None = None
) -> tuple[Task, ...]:
    """All that is to be run. Each cell has its first run before any has its second, so that
    what is there after a while is as complete as it can be. In a round those come first that are
    expected to take longest, by `seconds`: begun last, they would run on alone; those alike stay
    in the plan's order. A seed shuffles each round instead; two cells come in the same order
    whichever others are selected."""
    expected = seconds or {}
    longest = sorted(cells, key=lambda cell: -expected.get(cell.id, 0.0))
    images = [(cell, image_of(cell)) for cell in longest]
    tasks = tuple(
        Task(cell, number, image)
        for number in (range(1, repeat + 1) if repeat > 1 else (0,))
        for cell, image in images
    )
    if seed is None:
        return tasks
    return tuple(sorted(tasks, key=lambda task: (task.repeat, _place(task, seed))))


def image_of(cell: Cell) -> object:
    """Equal for cells that share a prepared image: guests have more in theirs."""
    return layer_inputs(cell), cell.engine if cell.engine in GUESTS else ""


def _place(task: Task, seed: int) -> bytes:
    return sha256(f"{seed}/{task.id}".encode()).digest()


def by_image(tasks: Iterable[Task]) -> dict[object, tuple[Cell, ...]]:
    """The cells grouped by the prepared image that they share, in the tasks' order."""
    groups: dict[object, dict[str, Cell]] = {}
    for task in tasks:
        groups.setdefault(task.image, {})[task.cell.id] = task.cell
    return {image: tuple(cells.values()) for image, cells in groups.items()}


class Order:
    """Gives out the tasks whose images are there, the first of them first. `strict`: none
    before those that stand before it, even if it has to wait for their images: so a seed
    means the same whichever image is built sooner. `asked`: none that was not asked for.
    `guests`: for how many of these there is memory; more would wait, and keep all behind them
    waiting, so that containers come first, where there are any. For several threads."""

    def __init__(
        self, tasks: Sequence[Task], *, strict: bool, asked: bool = False, guests: int = 1
    ) -> None:
        self._tasks = tasks
        self._strict = strict
        self._guests = guests
        self._guests_out = 0
        self._owed = 0  # calls of `take` that gave nothing
        self._asked: set[str] | None = set() if asked else None
        self._unasked: list[int] = []
        self._next = 0  # of those that wait for their turn, where strict
        self._there: dict[object, bool] = {}  # image -> whether it could be had
        self._ready: dict[bool, list[int]] = {False: [], True: []}  # heaps: of guests, or not
        self._of: dict[object, list[int]] = {}  # image -> its tasks
        for number, task in enumerate(tasks):
            self._of.setdefault(task.image, []).append(number)
        self._lock = Lock()

    def settle(self, image: object, *, there: bool) -> int:
        """An image is there, or will never be: then its tasks are dropped. Returns how many
        more times `take` may be called."""
        with self._lock:
            self._there[image] = there
            its = self._of[image] if there else []
            new = list(self._turn()) if self._strict else its
            return self._push(new) + self._repay()

    def was_asked(self, cell: str) -> bool:
        """Whether a cell has been asked for."""
        with self._lock:
            return self._asked is None or cell in self._asked

    def ask(self, cell: str) -> int:
        """A cell is wanted now. Returns what `settle` does."""
        with self._lock:
            if self._asked is None:
                return 0
            self._asked.add(cell)
            waiting, self._unasked = self._unasked, []
            return self._push(waiting)

    def _push(self, numbers: Sequence[int]) -> int:
        """Those that may be taken now; the others wait until they are asked for."""
        may = [n for n in numbers if self._asked is None or self._tasks[n].cell.id in self._asked]
        self._unasked += [n for n in numbers if n not in may]
        for number in may:
            heapq.heappush(self._ready[self._tasks[number].in_guest], number)
        return len(may)

    def _turn(self) -> Iterable[int]:
        while self._next < len(self._tasks) and self._tasks[self._next].image in self._there:
            if self._there[self._tasks[self._next].image]:
                yield self._next
            self._next += 1

    def take(self) -> Task | None:
        """The next one, to be given back by `done`. None: a guest would only wait for memory,
        where a container may come yet; the call is given once more by `settle` or `done`."""
        with self._lock:
            containers, guests = self._ready[False], self._ready[True]
            guest = not containers or bool(guests and guests[0] < containers[0])
            if not self._strict and self._guests_out >= self._guests:
                if guest and not containers and len(self._there) < len(self._of):
                    self._owed += 1
                    return None
                guest = not containers
            self._guests_out += guest
            return self._tasks[heapq.heappop(self._ready[guest])]

    def done(self, task: Task) -> int:
        """A task has come to its end, however. Returns what `settle` does."""
        with self._lock:
            self._guests_out -= task.in_guest
            return self._repay()

    def _repay(self) -> int:
        owed, self._owed = self._owed, 0
        return owed
