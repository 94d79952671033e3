"""The grid: distros down, suites across, one verdict where they meet."""

from __future__ import annotations

from typing import TYPE_CHECKING

from distromatrix.model import CellResult, Plan
from distromatrix.needs import GUESTS
from distromatrix.reports.grouping import column_of
from distromatrix.reports.style import Look

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.text import Text

_GAP = 3  # columns between columns


def grid(plan: Plan, results: tuple[CellResult, ...], look: Look) -> RenderableType:
    """The verdicts of all cells as a table; as a list where that is wider than the screen.

    Cells that a table has no result for (the selectors left them out) are empty in it.
    """
    by_id = {result.id: result for result in results}
    rows = list(dict.fromkeys(cell.distro for cell in plan.cells if cell.id in by_id))
    columns = list(dict.fromkeys(column_of(cell) for cell in plan.cells if cell.id in by_id))
    found = {(c.distro, column_of(c)): by_id[c.id] for c in plan.cells if c.id in by_id}
    widths = {column: len(column) for column in columns}
    for (_, column), result in found.items():
        widths[column] = max(widths[column], len(_shown(result, look)))
    width = max(map(len, rows), default=0) + sum(_GAP + w for w in widths.values())
    if width > look.width:
        return _list(plan, by_id, look)
    return _table(rows, columns, found, look)


def _table(
    rows: list[str], columns: list[str], found: dict[tuple[str, str], CellResult], look: Look
) -> RenderableType:
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, padding=(0, _GAP, 0, 0), pad_edge=False, header_style="bold")
    table.add_column("", no_wrap=True)
    for column in columns:
        table.add_column(Text(column), no_wrap=True)
    for row in rows:
        cells = (found.get((row, column)) for column in columns)
        table.add_row(Text(row), *(_shown(cell, look) if cell else Text() for cell in cells))
    return table


def _list(plan: Plan, by_id: dict[str, CellResult], look: Look) -> RenderableType:
    from rich.text import Text

    shown = {id: _shown(result, look) for id, result in by_id.items()}
    width = max([len("x xpassed"), *map(len, shown.values())])
    lines = (
        Text.assemble(shown[cell.id], " " * (width - len(shown[cell.id]) + 2), cell.id)
        for cell in plan.cells
        if cell.id in by_id
    )
    return Text("\n").join(lines)


def _shown(result: CellResult, look: Look) -> Text:
    """A verdict; `✗ failed 3/10` where only some of the runs of a repeated cell have it;
    `✓ passed (qemu)` in a guest, `✓ passed (+qemu)` where some of its cases ran in one."""
    shown = look.verdict(result.verdict)
    alike = sum(run.verdict is result.verdict for run in result.runs)
    if 0 < alike < len(result.runs):
        shown.append(f" {alike}/{len(result.runs)}")
    where = [result.engine] if result.engine in GUESTS else []
    where += [f"+{one.engine}" for one in result.fallback]
    if where:
        shown.append(f" ({' '.join(map(str, where))})")
    return shown
