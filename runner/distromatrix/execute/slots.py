"""How much may run at once: what cells declare, against what the machine has."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from threading import Condition
from typing import Protocol

MEMORY_SHARE = 0.9  # of the engine's memory may be promised to cells


class Load(Protocol):
    """What takes a place: a cell, or a test with its machines."""

    @property
    def cpus(self) -> float:
        """How many it needs."""
        ...

    @property
    def memory(self) -> int:
        """Bytes that it needs."""
        ...


class Cancelled(Exception):  # noqa: N818 - no error: the run is ending
    """Raised in a waiting worker when the run ends early."""


@dataclass(slots=True)
class Turn:
    """A cell's leave to have its machine opened, until it has a place (`hold`)."""

    slots: Slots
    waits: bool = True

    def hold(self, cell: Load) -> AbstractContextManager[None]:
        """See Slots.hold."""
        return self.slots.hold(cell, self)


class Slots:
    """Places for cells under test, handed out in the order in which they were asked for.

    `jobs` bounds how many; None leaves that to the cells' cpus. Memory is always bounded.
    A cell that declares more than there is runs alone.
    """

    def __init__(self, jobs: int | None, cpus: float, memory: int) -> None:
        self._jobs = jobs
        self._cpus = cpus
        self._memory = memory * MEMORY_SHARE
        self._taken: list[Load] = []
        self._queue: deque[object] = deque()
        self._turns: deque[object] = deque()  # tickets, in the order in which they were drawn
        self._changed = Condition()  # its lock is reentrant
        self._cancelled = False
        self._most = 1
        self._opening = 0  # machines that are opened, or being opened, for cells without a place

    def most_of(self, cells: Sequence[Load]) -> int:
        """The most of these cells that can be under test at once; at least 1."""
        least = min((c.cpus for c in cells), default=1.0)
        most = self._jobs or int(self._cpus / max(least, 0.01))
        self._most = max(1, min(most, len(cells)))
        return self._most

    def ticket(self) -> object:
        """A ticket for `turn`: those that were drawn before come before. `drop` it."""
        ticket = object()
        with self._changed:
            self._turns.append(ticket)
        return ticket

    def drop(self, ticket: object) -> None:
        """Let those behind a ticket go on. It may have been served long ago."""
        with self._changed:
            if ticket in self._turns:
                self._turns.remove(ticket)
                self._changed.notify_all()

    @contextmanager
    def turn(self, ticket: object | None = None) -> Iterator[Turn]:
        """Wait until it is worth opening a machine: one for each place that is free, and
        `ahead` more while all are taken; more would only slow each other down. A ticket that
        was served before goes to the end. Raises Cancelled."""
        ticket = ticket or object()
        with self._changed:
            if ticket not in self._turns:
                self._turns.append(ticket)
            self._changed.wait_for(
                lambda: (
                    self._cancelled or (self._turns[0] is ticket and self._opening < self._wanted())
                )
            )
            self._turns.remove(ticket)
            self._changed.notify_all()
            if self._cancelled:
                raise Cancelled
            self._opening += 1
        turn = Turn(self)
        try:
            yield turn
        finally:
            self._opened(turn)

    def _opened(self, turn: Turn) -> None:
        with self._changed:
            if turn.waits:
                turn.waits = False
                self._opening -= 1
                self._changed.notify_all()

    @property
    def ahead(self) -> int:
        """Machines that are opened while all places are taken."""
        return max(1, self._most // 2)

    def _wanted(self) -> int:
        return max(self.ahead, self._most - len(self._taken))

    @contextmanager
    def hold(self, cell: Load, turn: Turn | None = None) -> Iterator[None]:
        """Wait for a place, hold it, give it back. Raises Cancelled."""
        ticket = object()
        with self._changed:
            self._queue.append(ticket)
            self._changed.wait_for(
                lambda: self._cancelled or (self._queue[0] is ticket and self._fits(cell))
            )
            self._queue.remove(ticket)
            if self._cancelled:
                self._changed.notify_all()
                raise Cancelled
            self._taken.append(cell)
            if turn is not None:
                self._opened(turn)
            self._changed.notify_all()
        try:
            yield
        finally:
            with self._changed:
                self._taken.remove(cell)
                self._changed.notify_all()

    def cancel(self) -> None:
        """Let everyone who waits go with Cancelled."""
        with self._changed:
            self._cancelled = True
            self._changed.notify_all()

    def _fits(self, cell: Load) -> bool:
        if not self._taken:
            return True
        if sum(c.memory for c in self._taken) + cell.memory > self._memory:
            return False
        if self._jobs is not None:
            return len(self._taken) < self._jobs
        return sum(c.cpus for c in self._taken) + cell.cpus <= self._cpus
