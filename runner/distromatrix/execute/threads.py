"""Daemon threads that take work from a queue.

Not `concurrent.futures`: its threads are joined when the interpreter ends, so one that waits
for a dead engine would keep an interrupted run from ending.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from queue import SimpleQueue
from threading import Condition, Thread

from distromatrix.errors import DistromatrixError

Work = Callable[[], None]


class Threads:
    """`count` threads; work is begun in the order in which it was given. Work handles its
    own exceptions: one that escapes is passed to `failed` and the thread goes on."""

    def __init__(self, count: int, name: str, failed: Callable[[BaseException], None]) -> None:
        self._queue: SimpleQueue[Work | None] = SimpleQueue()
        self._count = count
        self._failed = failed
        self._open = 0
        self._changed = Condition()
        for number in range(count):
            Thread(target=self._serve, name=f"{name}-{number}", daemon=True).start()

    def submit(self, work: Work) -> None:
        """Queue a piece of work."""
        with self._changed:
            self._open += 1
        self._queue.put(work)

    def drain(self, timeout: float) -> bool:
        """Wait until all work given so far is done; False when `timeout` seconds were not
        enough."""
        with self._changed:
            return self._changed.wait_for(lambda: self._open == 0, timeout)

    def end(self) -> None:
        """Let every thread go when it has done what was given so far."""
        for _ in range(self._count):
            self._queue.put(None)

    def _serve(self) -> None:
        while (work := self._queue.get()) is not None:
            try:
                work()
            except BaseException as error:  # noqa: BLE001 - handed to the one who waits
                self._failed(error)
            finally:
                with self._changed:
                    self._open -= 1
                    self._changed.notify_all()


def in_background(work: Callable[[], object]) -> Thread:
    """Do it in a thread of its own, for which the end of the process does not wait."""

    def quietly() -> None:
        with suppress(DistromatrixError, OSError):
            work()

    thread = Thread(target=quietly, daemon=True)
    thread.start()
    return thread
