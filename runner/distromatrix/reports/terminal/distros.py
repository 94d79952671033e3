"""The catalogue as a table: what is there, how long it lives, whether it was ever run here."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from typing import TYPE_CHECKING

from distromatrix.collect.text import fit
from distromatrix.model import Distro
from distromatrix.reports.style import Look
from distromatrix.wording import counted

if TYPE_CHECKING:
    from rich.console import Console, RenderableType

_GAP = 2  # columns between columns
_SHORTEST_TITLE = 16


@dataclass(frozen=True, slots=True)
class _Column:
    """A column's head, and its text and style for each distro."""

    head: str
    cells: tuple[tuple[str, str], ...]

    @property
    def width(self) -> int:
        return max(len(self.head), *(len(text) for text, _ in self.cells))


def show_distros(console: Console, distros: Sequence[Distro], today: date) -> None:
    """Print a line for each, as much of it as the screen is wide, and one that counts them."""
    look = Look.of(console)
    console.width = look.width  # of a pipe: rich's own guess is narrower
    if distros:
        console.print(distros_table(distros, look, today), soft_wrap=True)
    console.print(counts(distros, look, today), soft_wrap=True, style="bold", highlight=False)


def counts(distros: Sequence[Distro], look: Look, today: date) -> str:
    """`36 distros: 6 verified here (✓), 3 past their end of life`."""
    verified = sum(d.verified is not None for d in distros)
    parts = [f"{verified} verified here ({_mark(look)})"]
    if ended := sum(_ended(d, today) for d in distros):
        parts.append(f"{ended} past {'its' if ended == 1 else 'their'} end of life")
    return f"{counted(len(distros), 'distro')}: {', '.join(parts)}"


def distros_table(distros: Sequence[Distro], look: Look, today: date) -> RenderableType:
    """The table. Of its columns the titles give way first, then the days of verification:
    that one was verified shows at the front of its line as well."""
    name = _Column("distro", tuple((d.name, "bold" if d.verified else "") for d in distros))
    front = _Column("", tuple((_mark(look) if d.verified else "", "green") for d in distros))
    title = _Column("title", tuple((d.title, "") for d in distros))
    system = _Column("packages", tuple((_system(d), "") for d in distros))
    life = _Column("supported until", tuple(_life(d, today) for d in distros))
    seen = _Column(
        "verified here",
        tuple((str(d.verified), "green") if d.verified else ("no", "dim") for d in distros),
    )
    sources = _Column("image from", tuple((_sources(d), "dim") for d in distros))
    columns = [front, name, title, system, life, seen, sources]
    without_title = [c for c in columns if c is not title]
    room = look.width - _width(without_title) - _GAP
    if room >= min(title.width, _SHORTEST_TITLE):
        return _table(columns, {title: min(title.width, room)})
    if _width(without_title) <= look.width:
        return _table(without_title, {})
    return _table([c for c in without_title if c is not seen], {})


def _width(columns: list[_Column]) -> int:
    return sum(c.width for c in columns) + _GAP * (len(columns) - 1)


def _table(columns: list[_Column], widths: dict[_Column, int]) -> RenderableType:
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, padding=(0, _GAP, 0, 0), pad_edge=False, header_style="dim")
    for column in columns:
        width = widths.get(column, column.width)
        table.add_column(Text(column.head), no_wrap=True, width=width, overflow="ellipsis")
    for row in zip(*(column.cells for column in columns), strict=True):
        table.add_row(*(Text(fit(text), style) for text, style in row))
    return table


def _mark(look: Look) -> str:
    return look.pick("✓", "*")


def _system(distro: Distro) -> str:
    """What installs packages there, and the C library where it is not the usual one."""
    return distro.package_manager + ("" if distro.libc == "glibc" else f", {distro.libc}")


def _ended(distro: Distro, today: date) -> bool:
    return distro.eol is not None and distro.eol < today


def _life(distro: Distro, today: date) -> tuple[str, str]:
    if distro.eol is None:
        return "no end set", "dim"
    return (f"{distro.eol} ended", "red") if _ended(distro, today) else (str(distro.eol), "")


def _sources(distro: Distro) -> str:
    return ", ".join(dict.fromkeys(source.kind for source in distro.image))
