"""What cells write to their engine's disk: looked at from outside while they run, and at their end;
a machine that holds more than its cell's `disk:` is ended."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from threading import Lock, Thread

from distromatrix.engines.contract import Machine
from distromatrix.record.verdicts import size_of

TICK = 1.0  # seconds
# Seconds from one look at a machine to the next: so many times what it took, within these.
_TIMES, _LEAST, _MOST = 50, 1.0, 10.0
_SPEED = 8 * 1024**3  # bytes a second: more is written to no disk
_SILENT = 5  # looks that say nothing, after which a machine is not looked after any more


class Allowance:
    """One machine's. `over`: what is said of it once it was ended, or ''."""

    def __init__(self, machine: Machine, limit: int) -> None:
        self.over = ""
        self.silent = 0  # so many looks have said nothing
        self._machine, self._limit = machine, limit
        self._lock = Lock()
        self._used, self._seen = 0, time.monotonic()
        self._due = self._seen + _LEAST

    def look(self, *, last: bool = False) -> None:
        """Measure where that is due: the `last` time, where there was time to write too much."""
        with self._lock:
            now = time.monotonic()
            soon = self._seen + (self._limit - self._used) / _SPEED
            if self.over or now < (soon if last else self._due):
                return
            used = self._machine.disk_used()
            took = time.monotonic() - now
            self.silent = 0 if used is not None else self.silent + 1
            self._used, self._seen = used or 0, now
            self._due = now + took + min(_MOST, max(_LEAST, _TIMES * took))
            if self._used > self._limit:
                self.over = f"wrote more than its disk: {size_of(self._limit)}"
                self._machine.kill(self.over)


class DiskWatch:
    """Looks after all machines of a run, in one thread that lives as long as there are any."""

    def __init__(self) -> None:
        self._all: list[Allowance] = []
        self._lock = Lock()
        self._alive = False

    def add(self, machine: Machine, limit: int) -> Allowance:
        """Look after a machine, which may write `limit` bytes, for as long as it can be seen."""
        allowance = Allowance(machine, limit)
        with self._lock:
            self._all.append(allowance)
            if not self._alive:
                self._alive = True
                Thread(target=self._look, name="disks", daemon=True).start()
        return allowance

    @contextmanager
    def over(self, machine: Machine, limit: int) -> Iterator[Allowance]:
        """The same, for as long as the block lasts."""
        allowance = self.add(machine, limit)
        try:
            yield allowance
        finally:
            with self._lock, suppress(ValueError):
                self._all.remove(allowance)

    def _look(self) -> None:
        while True:
            time.sleep(TICK)
            with self._lock:
                self._all = [one for one in self._all if one.silent < _SILENT]
                there = tuple(self._all)
                if not there:
                    self._alive = False
                    return
            for allowance in there:
                allowance.look()
