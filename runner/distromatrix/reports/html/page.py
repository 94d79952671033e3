"""A run's page: what the template is given, and how it is made safe.

All that is shown goes through `finalize`: masked, printable, then escaped by jinja2. Nothing runs
in it but the script that its Content-Security-Policy knows by its digest, and it asks nobody.
"""

from __future__ import annotations

import time
from base64 import b64encode
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from distromatrix.collect.facts import facts_files
from distromatrix.collect.text import one_line, printable
from distromatrix.files.below import Folder
from distromatrix.files.whole import whole_file
from distromatrix.model import BAD, CellResult, Plan, RunResult, Verdict
from distromatrix.record import journal
from distromatrix.record.events import Event
from distromatrix.record.repetitions import told_by
from distromatrix.record.verdicts import said_of_needs, tolerated
from distromatrix.reports.commands import exported, opens, run_elsewhere
from distromatrix.reports.expected import passed_by_gating, unmatched_lines
from distromatrix.reports.flaky import count_flaky, counts_of, flaky_sections
from distromatrix.reports.grid import beside, laid_out
from distromatrix.reports.grouping import (
    Group,
    by_reason,
    fault_title,
    group_faults,
)
from distromatrix.reports.hints import hints_of
from distromatrix.reports.html.before import changes_since_before
from distromatrix.reports.html.cases import SLOWEST, read_cases
from distromatrix.reports.html.logs import ShownLog, files_of, link_to, log_of
from distromatrix.reports.html.timeline import WIDTH, began, timeline_of
from distromatrix.reports.reasons import Explained, explained
from distromatrix.reports.replay import warnings_of
from distromatrix.reports.since import AskEarlier, ask_nothing, since_lines
from distromatrix.reports.style import WORST_FIRST, Look, duration, repeated
from distromatrix.wording import counted, some_of

NAME = "report.html"
_HERE = Path(__file__).parent
_LOOK = Look(width=120, unicode=True)
_MOST_CELLS = 2000  # with their logs
_LOG_OF_BAD, _LOG_OF_GOOD = 64 * 1024, 8 * 1024  # bytes of a log
_LOGS = 8 * 1024 * 1024  # of all logs
_REASONS = 3  # that show at once
_KIB = 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class ShownCell:
    """One cell with what it left. `facts`: a link to what its machine was made of, or ''."""

    number: int
    result: CellResult
    why: str
    log: ShownLog | None
    files: tuple[tuple[str, str], ...]
    more_files: int
    facts: str


def write_page(
    folder: Path,
    plan: Plan,
    result: RunResult,
    mask: Callable[[str], str] = str,
    earlier: AskEarlier = ask_nothing,
    groups: Explained | None = None,
) -> Path:
    """Write `report.html` into a run's folder, at once or not at all; `earlier` asks the history;
    `groups`: its failures, where that is known already. Raises OSError, and what a
    journal or a plan that is not ours may lead to."""
    path = folder / NAME
    with Folder.at(folder) as run, whole_file(path) as file:
        groups = explained(plan, result) if groups is None else groups
        context = _context(run, plan, result, mask, earlier, groups)
        for part in _environment(mask).get_template("page.html").generate(context):
            file.write(part.encode("utf-8", "replace"))
    return path


def _environment(mask: Callable[[str], str]) -> Environment:
    def finalize(value: object) -> object:
        return value if isinstance(value, Markup) else mask(printable(str(value)))

    made = Environment(
        loader=FileSystemLoader(_HERE),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=finalize,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters |= {
        "counted": counted,
        "duration": duration,
        "line": one_line,
        "link": link_to,
        "named": some_of,
        "size": _size,
        "symbol": _LOOK.symbol,
    }
    made.globals |= {"beside": beside, "tolerated": tolerated}
    return made


def _context(
    run: Folder,
    plan: Plan,
    result: RunResult,
    mask: Callable[[str], str],
    earlier: AskEarlier,
    groups: Explained,
) -> dict[str, Any]:
    """What the template is given."""
    by_id = {cell.id: cell for cell in result.cells}
    rows, columns, found = laid_out(plan, by_id)
    cells = sorted(result.cells, key=lambda c: (tolerated(c), WORST_FIRST.index(c.verdict)))
    numbers = {cell.id: n for n, cell in enumerate(cells[:_MOST_CELLS])}
    events = tuple(_events(run.path))
    table = read_cases(run.path, plan, result)
    css, script = ((_HERE / name).read_text("utf-8") for name in ("page.css", "page.js"))
    first = began(events)

    def shown(text: str) -> str:
        return mask(printable(text))

    return {
        "css": Markup(css),  # noqa: S704 - a file of ours
        "script": Markup(script),  # noqa: S704
        "csp": _policy(css, script),
        "plan": plan,
        "result": result,
        "began": _date(first.time) if first else "",
        "engine": first.engine if first else "",
        "jobs": first.jobs if first else 0,
        "times": repeated(plan.repeat),
        "tally": _tally(result.cells),
        "flaky_cells": count_flaky(result.cells),
        "rows": rows,
        "columns": columns,
        "grid": found,
        "numbers": numbers,
        "groups": tuple(
            _group(plan, group, by_id)
            | {"since": since_lines(group, earlier), "reasons": reasons[:_REASONS]}
            | {"more_reasons": reasons[_REASONS:]}
            for group, reasons in groups
        ),
        "faults": tuple((fault_title(f), f) for f in group_faults(result.cells)),
        "quiet": tuple(_quiet(result.cells)),
        "unexpected": tuple(passed_by_gating(result.cells)),
        "flaky": tuple(flaky_sections(plan, result.cells)),
        "counts_of": counts_of,
        "warnings": _warnings(plan, result, events),
        "exported": tuple(opens(one) for cell in result.cells for one in exported(cell)),
        "changes": changes_since_before(run.path, plan, result),
        "cases": table,
        "data": Markup(table.json(shown)),  # noqa: S704 - `as_script` leaves nothing to escape
        "cells": _cells(run, plan, cells[:_MOST_CELLS], mask),
        "left_out": max(len(cells) - _MOST_CELLS, 0),
        "timeline": timeline_of(events),
        "width": WIDTH,
        "slowest": sorted(result.cells, key=lambda c: -c.seconds)[:SLOWEST],
    }


def _policy(css: str, script: str) -> str:
    """Nothing but this style and this script, by their digests; no request to anywhere."""

    def digest(text: str) -> str:
        return "'sha256-" + b64encode(sha256(text.encode()).digest()).decode() + "'"

    return (
        f"default-src 'none'; style-src {digest(css)}; script-src {digest(script)}; "
        "base-uri 'none'; form-action 'none'; require-trusted-types-for 'script'"
    )


def _events(folder: Path) -> Iterator[Event]:
    with suppress(FileNotFoundError):
        yield from journal.read(folder / "journal.jsonl")


def _date(seconds: float) -> str:
    with suppress(OverflowError, OSError, ValueError):  # of a journal that is not ours
        return time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime(seconds))
    return ""


def _tally(cells: Sequence[CellResult]) -> tuple[tuple[Verdict, bool, int], ...]:
    """The verdicts, whether they count, and how many there are; the good first."""
    found = Counter((tolerated(cell), cell.verdict) for cell in cells)
    order = (Verdict.PASSED, *WORST_FIRST[:-1])
    return tuple(
        (v, idle, found[idle, v]) for idle in (False, True) for v in order if found[idle, v]
    )


def _group(plan: Plan, group: Group, by_id: dict[str, CellResult]) -> dict[str, Any]:
    """A group with the last lines of one of its cells, its hints, and how to run it again."""
    end = next((by_id[cell] for cell in group.cells if by_id[cell].tail), None)
    return {
        "group": group,
        "end": end,
        "hints": hints_of(group.failures, plan, by_id.values()),
        "again": run_elsewhere(plan, group.cells),
    }


def _quiet(
    cells: Sequence[CellResult],
) -> Iterator[tuple[Verdict, str, dict[str, tuple[str, ...]]]]:
    """What is no failure, with its reasons, each with its cells."""
    for verdict, title, chosen in (
        (Verdict.XFAILED, "failed, as expected", [c for c in cells if c.verdict == "xfailed"]),
        (Verdict.SKIPPED, "skipped", [c for c in cells if c.verdict == "skipped" or c.needing]),
    ):
        if chosen:
            why = ((c.reason or said_of_needs(c.needing), c.id) for c in chosen)
            yield verdict, title, by_reason(why)
    if idle := [cell for cell in cells if tolerated(cell)]:
        yield (
            Verdict.XFAILED,
            "not gating: shown, but not counted",
            by_reason((c.not_gating, c.id) for c in idle),
        )


def _warnings(plan: Plan, result: RunResult, events: tuple[Event, ...]) -> tuple[str, ...]:
    of_cells = (f"{cell.id}: {text}" for cell in result.cells for text in cell.warnings)
    lines = (*warnings_of(events), *unmatched_lines(plan, result.cells), *of_cells)
    return tuple(dict.fromkeys(lines))


def _cells(
    run: Folder, plan: Plan, cells: Sequence[CellResult], mask: Callable[[str], str]
) -> Iterator[ShownCell]:
    """The cells one after the other, as the template comes to them: no two logs are in memory."""
    planned = {cell.id: cell for cell in plan.cells}
    facts = facts_files(run.path)
    room = _LOGS
    for number, result in enumerate(cells):
        name = told_by(result)
        log = log_of(run, name, min(_LOG_OF_BAD if _is_loud(result) else _LOG_OF_GOOD, room), mask)
        room = max(room - len(log.html), 0) if log else room
        files, more = files_of(run, result.id)
        cell = planned.get(result.id)
        yield ShownCell(
            number=number,
            result=result,
            why=cell.reason if cell else "",
            log=log,
            files=tuple((path.removeprefix(f"cells/{result.id}/"), path) for path in files),
            more_files=more,
            facts=facts.get(cell.distro, "") if cell else "",
        )


def _is_loud(cell: CellResult) -> bool:
    return cell.verdict in BAD or cell.verdict is Verdict.XFAILED or bool(cell.flaky)


def _size(number: int) -> str:
    """`512 bytes`, `3.1 KiB`, `2.0 MiB`."""
    if number < _KIB:
        return f"{number} bytes"
    kib = number / _KIB
    return f"{kib:.1f} KiB" if kib < _KIB else f"{kib / _KIB:.1f} MiB"
