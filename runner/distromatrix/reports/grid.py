"""The grid: distros down, suites across, one verdict where they meet."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

from distromatrix.model import CellResult, Plan, Verdict
from distromatrix.plan.needs import GUESTS
from distromatrix.record.verdicts import tolerated
from distromatrix.reports.flaky import is_green
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
    rows, columns, found = laid_out(plan, by_id)
    widths = {column: len(column) for column in columns}
    for (_, column), result in found.items():
        widths[column] = max(widths[column], len(_shown(result, look)))
    width = max(map(len, rows), default=0) + sum(_GAP + w for w in widths.values())
    if width > look.width:
        return _list(plan, by_id, look)
    return _table(rows, columns, found, look)


def laid_out(
    plan: Plan, by_id: Mapping[str, CellResult]
) -> tuple[list[str], list[str], dict[tuple[str, str], CellResult]]:
    """The distros, the suites, and by both of them the results, in the plan's order."""
    cells = [cell for cell in plan.cells if cell.id in by_id]
    rows = list(dict.fromkeys(cell.distro for cell in cells))
    columns = list(dict.fromkeys(column_of(cell) for cell in cells))
    return rows, columns, {(cell.distro, column_of(cell)): by_id[cell.id] for cell in cells}


def beside(result: CellResult) -> tuple[str, str]:
    """What is said beside a verdict: how many cases passed, or `3/10` where only some of the runs
    of a repeated cell have it; `qemu` of one in a guest, `+qemu` where some of its cases ran in
    one; `flaky` where it passed only when run again; `not gating` where it is bad and does not
    count."""
    alike = sum(run.verdict is result.verdict for run in result.runs)
    part = f"{alike}/{len(result.runs)}" if 0 < alike < len(result.runs) else ""
    if result.verdict is Verdict.PASSED and result.cases and not result.runs:
        part = f"{result.cases.passed:,}"
    where = [result.engine] if result.engine in GUESTS else []
    where += [f"+{one.engine}" for one in result.fallback]
    where += ["flaky"] if result.flaky and is_green(result) else []
    idle = "not gating" if tolerated(result) else ""
    return part, ", ".join(filter(None, (" ".join(map(str, where)), idle)))


def by_host(results: Iterable[CellResult], ids: Iterable[str]) -> dict[str, list[str]]:
    """The cells `ids` by the host of a cluster on which they ran; empty where there was none."""
    known, found = {r.id: r.host for r in results if r.host}, dict[str, list[str]]()
    for cell in ids:
        if host := known.get(cell):
            found.setdefault(host, []).append(cell)
    return found


def without_report(plan: Plan, results: Iterable[CellResult]) -> tuple[str, ...]:
    """What passed by its exit status alone: whole suites where they did so everywhere, else
    cells."""
    columns = {cell.id: column_of(cell) for cell in plan.cells}
    passed = [r for r in results if r.verdict is Verdict.PASSED and r.id in columns]
    some = {columns[r.id] for r in passed if r.cases is not None}
    bare = (r.id for r in passed if r.cases is None)
    return tuple(dict.fromkeys(c if columns[c] in some else columns[c] for c in bare))


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
    """A verdict, and in its words what `beside` says."""
    shown = look.result(result)
    part, where = beside(result)
    if part:
        shown.append(f" {part}")
    if where:
        shown.append(f" ({where})")
    return shown
