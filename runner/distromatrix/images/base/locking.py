"""One builder at a time, across threads and processes."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Event

from distromatrix.errors import ImageError
from distromatrix.files.lock import InUseError, take

LOOK = 1.0  # seconds


@contextmanager
def locked(path: Path, cancelled: Event, waiting: Callable[[], None]) -> Iterator[None]:
    """Hold the lock file at `path`. Calls `waiting` once if another holds it for longer than a
    look takes. Raises ImageError when `cancelled` is set before it is free."""
    path.parent.mkdir(parents=True, exist_ok=True)
    told = False
    while True:
        try:
            lock = take(path, wait=LOOK if not told else 0.5)
            break
        except InUseError:
            if not told:
                waiting()
                told = True
            if cancelled.is_set():
                raise ImageError("cancelled") from None
    try:
        yield
    finally:
        os.close(lock)
