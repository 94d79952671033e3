"""A result that comes from elsewhere, made no more than a run of its cell can say."""

from __future__ import annotations

import re
from dataclasses import replace

from distromatrix.model import Cell, CellResult, CellRun, Exported, Fallback, Outcome
from distromatrix.plan.needs import GUESTS

_MAX_REASON = 20_000  # characters
_MAX_LISTED = 10_000  # cases of a cell, as when it ran
_MAX_WARNINGS = 100
_ENGINE = re.compile(r"[a-z0-9-]{1,40}")
_MACHINE = re.compile(r"cells(/[a-z0-9][a-z0-9._-]*)+/machine\.tar")


def bounded(result: CellResult, cell: Cell, repeat: int) -> CellResult:
    """The result of a cell, which is run `repeat` times, as far as it can be true; no machine is
    kept here."""
    engine = result.engine if _ENGINE.fullmatch(result.engine or "") else cell.engine
    return replace(
        result,
        engine=engine,
        reason=result.reason[:_MAX_REASON],
        failing=result.failing[:_MAX_LISTED],
        xfailed=result.xfailed[:_MAX_LISTED],
        xpassed=result.xpassed[:_MAX_LISTED],
        unmatched=result.unmatched[:_MAX_LISTED],
        failed_by=tuple(dict.fromkeys(result.failed_by)),
        statuses=tuple(status for status in result.statuses[:_MAX_LISTED] if 0 < status < 256),
        needing=result.needing[:_MAX_LISTED],
        flaky=result.flaky[:_MAX_LISTED],
        warnings=result.warnings[:_MAX_WARNINGS],
        kept=None,  # on a machine that is gone
        exported=_file_of(result),
        not_gating=cell.not_gating,
        fallback=_guests(result.fallback),
        runs=_runs(result.runs, repeat),
        retries=_runs(result.retries, cell.retry_failed),
    )


def _runs(runs: tuple[CellRun, ...], most: int) -> tuple[CellRun, ...]:
    """Those of numbers that there are."""
    return tuple(
        replace(run, kept=None, exported=_file_of(run), fallback=_guests(run.fallback))
        for run in runs
        if 1 <= run.repeat <= most
    )


def _guests(fallback: tuple[Fallback, ...]) -> tuple[Fallback, ...]:
    """Those in engines that there are: their names are folders."""
    return tuple(
        replace(one, kept=None, exported=_file_of(one)) for one in fallback if one.engine in GUESTS
    )


def _file_of(outcome: Outcome) -> Exported | None:
    """The file of its machine, where that may be one."""
    found = outcome.exported
    return found if found and _MACHINE.fullmatch(found.file) else None
