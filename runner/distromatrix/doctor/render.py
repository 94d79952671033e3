"""Shows checks on a terminal, one line each."""

from __future__ import annotations

from collections.abc import Iterable

from rich.console import Console
from rich.text import Text

from distromatrix.collect.text import fit
from distromatrix.doctor.model import Check, Status

_MARKS: dict[Status, tuple[str, str]] = {
    "ok": ("ok", "green"),
    "warning": ("!", "yellow"),
    "missing": ("✗", "red"),
}
_INDENT = " " * 5


def render(console: Console, checks: Iterable[Check]) -> None:
    """Print each check with what is wrong and the commands that mend it."""
    checks = tuple(checks)
    width = max((len(check.name) for check in checks), default=0)
    for check in checks:
        mark, style = _MARKS[check.status]
        line = Text(f"{mark:>3}  ", style=style)
        line.append(f"{check.name:<{width}}  {fit(check.found)}", style="")
        console.print(line, soft_wrap=True)
        if check.status == "ok":
            continue
        if check.why:
            console.print(Text(f"{_INDENT}{check.why}", style="dim"), soft_wrap=True)
        for command in check.mend:
            console.print(Text(f"{_INDENT}$ {fit(command)}"), soft_wrap=True)
