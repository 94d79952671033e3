"""Pages of made-up runs, and what a product may print into them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from report_samples import make_plan

from distromatrix.model import CellResult, RunResult, Verdict
from distromatrix.plan.file import store_plan
from distromatrix.record.events import CellFinished, Event
from distromatrix.record.journal import Journal
from distromatrix.reports.html.page import write_page

HOSTILE = (
    "</script><script>alert(1)</script>",
    "<!--<script>",
    "<img src=x onerror=alert(1)>",
    "'\"><svg onload=alert(1)>",
    "{{ 7*7 }}{% include 'x' %}",
    "x" * 10_240,
    "\u202egnp.exe",
    "line\u2028separator",
    "nul\x00 esc\x1b[2J bell\x07",
    "\ud800 lone",
)


def page(
    folder: Path,
    *cells: CellResult,
    events: tuple[Event, ...] = (),
    root: Path = Path("/p"),
    mask: Callable[[str], str] = str,
) -> str:
    """The page of a run of these cells, whose folder is `folder`."""
    plan = make_plan(*(cell.id for cell in cells), root=root)
    bad = any(cell.verdict is Verdict.FAILED for cell in cells)
    outcome = RunResult(
        run=folder.name,
        folder=folder,
        verdict=Verdict.FAILED if bad else Verdict.PASSED,
        exit_code=int(bad),
        cells=cells,
        seconds=2.5,
    )
    folder.mkdir(parents=True, exist_ok=True)
    store_plan(plan, folder / "plan.json")
    with Journal(folder / "journal.jsonl") as journal:
        for event in (*events, *(CellFinished(result=cell) for cell in cells)):
            journal(event)
    return write_page(folder, plan, outcome, mask).read_text("utf-8")


def leave(folder: Path, cell: str, name: str, content: str | bytes) -> None:
    path = folder / "cells" / cell / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content.encode() if isinstance(content, str) else content)
