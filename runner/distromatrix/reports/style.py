"""How verdicts, durations and text from elsewhere look on a terminal: the same in all reports.

A verdict is a symbol, a word and a colour, so that no one of them is needed to read it.
"""

from __future__ import annotations

import io
import os
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from distromatrix.collect.text import fit
from distromatrix.model import CellResult, Verdict
from distromatrix.record.verdicts import tolerated

if TYPE_CHECKING:
    from rich.console import Console
    from rich.text import Text

# symbol, its stand-in where the encoding is not UTF-8 (the letters that pytest uses), style,
# GitHub's sign
_LOOKS = {
    Verdict.PASSED: ("✓", ".", "green", "✅"),
    Verdict.FAILED: ("✗", "F", "bold red", "❌"),
    Verdict.ERROR: ("!", "E", "bold magenta", "💥"),
    Verdict.SKIPPED: ("–", "s", "dim", "➖"),
    Verdict.XFAILED: ("x", "x", "yellow", "🟡"),
    Verdict.XPASSED: ("X", "X", "bold yellow", "❗"),
}
SIGNS = {verdict: sign for verdict, (*_, sign) in _LOOKS.items()}
WORST_FIRST = (
    Verdict.FAILED,
    Verdict.XPASSED,
    Verdict.ERROR,
    Verdict.XFAILED,
    Verdict.SKIPPED,
    Verdict.PASSED,
)
_TOLERATED = "yellow"  # the style of what is bad, and does not count
_LOG_WIDTH = 120  # columns of what is no terminal and does not say


@dataclass(frozen=True, slots=True)
class Look:
    """What a console can show: its width in columns, and whether beyond ASCII."""

    width: int
    unicode: bool

    @classmethod
    def of(cls, console: Console) -> Look:
        """The look of `console`. Characters that its encoding lacks will be escaped from now
        on: what products print must not end in a UnicodeEncodeError."""
        if isinstance(console.file, io.TextIOWrapper):
            console.file.reconfigure(errors="backslashreplace")
        said = console.is_terminal or "COLUMNS" in os.environ
        unicode = console.encoding.lower().replace("-", "").startswith("utf")
        return cls(width=console.width if said else _LOG_WIDTH, unicode=unicode)

    def symbol(self, verdict: Verdict) -> str:
        """One character for a verdict."""
        return _LOOKS[verdict][0 if self.unicode else 1]

    def result(self, result: CellResult, width: int = 0) -> Text:
        """Symbol and word of a cell's verdict, which is not red where it does not count."""
        from rich.text import Text

        text = f"{self.symbol(result.verdict)} {result.verdict}".ljust(width)
        return Text(text, style=_TOLERATED if tolerated(result) else style(result.verdict))

    def pick(self, good: str, plain: str) -> str:
        """`good` where it can be shown, else `plain`."""
        return good if self.unicode else plain


def style(verdict: Verdict) -> str:
    """The style of a verdict."""
    return _LOOKS[verdict][2]


def duration(seconds: float) -> str:
    """A duration for people: `0.3 s`, `42 s`, `2 min 05 s`, `1 h 02 min`."""
    if seconds < 9.95:
        return f"{max(seconds, 0):.1f} s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02} min"


def about(seconds: float) -> str:
    """A duration that is only expected: `about 25 s`, `about 3 min`, `about 1 h 05 min`."""
    if seconds < 57.5:
        return f"about {max(5, 5 * round(seconds / 5))} s"
    minutes = round(seconds / 60)
    hours = f"{minutes // 60} h {minutes % 60:02}" if minutes >= 60 else minutes
    return f"about {hours} min"


def repeated(times: int) -> str:
    """` x 10 runs`, or nothing for one."""
    return f" x {times} runs" if times > 1 else ""


def tally(cells: Iterable[CellResult], look: Look) -> Text:
    """`✓ 12 passed  ✗ 1 failed  ✗ 2 failed, not gating`: what there is of each, the good first,
    and what does not count apart from what does."""
    from rich.text import Text

    found = Counter((tolerated(cell), cell.verdict) for cell in cells)
    order = (Verdict.PASSED, *(v for v in WORST_FIRST if v is not Verdict.PASSED))
    parts = [
        Text(
            f"{look.symbol(v)} {found[apart, v]:,} {v}{', not gating' * apart}",
            style=_TOLERATED if apart else style(v),
        )
        for apart in (False, True)
        for v in order
        if found[apart, v]
    ]
    return Text("  ").join(parts)


def say(console: Console, *parts: str | Text | tuple[str, str], lines: bool = False) -> None:
    """Print one line (or several `lines`) as it is: no markup, no emoji, no wrapping. A pair is a
    text and its style. What others have put into it is shown, line breaks, too."""
    from rich.text import Text

    text = Text()
    for part in parts:
        if isinstance(part, Text):
            text.append_text(part)
        else:
            said, look = (part, "") if isinstance(part, str) else part
            text.append(fit(said, lines=lines), look)
    console.print(text, soft_wrap=True, markup=False, highlight=False, emoji=False)
