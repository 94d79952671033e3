"""A run on a terminal: a board that is drawn anew, and what has ended above it."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from threading import Lock
from time import monotonic
from typing import TYPE_CHECKING

from distromatrix.collect.text import one_line, printable, shorten
from distromatrix.model import BAD, CellResult, Verdict
from distromatrix.record.events import (
    CellFallback,
    CellFinished,
    CellOutput,
    CellPhase,
    CellProgress,
    CellRetried,
    CellSilent,
    CellStarted,
    Event,
    ImageProgress,
    RepeatFinished,
    RunStarted,
    Warned,
)
from distromatrix.reports.grouping import ImageFaults
from distromatrix.reports.style import Look, about, duration, say, style
from distromatrix.reports.terminal.progress import (
    Progress,
    fallback,
    headline,
    result_line,
    retry,
    silence,
)

if TYPE_CHECKING:
    from rich.console import Console, RenderableType

_REFRESH = 4  # times a second
_ESTIMATED = 1.0  # seconds until the time that is left is reckoned anew
_RESERVED = 6  # lines of the screen that the board leaves free
STARTING = "start"  # what stands for a phase until the first one


@dataclass(slots=True)
class _Row:
    """A line of the board: what runs now, and two when it has fallen silent. `began`, `ran` (when
    its first phase began) and `since` (when the silence did) are the board's clock."""

    name: str
    phase: str
    began: float
    ran: float | None = None
    line: str = ""
    silent: CellSilent | None = None
    since: float = 0.0


class Board:
    """A board on a terminal: what runs, the last line of each, how far the whole run is. What
    went wrong scrolls by above it. Never higher than the screen; gone when the run ends."""

    def __init__(self, console: Console, clock: Callable[[], float] = monotonic) -> None:
        self._console = console
        self._look = Look.of(console)
        self._clock = clock
        self._lock = Lock()  # never held while printing: the screen's own lock is taken then
        self._progress = Progress()
        self._progress.began = clock()
        self.headline = ""
        self._faults = ImageFaults()
        self._left: tuple[float, str] = (0.0, "")  # until when it holds, and the words
        self._images: dict[str, _Row] = {}
        self._cells: dict[tuple[str, int], _Row] = {}  # by cell and repetition
        self._live: AbstractContextManager[object] | None = None

    def __enter__(self) -> Board:
        from rich.live import Live

        self._live = Live(
            get_renderable=self.render,
            console=self._console,
            refresh_per_second=_REFRESH,
            transient=True,
            redirect_stdout=False,
            redirect_stderr=False,
            vertical_overflow="crop",
        )
        self._live.__enter__()
        return self

    def __exit__(self, *error: object) -> None:
        if self._live is not None:
            self._live.__exit__(None, None, None)

    def __call__(self, event: Event) -> None:
        """Take in `event`; the screen shows it at its next refresh."""
        with self._lock:
            bad = self._take(event)
            if bad is not None:
                bad = self._faults.once(bad[0]), bad[1]
        if isinstance(event, Warned):
            say(self._console, ("warning: ", "yellow"), printable(event.text))
        if bad is not None and bad[0].verdict in BAD:
            say(self._console, *result_line(*bad, self._look, 0))

    def _take(self, event: Event) -> tuple[CellResult, str] | None:
        """Returns a result that is news, and what to call it."""
        match event:
            case RunStarted():
                self._progress.start(event)
                self.headline = headline(event)
            case ImageProgress(distro=distro, text=text):
                if text.startswith("ready"):
                    self._images.pop(distro, None)
                else:
                    row = self._images.setdefault(distro, _Row(distro, "image", self._clock()))
                    row.line = one_line(text)
            case CellStarted(cell=cell, repeat=repeat):
                self._images.pop(cell.partition("/")[0], None)
                name = self._progress.name(cell, repeat)
                self._cells[cell, repeat] = _Row(name, STARTING, self._clock())
            case (
                CellProgress()
                | CellPhase()
                | CellOutput()
                | CellSilent()
                | CellFallback()
                | CellRetried()
            ):
                if (event.cell, event.repeat) in self._cells:
                    self._show(event, self._cells[event.cell, event.repeat])
            case RepeatFinished(result=result, repeat=repeat):
                self._cells.pop((result.id, repeat), None)
                self._progress.finish_run(result)
                return result, self._progress.name(result.id, repeat)
            case CellFinished(result=result):
                self._cells.pop((result.id, 0), None)
                if result.verdict is Verdict.ERROR:
                    self._images.pop(result.id.partition("/")[0], None)
                if self._progress.finish(result):
                    return result, result.id
            case _:
                pass
        return None

    def _show(
        self,
        event: CellProgress | CellPhase | CellOutput | CellSilent | CellFallback | CellRetried,
        row: _Row,
    ) -> None:
        row.silent = None
        match event:
            case CellFallback(engine=engine):
                name = self._progress.name(event.cell, event.repeat)
                row.name, row.phase, row.line = f"{name} ({engine})", STARTING, fallback(event)
            case CellRetried():
                row.phase, row.line = STARTING, retry(event)
            case CellPhase(phase=phase):
                row.phase = str(phase)
                row.ran = self._clock() if row.ran is None else row.ran
            case CellOutput(line=line) | CellProgress(text=line):
                row.line = one_line(line)
            case CellSilent():
                row.silent, row.since = event, self._clock() - event.seconds
                row.line = one_line(event.line)

    def render(self) -> RenderableType:
        """The board as it is now."""
        from rich.console import Group
        from rich.progress_bar import ProgressBar
        from rich.table import Table
        from rich.text import Text

        with self._lock:
            rows = [*self._images.values(), *self._cells.values()]
            cells = len(self._cells)
            starting = sum(row.phase == STARTING for row in self._cells.values())
            done, total = self._progress.finished, self._progress.total
            counts = dict(self._progress.done)
            left = self._time_left()
        room = max(self._console.height - _RESERVED, 1)
        tally = [
            Text(f"{self._look.symbol(v)} {counts[v]:,} {v}", style=style(v))
            for v in Verdict
            if counts.get(v)
        ]
        tally.append(Text(f"{cells - starting} running", style="cyan"))
        if starting:
            tally.append(Text(f"{starting} starting"))
        tally.append(Text(f"{max(total - done - cells, 0):,} waiting", style="dim"))
        tally.append(Text(left, style="dim"))
        bar = Table.grid(padding=(0, 2, 0, 0))
        bar.add_row(
            ProgressBar(total=max(total, 1), completed=done, width=min(self._look.width - 24, 50)),
            f"{done:,} of {total:,}",
            Text(duration(self._clock() - self._progress.began), style="dim"),
        )
        head = Text(self.headline, style="dim", no_wrap=True, overflow="ellipsis")
        parts: list[RenderableType] = [Text(), head, bar, Text("  ").join(tally)]
        fits = _fitting(rows, room)
        parts.append(self._rows(rows[:fits]))
        if len(rows) > fits:
            parts.append(Text(f"  and {len(rows) - fits} more", style="dim"))
        return Group(*parts)

    def _time_left(self) -> str:
        now = self._clock()
        if now >= self._left[0]:
            running = [
                (cell, 0.0 if row.ran is None else now - row.ran)
                for (cell, _), row in self._cells.items()
            ]
            seconds = self._progress.left(running)
            self._left = (now + _ESTIMATED, f"{about(seconds)} left" if seconds else "")
        return self._left[1]

    def _rows(self, rows: list[_Row]) -> RenderableType:
        from rich.table import Table
        from rich.text import Text

        # Only the last lines give way where the screen is narrow.
        table = Table.grid(padding=(0, 2, 0, 0), expand=True)
        table.add_column(no_wrap=True)
        table.add_column(no_wrap=True, style="cyan")
        table.add_column(no_wrap=True, justify="right")
        table.add_column(no_wrap=True, style="dim", overflow="ellipsis", ratio=1)
        now = self._clock()
        for row in rows:
            name = shorten(row.name, max(self._console.width // 2, 10))
            line = Text(row.line)
            if row.silent:
                line = Text(silence(row.silent, now - row.since), style="yellow")
            table.add_row(Text(name), row.phase, duration(now - row.began), line)
            if row.silent and row.line:
                table.add_row("", "", "", Text(row.line))
        return table


def _fitting(rows: list[_Row], room: int) -> int:
    """How many of the rows `room` lines of the screen hold; at least one."""
    lines = 0
    for number, row in enumerate(rows):
        lines += 2 if row.silent and row.line else 1
        if lines > room:
            return max(number, 1)
    return len(rows)
