"""Whether the engine still answers, asked beside the work.

Who waits for the output of a long test does not notice that its engine is frozen, or out of
reach without a word; whoever has asked it something does, but no sooner than that call's own
deadline.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from threading import Event, Thread

from distromatrix.errors import InfrastructureError

BEAT = 5.0  # seconds between two questions


class Pulse:
    """Asks again and again, in a thread of its own, until it is stopped."""

    def __init__(self, ask: Callable[[], object]) -> None:
        self._ask = ask
        self._silent = 0.0
        self._stopped = Event()
        Thread(target=self._listen, name="pulse", daemon=True).start()

    def tick(self, seconds: float) -> float:
        """Count so many seconds more; the seconds without an answer. They are counted and not
        measured: a run that was stopped and continued (^Z) has missed none."""
        self._silent += seconds
        return self._silent

    def stop(self) -> None:
        """Ask no more."""
        self._stopped.set()

    def _listen(self) -> None:
        while not self._stopped.wait(BEAT):
            with suppress(InfrastructureError):
                self._ask()
                self._silent = 0.0
