"""One builder at a time, across threads and processes."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Event

from distromatrix.errors import ImageError

LOOK = 1.0  # seconds


@contextmanager
def locked(path: Path, cancelled: Event, waiting: Callable[[], None]) -> Iterator[None]:
    """Hold the lock file at `path`. Calls `waiting` once if another holds it for longer than a
    look takes. Raises ImageError when `cancelled` is set before it is free."""
    from filelock import FileLock, Timeout

    path.parent.mkdir(parents=True, exist_ok=True)
    lock = FileLock(path)  # each object has a descriptor of its own: it excludes threads, too
    told = False
    while not lock.is_locked:
        try:
            lock.acquire(timeout=LOOK if not told else 0.5)
        except Timeout:
            if not told:
                waiting()
                told = True
            if cancelled.is_set():
                raise ImageError("cancelled") from None
    try:
        yield
    finally:
        lock.release()
