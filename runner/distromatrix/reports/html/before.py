"""What changed against the run before: of the same matrix, with some of the same cells."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from distromatrix.errors import InputError
from distromatrix.model import BAD, RAN, CellResult, Plan, RunResult, Verdict
from distromatrix.plan.file import read_plan, shard_stamp
from distromatrix.record.folder import all_runs, is_alive
from distromatrix.reports.replay import read_run

_LOOKED_AT = 10  # runs
_BIGGEST = 64 * 1024 * 1024  # bytes of a journal


@dataclass(frozen=True, slots=True, kw_only=True)
class Changes:
    """`run`: the run before. What fails that did not (`broken`) and what no longer fails
    (`mended`): cells, and cases as `cell::case`. `still`: how many cells fail as before; `new`:
    how many had no verdict there. `has_page`: its page is
    where a link leads."""

    run: str
    has_page: bool
    broken: tuple[str, ...]
    mended: tuple[str, ...]
    still: int
    new: int


def changes_since_before(folder: Path, plan: Plan, result: RunResult) -> Changes | None:
    """The changes since the newest run before the one in `folder`; None where there is none."""
    try:
        older = [run for run in all_runs(plan.root) if run.name < folder.name]
    except InputError:
        return None
    for run in islice(reversed(older), _LOOKED_AT):
        if (before := _cells(run, plan)) is None:
            continue
        found = [(before[c.id], c) for c in result.cells if c.id in before]
        if found:
            there = run.parent == folder.parent and (run / "report.html").is_file()
            return _compare(run.name, there, found, len(result.cells) - len(found))
    return None


def _cells(run: Path, plan: Plan) -> dict[str, CellResult] | None:
    """The cells of a run that came to a verdict; None where it tells nothing of this matrix."""
    try:
        if "shard" in shard_stamp(run):
            return None
        if is_alive(run) or (run / "journal.jsonl").stat().st_size > _BIGGEST:
            return None
        if read_plan(run / "plan.json").matrix != plan.matrix:
            return None
        return {c.id: c for c in read_run(run).cells if c.verdict in (*RAN, Verdict.ERROR)}
    except (InputError, OSError):
        return None


def _compare(
    run: str, has_page: bool, found: list[tuple[CellResult, CellResult]], new: int
) -> Changes:
    broken: list[str] = []
    mended: list[str] = []
    still = 0
    for old, now in found:
        was, now_bad = _failing(old), _failing(now)
        broken += [one for one in now_bad if one not in was]
        mended += [one for one in was if one not in now_bad and now.verdict in RAN]
        still += bool(was) and was == now_bad
    return Changes(
        run=run,
        has_page=has_page,
        broken=tuple(broken),
        mended=tuple(mended),
        still=still,
        new=new,
    )


def _failing(cell: CellResult) -> tuple[str, ...]:
    """What is bad of a cell: its cases, or where no case is, itself."""
    if cell.verdict not in BAD:
        return ()
    cases = tuple(f"{cell.id}::{case.name}" for case in (*cell.failing, *cell.xpassed))
    return cases or (cell.id,)
