"""The end of a run for which nobody waits: what it still has open when its answer is there is
removed by a process of its own, which holds the run's lock meanwhile. What that leaves, the next
sweep of dead runs finds."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable

from distromatrix.engines.contract import Engine
from distromatrix.execute.sweep import sweep, sweep_own
from distromatrix.record.folder import RunFolder

WITHIN = 60  # seconds


def close_apart(open_engine: Callable[[], Engine], folder: RunFolder) -> bool:
    """Begin such a process; False where there can be none. It has an engine of its own: of this
    process's threads and connections it has none."""
    try:
        if os.fork():
            return True
    except OSError:
        return False
    try:
        os.setsid()
        nowhere = os.open(os.devnull, os.O_RDWR)
        for fd in (0, 1, 2):
            os.dup2(nowhere, fd)
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, signal.SIG_DFL)
        signal.alarm(WITHIN)
        engine = open_engine()
        sweep_own(engine, folder)
        sweep(engine)
        engine.close()
    finally:
        os._exit(0)
