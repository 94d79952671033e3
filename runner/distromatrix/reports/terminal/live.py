"""What is seen of a run while it runs: a board on a terminal, plain lines elsewhere.

Both are context managers, and called with every event, from whichever thread has one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from distromatrix.reports.terminal.board import Board
from distromatrix.reports.terminal.plain import Plain

if TYPE_CHECKING:
    from rich.console import Console


def live_report(console: Console) -> Board | Plain:
    """The board where there is a terminal to draw on, else plain lines."""
    drawable = console.is_terminal and not console.is_dumb_terminal and console.file.isatty()
    return Board(console) if drawable else Plain(console)
