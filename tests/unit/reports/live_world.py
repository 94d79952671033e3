"""What a terminal shows of a run."""

import io

from rich.console import Console

from distromatrix.record.events import (
    Event,
    RunStarted,
)
from distromatrix.reports.terminal.board import Board
from distromatrix.reports.terminal.plain import Plain


def started(*cells: str) -> RunStarted:
    return RunStarted(run="r", cells=cells, jobs=2, engine="Fake 1 (API 1)")


def plain(*events: Event) -> str:
    out = io.StringIO()
    with Plain(Console(file=out, width=80)) as report:
        for event in events:
            report(event)
    return out.getvalue()


def drawn(board: Board, screen: Console) -> list[str]:
    with screen.capture() as capture:
        screen.print(board.render())
    return [line.rstrip() for line in capture.get().split("\n")]
