"""Cells, or one case of them, run again beside the project's runs: what came of them there."""

from __future__ import annotations

from pathlib import Path

from distromatrix.collect.errors import CollectError
from distromatrix.collect.retried import parse_cell
from distromatrix.collect.text import one_line
from distromatrix.engines import Engines
from distromatrix.execute.executor import execute
from distromatrix.execute.job import Options
from distromatrix.load.settings import Settings
from distromatrix.model import GREEN, RED, Case, CellResult, Plan, RunResult
from distromatrix.project.session import begin_run, job_of
from distromatrix.record.folder import RunFolder
from distromatrix.record.journal import Journal

_BAD = ("failed", "error")


def run_again(
    plan: Plan,
    engines: Engines,
    settings: Settings,
    folder: RunFolder,
    case: str = "",
) -> RunResult:
    """The result of a plan, of which suites with `cases: true` run that `case` alone. Raises
    InputError where the product lacks what the plan needs, KeyboardInterrupt."""
    snapshot = begin_run(plan, folder, engines.containers)
    options = Options(retries=1, only=(case,) if case else ())
    with Journal(folder.journal) as journal:
        result = execute(job_of(plan, engines, settings, folder, snapshot, journal, options))
    if result.interrupted:
        raise KeyboardInterrupt
    return result


def is_called(name: str, case: str) -> bool:
    """Whether a case of that name may be called so: with or without its class."""
    return case in (name, name.rpartition("::")[2])


def passed(cell: CellResult, folder: Path, case: str = "") -> bool | None:
    """Whether a cell, or a case of it, passed in the run of that folder; None where it cannot be
    told."""
    if not case:
        return True if cell.verdict in GREEN else False if cell.verdict in RED else None
    found: list[str] = []

    def see(one: Case) -> None:
        if is_called(one.name, case):
            found.append(one.status)

    try:
        parse_cell(folder / "cells" / cell.id, cell, see)
    except (FileNotFoundError, CollectError):
        return None
    if any(status in _BAD for status in found):
        return False
    return True if "passed" in found else None


def why_not(cell: CellResult, good: bool | None, case: str = "") -> str:
    """Why `passed` says so, in a line; '' where it did."""
    if good is None and case and cell.verdict in (*GREEN, *RED):
        return f"no case {one_line(case, 80)} ran"
    return "" if good else one_line(cell.reason or str(cell.verdict))
