"""What is seen of a run while it runs: a board on a terminal, plain lines elsewhere.

Both are context managers, and called with every event, from whichever thread has one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from distromatrix.record.events import Event
from distromatrix.reports.terminal.board import Board
from distromatrix.reports.terminal.plain import Plain

if TYPE_CHECKING:
    from rich.console import Console


class LiveReport(Protocol):
    """Shows events as they come, between `__enter__` and `__exit__`."""

    def __call__(self, event: Event) -> None: ...  # noqa: D102

    def __enter__(self) -> LiveReport: ...

    def __exit__(self, *error: object) -> None: ...


def live_report(console: Console) -> LiveReport:
    """The board where there is a terminal to draw on, else plain lines."""
    drawable = console.is_terminal and not console.is_dumb_terminal and console.file.isatty()
    return Board(console) if drawable else Plain(console)
