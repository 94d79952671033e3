"""What is seen of a run while it runs: a board on a terminal, plain lines elsewhere.

Both are context managers, and called with every event, from whichever thread has one.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from threading import Lock
from time import monotonic
from typing import TYPE_CHECKING, Protocol

from distromatrix.collect.text import one_line, printable, shorten
from distromatrix.model import CellResult, Plan, Verdict
from distromatrix.record.events import (
    CellFallback,
    CellFinished,
    CellOutput,
    CellPhase,
    CellRetried,
    CellSilent,
    CellStarted,
    Event,
    ImageProgress,
    RepeatFinished,
    RunFinished,
    RunStarted,
    Warned,
)
from distromatrix.record.verdicts import BAD, tolerated
from distromatrix.reports.grouping import ImageFaults
from distromatrix.reports.style import Look, counted, duration, repeated, say, style

if TYPE_CHECKING:
    from rich.console import Console, RenderableType
    from rich.text import Text

REFRESH = 4  # times a second
_BLOCK = 40  # lines of output of a failed cell
_SAME_IMAGE_AGAIN = 15.0  # seconds between two lines about one image, in plain output
_STARTING = "start"  # what stands for a phase until the first one
_RESERVED = 6  # lines of the screen that the board leaves free


class LiveReport(Protocol):
    """Shows events as they come, between `__enter__` and `__exit__`."""

    def __call__(self, event: Event) -> None: ...  # noqa: D102

    def __enter__(self) -> LiveReport: ...

    def __exit__(self, *error: object) -> None: ...


def live_report(console: Console, plan: Plan) -> LiveReport:
    """The board where there is a terminal to draw on, else plain lines."""
    del plan  # the events say which cells will run
    drawable = console.is_terminal and not console.is_dumb_terminal and console.file.isatty()
    return Board(console) if drawable else Plain(console)


class _Progress:
    """Counts what both kinds of report show."""

    def __init__(self) -> None:
        self.began = monotonic()
        self.todo: frozenset[str] = frozenset()
        self.repeat = 1
        self.done: Counter[Verdict] = Counter()  # runs of cells
        self._runs: Counter[str] = Counter()  # cell -> runs that are done

    @property
    def finished(self) -> int:
        return self.done.total()

    @property
    def total(self) -> int:
        return len(self.todo) * self.repeat

    def start(self, event: RunStarted) -> None:
        self.todo = frozenset(event.cells)
        self.repeat = event.repeat

    def finish_run(self, result: CellResult) -> None:
        self._runs[result.id] += 1
        self.done[result.verdict] += 1

    def finish(self, result: CellResult) -> bool:
        """Whether it was news: of a repeated cell only what keeps it from its other runs is."""
        left = self.repeat - self._runs[result.id]
        if result.id not in self.todo:  # skipped before anything began
            return False
        self.done[result.verdict] += left
        return left > 0

    def name(self, cell: str, repeat: int) -> str:
        return f"{cell} {repeat}/{self.repeat}" if repeat else cell


def _headline(event: RunStarted) -> str:
    cells = f"{counted(len(event.cells), 'cell')}{repeated(event.repeat)}"
    at_once = f"{event.jobs} at a time" if event.jobs > 1 else "one at a time"
    seed = f", shuffled by {event.seed}" if event.seed is not None else ""
    return f"{cells}, {at_once}, on {event.engine}{seed}"


def _result_line(result: CellResult, name: str, look: Look, width: int) -> tuple[Text | str, ...]:
    tried = f" (tried {result.attempts} times)" if result.attempts > 1 else ""
    idle = " (not gating)" if tolerated(result) else ""
    return (
        look.result(result, len("x xpassed")),
        f"  {name.ljust(width)}  {duration(result.seconds):>6}",
        f"  {one_line(result.reason).rstrip(':') or _reported(result)}{tried}{idle}".rstrip(),
    )


def _reported(result: CellResult) -> str:
    """How many cases passed."""
    if result.verdict is not Verdict.PASSED:
        return ""
    if result.cases is None:
        return "no report"
    skipped = f", {result.cases.skipped:,} skipped" if result.cases.skipped else ""
    return f"{counted(result.cases.passed, 'case')}{skipped}"


def _fallback(event: CellFallback) -> str:
    """`2 cases again in qemu: needs kernel-modules, …`."""
    return f"{counted(event.cases, 'case')} again in {event.engine}: {one_line(event.reason, 300)}"


def _retry(event: CellRetried) -> str:
    """`run again (1 of at most 2): 1 of 3 cases failed`."""
    return f"run again ({event.retry} of at most {event.of}): {one_line(event.reason, 300)}"


def _silence(event: CellSilent, seconds: float | None = None) -> str:
    running = f", running: {one_line(event.command)}" if event.command else ""
    return f"silent for {duration(event.seconds if seconds is None else seconds)}{running}"


class Plain:
    """Lines for a log: one when a cell has its verdict, followed at once by the end of its
    output where it went wrong; nothing of one cell ever stands inside another's block."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._look = Look.of(console)
        self._lock = Lock()
        self._progress = _Progress()
        self._width = 0
        self._images: dict[str, float] = {}
        self._faults = ImageFaults()
        self._silent: dict[tuple[str, int], float] = {}  # seconds of silence last told of

    def __enter__(self) -> Plain:
        return self

    def __exit__(self, *error: object) -> None:
        return None

    def __call__(self, event: Event) -> None:
        """Print what `event` says, if it is for a log."""
        with self._lock:
            match event:
                case RunStarted():
                    self._progress.start(event)
                    last = event.repeat if event.repeat > 1 else 0
                    names = (self._progress.name(cell, last) for cell in event.cells)
                    self._width = max(map(len, names), default=0)
                    say(self._console, _headline(event))
                case ImageProgress():
                    self._image(event)
                case Warned():
                    say(self._console, ("warning: ", "yellow"), printable(event.text))
                case CellOutput() | CellPhase():
                    self._silent.pop((event.cell, event.repeat), None)
                case CellSilent():
                    self._is_silent(event)
                case CellFallback():
                    name = self._progress.name(event.cell, event.repeat)
                    say(self._console, ("guest ", "dim"), f"{name}: {_fallback(event)}")
                case CellRetried():
                    name = self._progress.name(event.cell, event.repeat)
                    say(self._console, ("again ", "yellow"), f"{name}: {_retry(event)}")
                case RepeatFinished(result=result, repeat=repeat):
                    self._progress.finish_run(result)
                    self._finished(result, repeat)
                case CellFinished(result=result) if self._progress.finish(result):
                    self._finished(result)
                case RunFinished(interrupted=signal) if signal:
                    say(self._console, (f"interrupted by {signal}", "yellow"))
                case _:
                    pass

    def _image(self, event: ImageProgress) -> None:
        now = monotonic()
        ready = event.text.startswith("ready")
        if ready or now >= self._images.get(event.distro, 0.0):
            self._images[event.distro] = now + _SAME_IMAGE_AGAIN
            say(self._console, ("image ", "dim"), f"{event.distro}: {one_line(event.text)}")

    def _is_silent(self, event: CellSilent) -> None:
        """One line when a silence is told of, then each time that it has lasted twice as long."""
        key = (event.cell, event.repeat)
        if event.seconds < 2 * self._silent.get(key, 0.0):
            return
        self._silent[key] = event.seconds
        said = f"; the last line: {one_line(event.line)}" if event.line else ""
        silent = _silence(event).removeprefix("silent ")
        say(self._console, ("silent ", "yellow"), f"{self._progress.name(*key)} {silent}{said}")

    def _finished(self, result: CellResult, repeat: int = 0) -> None:
        self._silent.pop((result.id, repeat), None)
        result = self._faults.once(result)
        name = self._progress.name(result.id, repeat)
        total = str(self._progress.total)
        place = f"[{self._progress.finished:>{len(total)}}/{total}] "
        parts: list[str | Text | tuple[str, str]] = [(place, "dim")]
        parts += _result_line(result, name, self._look, self._width)
        if result.verdict in BAD:
            bar = self._look.pick("│", "|")
            for line in result.tail[-_BLOCK:]:
                parts += [(f"\n    {bar} ", "dim"), printable(line)]
            for hint in result.hints:
                parts += [("\n    hint: ", "dim"), (one_line(hint, 300), "yellow")]
            if result.debug:
                parts.append(("\n    debug:", "dim"))
            for line in result.debug[-_BLOCK:]:
                parts += [(f"\n    {bar} ", "dim"), printable(line)]
        say(self._console, *parts, lines=True)


@dataclass(slots=True)
class _Row:
    """A line of the board: what runs now, and two when it has fallen silent. `began` and
    `since` (when the silence began) are the board's clock."""

    name: str
    phase: str
    began: float
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
        self._progress = _Progress()
        self._progress.began = clock()
        self._headline = ""
        self._faults = ImageFaults()
        self._images: dict[str, _Row] = {}
        self._cells: dict[tuple[str, int], _Row] = {}  # by cell and repetition
        self._live: AbstractContextManager[object] | None = None

    def __enter__(self) -> Board:
        from rich.live import Live

        self._live = Live(
            get_renderable=self.render,
            console=self._console,
            refresh_per_second=REFRESH,
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
            say(self._console, *_result_line(*bad, self._look, 0))

    def _take(self, event: Event) -> tuple[CellResult, str] | None:
        """Returns a result that is news, and what to call it."""
        match event:
            case RunStarted():
                self._progress.start(event)
                self._headline = _headline(event)
            case ImageProgress(distro=distro, text=text):
                if text.startswith("ready"):
                    self._images.pop(distro, None)
                else:
                    row = self._images.setdefault(distro, _Row(distro, "image", self._clock()))
                    row.line = one_line(text)
            case CellStarted(cell=cell, repeat=repeat):
                self._images.pop(cell.partition("/")[0], None)
                name = self._progress.name(cell, repeat)
                self._cells[cell, repeat] = _Row(name, _STARTING, self._clock())
            case CellPhase() | CellOutput() | CellSilent() | CellFallback() | CellRetried():
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
        self, event: CellPhase | CellOutput | CellSilent | CellFallback | CellRetried, row: _Row
    ) -> None:
        row.silent = None
        match event:
            case CellFallback(engine=engine):
                name = self._progress.name(event.cell, event.repeat)
                row.name, row.phase, row.line = f"{name} ({engine})", _STARTING, _fallback(event)
            case CellRetried():
                row.phase, row.line = _STARTING, _retry(event)
            case CellPhase(phase=phase):
                row.phase = str(phase)
            case CellOutput(line=line):
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
            starting = sum(row.phase == _STARTING for row in self._cells.values())
            done, total = self._progress.finished, self._progress.total
            counts = dict(self._progress.done)
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
        bar = Table.grid(padding=(0, 2, 0, 0))
        bar.add_row(
            ProgressBar(total=max(total, 1), completed=done, width=min(self._look.width - 24, 50)),
            f"{done:,} of {total:,}",
            Text(duration(self._clock() - self._progress.began), style="dim"),
        )
        head = Text(self._headline, style="dim", no_wrap=True, overflow="ellipsis")
        parts: list[RenderableType] = [Text(), head, bar, Text("  ").join(tally)]
        fits = _fitting(rows, room)
        parts.append(self._rows(rows[:fits]))
        if len(rows) > fits:
            parts.append(Text(f"  and {len(rows) - fits} more", style="dim"))
        return Group(*parts)

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
                line = Text(_silence(row.silent, now - row.since), style="yellow")
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
