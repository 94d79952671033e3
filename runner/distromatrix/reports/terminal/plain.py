"""A run told line by line, where there is no terminal."""

from __future__ import annotations

from collections.abc import Iterator
from threading import Lock
from time import monotonic
from typing import TYPE_CHECKING

from distromatrix.collect.text import one_line, printable
from distromatrix.model import BAD, CellResult
from distromatrix.record.events import (
    CellFallback,
    CellFinished,
    CellOutput,
    CellPhase,
    CellProgress,
    CellRetried,
    CellSilent,
    Event,
    ImageProgress,
    RepeatFinished,
    RunFinished,
    RunStarted,
    Warned,
)
from distromatrix.reports.grouping import ImageFaults
from distromatrix.reports.style import Look, say
from distromatrix.reports.terminal.progress import (
    Progress,
    fallback,
    headline,
    result_line,
    retry,
    silence,
)

if TYPE_CHECKING:
    from rich.console import Console
    from rich.text import Text

_BLOCK = 40  # lines of output of a failed cell
_SAME_IMAGE_AGAIN = 15.0  # seconds between two lines about one step (`pulling`, …) of an image


class Plain:
    """Lines for a log: one when a cell has its verdict, followed at once by the end of its
    output where it went wrong; nothing of one cell ever stands inside another's block."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._look = Look.of(console)
        self._lock = Lock()
        self._progress = Progress()
        self._width = 0
        self._images: dict[str, tuple[str, float]] = {}
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
                    say(self._console, headline(event))
                case ImageProgress():
                    self._image(event)
                case Warned():
                    say(self._console, ("warning: ", "yellow"), printable(event.text))
                case CellOutput() | CellPhase():
                    self._silent.pop((event.cell, event.repeat), None)
                case CellSilent():
                    self._is_silent(event)
                case CellProgress(cell=cell, repeat=repeat, text=text):
                    name = self._progress.name(cell, repeat)
                    say(self._console, ("guest ", "dim"), f"{name}: {one_line(text)}")
                case CellFallback(cell=cell, repeat=repeat):
                    name = self._progress.name(cell, repeat)
                    say(self._console, ("guest ", "dim"), f"{name}: {fallback(event)}")
                case CellRetried(cell=cell, repeat=repeat):
                    name = self._progress.name(cell, repeat)
                    say(self._console, ("again ", "yellow"), f"{name}: {retry(event)}")
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
        now, step = monotonic(), event.text.partition(" ")[0]
        last, until = self._images.get(event.distro, ("", 0.0))
        if step != last or now >= until:
            self._images[event.distro] = (step, now + _SAME_IMAGE_AGAIN)
            say(self._console, ("image ", "dim"), f"{event.distro}: {one_line(event.text)}")

    def _is_silent(self, event: CellSilent) -> None:
        """One line when a silence is told of, then each time that it has lasted twice as long."""
        key = (event.cell, event.repeat)
        if event.seconds < 2 * self._silent.get(key, 0.0):
            return
        self._silent[key] = event.seconds
        said = f"; the last line: {one_line(event.line)}" if event.line else ""
        silent = silence(event).removeprefix("silent ")
        say(self._console, ("silent ", "yellow"), f"{self._progress.name(*key)} {silent}{said}")

    def _finished(self, result: CellResult, repeat: int = 0) -> None:
        self._silent.pop((result.id, repeat), None)
        result = self._faults.once(result)
        name = self._progress.name(result.id, repeat)
        total = str(self._progress.total)
        place = f"[{self._progress.finished:>{len(total)}}/{total}] "
        parts: list[str | Text | tuple[str, str]] = [(place, "dim")]
        parts += result_line(result, name, self._look, self._width)
        if result.verdict in BAD:
            bar = self._look.pick("│", "|")
            parts += _lines(result.tail, bar)
            for hint in result.hints:
                parts += [("\n    hint: ", "dim"), (one_line(hint, 300), "yellow")]
            if result.debug:
                parts.append(("\n    debug:", "dim"))
            parts += _lines(result.debug, bar)
        say(self._console, *parts, lines=True)


def _lines(lines: tuple[str, ...], bar: str) -> Iterator[str | tuple[str, str]]:
    for line in lines[-_BLOCK:]:
        yield f"\n    {bar} ", "dim"
        yield printable(line)
