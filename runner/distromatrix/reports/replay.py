"""A run's result, made again from its journal, the stored plan and the cells' JUnit files; a
journal that `kill -9` cut off will do."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path

from distromatrix.collect.tally import join
from distromatrix.collect.text import one_line
from distromatrix.model import Cell, CellResult, Plan, RunResult
from distromatrix.record import journal
from distromatrix.record.events import (
    CellFinished,
    Event,
    RepeatFinished,
    RunFinished,
    RunStarted,
    Warned,
)
from distromatrix.record.repetitions import Runs
from distromatrix.record.verdicts import not_run, run_verdict, with_gating

KILLED = "killed"


def read_run(folder: Path) -> RunResult:
    """The result of the run in `folder`. Raises InputError when its plan cannot be read.

    A run that did not come to its end (killed, or still running) is `interrupted`; cells that
    have no verdict are `skipped`, and say so.
    """
    from distromatrix.plan.file import read_plan

    return replay(read_plan(folder / "plan.json"), _events(folder / "journal.jsonl"), folder)


def finished(path: Path, repeat: int = 1) -> tuple[CellResult, ...]:
    """What a resumed run need not do again: the cells of a journal that have a verdict, on all
    of their `repeat` runs."""
    results = {e.result.id: e.result for e in _events(path) if isinstance(e, CellFinished)}
    return tuple(
        r for r in results.values() if not _cut_off(r) and (not r.runs or len(r.runs) == repeat)
    )


def _cut_off(result: CellResult) -> bool:
    """Whether its turn, or that of cases of it in a guest, had not come (--fail-fast): with an
    engine and still skipped, and in no phase, as one is that has skipped itself."""
    cases = any(one.left_out for one in result.fallback)
    return cases or (result.left_out and result.engine is not None)


def repeated(path: Path) -> tuple[tuple[int, CellResult], ...]:
    """The single runs of repeated cells that a journal tells of, with their numbers."""
    events = (e for e in _events(path) if isinstance(e, RepeatFinished))
    found = (e for e in events if not _cut_off(e.result))
    return tuple({(e.result.id, e.repeat): (e.repeat, e.result) for e in found}.values())


def warnings(folder: Path) -> tuple[str, ...]:
    """The warnings of the run in `folder`, each once, as one line: another job's may be more."""
    return warnings_of(_events(folder / "journal.jsonl"))


def warnings_of(events: Iterable[Event]) -> tuple[str, ...]:
    """Those of a journal's events."""
    texts = (e.text for e in events if isinstance(e, Warned))
    return tuple(dict.fromkeys(filter(None, (one_line(text, 1000) for text in texts))))


def replay(
    plan: Plan,
    events: Iterable[Event],
    folder: Path,
    rest: Callable[[Cell], CellResult] | None = None,
) -> RunResult:
    """The result that `events` tell of `plan`. The last verdict of a cell counts; the times of
    all starts of a run (`--resume`) add up. `rest`: what is said of cells, and of runs of a
    repeated cell, that are missing."""
    results: dict[str, CellResult] = {}
    runs = {c.id: Runs(c.id, plan.repeat) for c in plan.cells if plan.repeat > 1}
    end: RunFinished | None = None
    run, seconds, began, last = folder.name, 0.0, None, 0.0
    for event in events:
        if isinstance(event, RunStarted):
            seconds += last - began if began is not None else 0.0  # the one before was killed
            run, began, end = event.run, event.time, None
        elif isinstance(event, CellFinished):
            results[event.result.id] = event.result
        elif isinstance(event, RepeatFinished) and event.result.id in runs:
            results.pop(event.result.id, None)  # that it had before it was gone on with
            runs[event.result.id].add(event.repeat, event.result)
        elif isinstance(event, RunFinished):
            end, began = event, None
            seconds += event.seconds
        last = event.time
    if began is not None:
        seconds += last - began
    interrupted = end.interrupted if end else KILLED
    why = "not run" if end else "not run: the run was killed, or still runs"

    def of(cell: Cell) -> CellResult:
        missing = rest(cell) if rest else not_run(cell, why)
        if cell.id not in runs:
            return missing
        return join(runs[cell.id], folder, missing if runs[cell.id].left else None)

    cells = tuple(with_gating(results.get(c.id) or of(c), c) for c in plan.cells)
    verdict, exit_code = run_verdict(cells, interrupted)
    return RunResult(
        run=run,
        folder=folder,
        verdict=end.verdict if end else verdict,
        exit_code=end.exit_code if end else exit_code,
        cells=cells,
        seconds=round(max(seconds, 0.0), 3),
        interrupted=interrupted,
    )


def _events(path: Path) -> Iterable[Event]:
    try:
        yield from journal.read(path)
    except FileNotFoundError:
        return  # killed before it wrote a word
