"""Who prints nothing for long: one thread that looks after all running commands at once."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from threading import Lock, Thread
from typing import Any, cast

from distromatrix.engines.contract import Command, Exit, Machine, OnOutput
from distromatrix.errors import InfrastructureError

SILENT_AFTER = 60.0  # seconds without output that are worth a word
AGAIN = 10.0  # seconds until the next word about the same silence
TICK = 1.0

Tell = Callable[[float, str], None]


class Watched:
    """A machine whose commands are looked after; in all else the machine that it is given."""

    def __init__(self, machine: Machine, tell: Tell, after: float) -> None:
        self._machine = machine
        self._after = after
        self.tell = tell
        self.silent = 0.0  # seconds
        self.due = after
        self.busy = False

    def __getattr__(self, name: str) -> Any:
        return getattr(self._machine, name)

    def run(self, command: Command) -> Exit:
        """See Machine."""
        errors = None if command.errors is None else self._hearing(command.errors)
        heard = replace(command, output=self._hearing(command.output), errors=errors)
        self._heard()
        self.busy = True
        try:
            return self._machine.run(heard)
        finally:
            self.busy = False

    def _hearing(self, handed: OnOutput | None) -> OnOutput:
        def hear(data: bytes) -> None:
            self._heard()
            if handed is not None:
                handed(data)

        return hear

    def _heard(self) -> None:
        self.silent, self.due = 0.0, self._after


class Watch:
    """Tells of commands that have printed nothing for `after` seconds, and again every AGAIN
    seconds. Its thread lives as long as there is something to look after."""

    def __init__(self, after: float = SILENT_AFTER) -> None:
        self._after = after
        self._tick = min(TICK, after / 2)
        self._all: list[Watched] = []
        self._lock = Lock()
        self._alive = False

    @contextmanager
    def over(self, machine: Machine, tell: Tell) -> Iterator[Machine]:
        """Look after a machine. `tell` is called, from the watch's thread and never after the
        end of the block, with the seconds of silence and what is running."""
        watched = Watched(machine, tell, self._after)
        with self._lock:
            self._all.append(watched)
            if not self._alive:
                self._alive = True
                Thread(target=self._look, name="watch", daemon=True).start()
        try:
            yield cast("Machine", watched)
        finally:
            with self._lock:
                self._all.remove(watched)

    def _look(self) -> None:
        while True:
            before = time.monotonic()
            time.sleep(self._tick)
            # Counted and not measured: who was stopped and continued (^Z) has missed nothing.
            passed = min(time.monotonic() - before, 2 * self._tick)
            with self._lock:
                if not self._all:
                    self._alive = False
                    return
                silent = [w for w in self._all if w.busy and _counted(w, passed)]
            for watched in silent:
                self._say(watched)

    def _say(self, watched: Watched) -> None:
        began = time.monotonic()
        command = watched.running()  # may take some seconds; nobody waits for it meanwhile
        with self._lock, suppress(InfrastructureError):
            if watched.busy and watched.silent >= watched.due:
                seconds = watched.silent + time.monotonic() - began
                watched.due = watched.silent + AGAIN
                watched.tell(seconds, command)


def _counted(watched: Watched, passed: float) -> bool:
    watched.silent += passed
    return watched.silent >= watched.due
