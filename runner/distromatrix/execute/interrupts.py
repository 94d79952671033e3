"""What SIGINT, SIGTERM and SIGHUP do to a run: the first ends it in order, a second one at once.

A terminal that is closed says so several times (its shell does, and the kernel): that SIGHUP comes
again ends nothing at once. Who ignores it from the start (nohup(1)) is left alone."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from types import FrameType

CLEAN_UP = "distromatrix clean"
_SHOW_CURSOR = "\x1b[?25h"  # a live board hides it


@contextmanager
def interrupts(interrupt: Callable[[str], None]) -> Iterator[None]:
    """Within, the first of the signals calls `interrupt` with its name, in the main thread; a
    second one, but SIGHUP, ends the process. Outside the main thread nothing is changed."""
    seen = ""

    def on_signal(number: int, _frame: FrameType | None) -> None:
        nonlocal seen
        if seen:
            if number != signal.SIGHUP:
                _leave(number)
            return
        seen = signal.Signals(number).name
        interrupt(seen)

    before = {}
    with suppress(ValueError):  # not the main thread: someone else handles signals
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            if number != signal.SIGHUP or signal.getsignal(number) is not signal.SIG_IGN:
                before[number] = signal.signal(number, on_signal)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _leave(number: int) -> None:
    """Written past Python's buffers, whose locks the interrupted code may hold."""
    cursor = _SHOW_CURSOR if os.isatty(2) else ""
    text = f"{cursor}\nleft at once; to remove what is still there: {CLEAN_UP}\n"
    with suppress(OSError):
        os.write(2, text.encode())
    os._exit(128 + number)
