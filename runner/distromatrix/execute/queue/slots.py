"""How much may run at once: what cells declare, against what the machine has."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from threading import Condition
from typing import Protocol

MEMORY_SHARE = 0.9  # of the engine's memory may be promised to cells


class Load(Protocol):
    """What takes a place: a cell, or a test with its machines."""

    @property
    def cpus(self) -> float:
        """How many it needs."""

    @property
    def memory(self) -> int:
        """Bytes that it needs."""


class Cancelled(Exception):  # noqa: N818 - no error: the run is ending
    """Raised in a waiting worker when the run ends early."""


@dataclass(slots=True, eq=False)
class Turn:
    """A cell's leave to have its machine opened, until it has a place (`hold`). `memory`: bytes
    that are its machine's from here on, until that is closed (`give_back`)."""

    memory: int = 0
    waits: bool = True
    open: bool = False  # there is a machine, whose end gives its memory back
    kept: bool = False


@dataclass(slots=True, eq=False)
class _Place:
    """A place, or the wait for one."""

    load: Load
    turn: Turn | None

    @property
    def memory(self) -> int:
        """Bytes that it takes, but for those that are its turn's already."""
        return 0 if self.turn is not None and self.turn.memory else self.load.memory


class Slots:
    """Places for cells under test, handed out in the order in which they were asked for.

    `jobs` bounds how many; None leaves that to the cells' cpus. Memory is always bounded.
    A cell that declares more than there is runs alone.

    A container takes its memory when it is under test; before and after, it is next to nothing.
    A guest takes it from the moment in which it is opened to that in which it is gone. All guests
    together get no more than `guests` bytes.
    """

    def __init__(
        self, jobs: int | None, cpus: float, memory: int, guests: int | None = None
    ) -> None:
        self._jobs = jobs
        self._cpus = cpus
        self._memory = memory * MEMORY_SHARE
        self._guests = self._memory if guests is None else guests * MEMORY_SHARE
        self._taken: list[_Place] = []
        self._queue: deque[_Place] = deque()
        self._reserved: list[Turn] = []  # turns with memory, of guests
        self._turns: deque[object] = deque()  # tickets, in the order in which they were drawn
        self._changed = Condition()  # its lock is reentrant
        self._cancelled = False
        self._most = 1
        self._opening = 0  # machines that are opened, or being opened, for cells without a place

    def most_of(self, cells: Sequence[Load]) -> int:
        """The most of these cells that can be under test at once; at least 1."""
        least = min((c.cpus for c in cells), default=1.0)
        most = self._jobs or int(self._cpus / max(least, 0.01))
        fit = int(self._memory // max(min((c.memory for c in cells), default=1), 1))
        self._most = max(1, min(most, fit, len(cells)))
        return self._most

    def guests_of(self, cells: Sequence[Load]) -> int:
        """How many of these cells have memory at once, each in a guest; at least 1."""
        most = max((c.memory for c in cells), default=1)
        return max(1, int(min(self._guests, self._memory) // max(most, 1)))

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
    def turn(self, ticket: object | None = None, guest: Load | None = None) -> Iterator[Turn]:
        """Wait until it is worth opening a machine: one for each place that is free, and
        `ahead` more while all are taken; more would only slow each other down. A `guest` waits
        until there is memory for it, too. A ticket that was served before goes to the end.
        Raises Cancelled."""
        ticket = ticket or object()
        with self._changed:
            if ticket not in self._turns:
                self._turns.append(ticket)
            self._changed.wait_for(
                lambda: (
                    self._cancelled
                    or (
                        self._turns[0] is ticket
                        and self._opening < self._wanted()
                        and self._has_room(guest)
                    )
                )
            )
            self._turns.remove(ticket)
            self._changed.notify_all()
            if self._cancelled:
                raise Cancelled
            self._opening += 1
            turn = Turn(memory=guest.memory if guest else 0)
            if turn.memory:
                self._reserved.append(turn)
        try:
            yield turn
        finally:
            self._opened(turn)
            if not turn.open:
                self.give_back(turn)

    def give_back(self, turn: Turn) -> None:
        """The machine of a turn is closed. One that is `kept` runs on: its memory stays its own,
        and nobody waits for it."""
        with self._changed:
            if turn in self._reserved and not turn.kept:
                self._reserved.remove(turn)
            self._changed.notify_all()

    def _has_room(self, guest: Load | None) -> bool:
        """Whether a guest can be opened beside all that is under test, or waits for that. Where
        there is nothing else, it can."""
        if guest is None:
            return True
        guests = sum(turn.memory for turn in self._reserved)
        if all(turn.kept for turn in self._reserved):
            if not self._taken and not self._queue:
                return True
        elif guests + guest.memory > self._guests:
            return False
        others = sum(place.memory for place in (*self._taken, *self._queue))
        return others + guests + guest.memory <= self._memory

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
        place = _Place(cell, turn)
        with self._changed:
            self._queue.append(place)
            self._changed.wait_for(lambda: self._cancelled or self._next() is place)
            self._queue.remove(place)
            if self._cancelled:
                self._changed.notify_all()
                raise Cancelled
            self._taken.append(place)
            if turn is not None:
                self._opened(turn)
            self._changed.notify_all()
        try:
            yield
        finally:
            with self._changed:
                self._taken.remove(place)
                self._changed.notify_all()

    def cancel(self) -> None:
        """Let everyone who waits go with Cancelled."""
        with self._changed:
            self._cancelled = True
            self._changed.notify_all()

    def _next(self) -> _Place | None:
        """Who gets a place now: the first who waits, or, where that one waits for the memory of
        guests that wait behind it, the first of these."""
        first = self._queue[0]
        if not self._memory_for(first):
            guests = (p for p in self._queue if p.turn in self._reserved)
            first = next(guests, first)
        return first if self._memory_for(first) and self._fits(first.load) else None

    def _memory_for(self, place: _Place) -> bool:
        if not place.memory or (not self._taken and all(turn.kept for turn in self._reserved)):
            return True
        guests = sum(turn.memory for turn in self._reserved)
        return sum(p.memory for p in self._taken) + guests + place.memory <= self._memory

    def _fits(self, cell: Load) -> bool:
        if not self._taken:
            return True
        if self._jobs is not None:
            return len(self._taken) < self._jobs
        return sum(place.load.cpus for place in self._taken) + cell.cpus <= self._cpus
