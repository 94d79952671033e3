"""One run of the shards of a plan, wherever they ran: a run folder like any other.

A shard that left no run, and a cell that has no verdict, is an `error`: nothing is passed over
in silence.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from distromatrix.collect.facts import add_facts, read_facts
from distromatrix.merge.bounded import bounded
from distromatrix.merge.found import FoundShards, ShardFolder, find_shards
from distromatrix.merge.untrusted import UnusableError, events, take_over
from distromatrix.model import (
    Cell,
    CellResult,
    Plan,
    RunResult,
    Verdict,
)
from distromatrix.plan.file import WHOLE, save_plan, store_plan
from distromatrix.plan.shards import shards
from distromatrix.record.events import (
    CellFallback,
    CellFinished,
    CellPhase,
    CellProgress,
    CellRetried,
    CellStarted,
    Event,
    ImageProgress,
    RepeatFinished,
    RunFinished,
    RunStarted,
    Warned,
)
from distromatrix.record.folder import RunFolder
from distromatrix.record.journal import Journal, read
from distromatrix.record.verdicts import not_run, run_verdict
from distromatrix.reports.replay import read_run, replay

__all__ = ["FoundShards", "find_shards", "localised", "merge"]


def localised(plan: Plan, root: Path) -> Plan:
    """A plan file's plan for the project in the folder `root`."""
    root = root.absolute()
    return replace(
        plan,
        root=root,
        matrix=root / plan.matrix,
        product=replace(plan.product, path=(root / plan.product.path).resolve()),
    )


def merge(found: FoundShards, plan: Plan, folder: RunFolder, command: str = "") -> RunResult:
    """Fill an empty run folder with what the shards left; `plan` is that of `found`, for the
    project here. Raises OSError and InfrastructureError where it cannot be written."""
    store_plan(plan, folder.plan)
    save_plan(replace(found.file, shard=None, snapshot=""), folder.path / WHOLE)
    with Journal(folder.journal) as journal:
        joining = _Joining(found, plan, folder, journal)
        journal(
            RunStarted(
                run=folder.id,
                cells=tuple(cell.id for cell in plan.cells),
                jobs=max(len(found.shards), 1),
                engine="",
                command=command,
                repeat=plan.repeat,
                seed=plan.seed,
            )
        )
        for text in found.warnings:
            journal(Warned(text=text))
        for shard in found.shards:
            joining.add(shard)
        joining.end()
    return read_run(folder.path)


@dataclass(slots=True)
class _Told:
    """What the journal of one shard told, beside the results of its cells."""

    begun: bool = False
    ended: RunFinished | None = None
    seconds: float = 0.0
    not_run: list[Event] = field(default_factory=list)
    results: dict[str, CellResult] = field(default_factory=dict)


class _Joining:
    def __init__(self, found: FoundShards, plan: Plan, folder: RunFolder, journal: Journal) -> None:
        self._found = found
        self._plan = plan
        self._folder = folder
        self._journal = journal
        self._why: dict[str, str] = {}  # cell -> why it has no verdict, if it has none
        self._finished: set[str] = set()
        self._seconds = 0.0
        self._allow_unmet = True
        self._fail_on_flaky = False
        if found.of:
            parts = shards(found.file.plan, found.file.seconds, found.of)
        else:
            parts = (found.file.plan.cells,)
        local = {cell.id: cell for cell in plan.cells}
        self._parts = [{cell.id: local[cell.id] for cell in part} for part in parts]
        for number, part in enumerate(self._parts, start=1):
            lost = f"shard {number}/{found.of} is lost: its job left no run"
            if not found.of:
                lost = "no job left a run: all shards are lost"
            self._why |= dict.fromkeys(part, lost)

    def add(self, one: ShardFolder) -> None:
        """Take over what one shard left."""
        cells = self._parts[one.shard.number - 1]
        left_out = sum(self._files(one, cell) for cell in cells)
        add_facts(self._folder.path, {c: f for c, f in read_facts(one.path).items() if c in cells})
        if left_out:
            self._warn(one, f"not taken over: {left_out:,} links, odd files or deep folders")
        told = _Told()
        try:
            for event in self._events(one, cells, told):
                if _not_run(event):  # whether that is an answer is known at its end
                    told.not_run.append(event)
                else:
                    self._write(event, told)
        except UnusableError as error:
            self._warn(one, str(error))
        if told.ended is not None and not told.ended.interrupted:
            for event in told.not_run:
                self._write(event, told)
        self._seconds = max(self._seconds, told.seconds)
        self._look_at_options(told)
        self._why |= dict.fromkeys(cells, _why(one, told))

    def end(self) -> None:
        """Say what is to be said of those without a verdict, and of the whole."""
        result = replay(self._plan, read(self._folder.journal), self._folder.path, rest=self._rest)
        for cell in result.cells:
            if cell.id not in self._finished:
                self._journal(CellFinished(result=cell, log=self._log(cell.id)))
        verdict, exit_code = run_verdict(
            result.cells, allow_unmet=self._allow_unmet, fail_on_flaky=self._fail_on_flaky
        )
        self._journal(
            RunFinished(verdict=verdict, exit_code=exit_code, seconds=round(self._seconds, 3))
        )

    def _files(self, one: ShardFolder, cell: str) -> int:
        """Take a cell's files over; how many were left out."""
        try:
            return take_over(one.path, f"cells/{cell}", lambda: self._folder.cell(cell))
        except UnusableError:
            return 1

    def _events(self, one: ShardFolder, cells: Mapping[str, Cell], told: _Told) -> Iterator[Event]:
        """The events of a shard that are of its cells, as far as they can be true."""
        began = last = 0.0
        others = 0
        for event in events(one.path / "journal.jsonl"):
            if isinstance(event, RunStarted):
                told.seconds += max(last - began, 0.0) if told.begun and not told.ended else 0.0
                told.begun, told.ended, began = True, None, event.time
            elif isinstance(event, RunFinished):
                told.ended = event
                told.seconds += event.seconds
            elif isinstance(event, CellFinished | RepeatFinished):
                if event.result.id in cells:
                    yield self._checked(event, cells[event.result.id])
                else:
                    others += 1
            elif isinstance(
                event, CellStarted | CellProgress | CellPhase | CellFallback | CellRetried
            ):
                if event.cell in cells:
                    yield event
            elif isinstance(event, ImageProgress | Warned):
                yield event
            last = event.time
        if told.begun and told.ended is None:
            told.seconds += max(last - began, 0.0)
        if others:
            self._warn(one, f"not counted: {others:,} results of cells that are not its own")

    def _write(self, event: Event, told: _Told) -> None:
        if isinstance(event, RepeatFinished):
            if not 1 <= event.repeat <= self._plan.repeat:
                return
            self._finished.discard(event.result.id)
        elif isinstance(event, CellFinished):
            self._finished.add(event.result.id)
            told.results[event.result.id] = event.result
        self._journal(event)

    def _checked(
        self, event: CellFinished | RepeatFinished, cell: Cell
    ) -> CellFinished | RepeatFinished:
        result = bounded(event.result, cell, self._plan.repeat)
        return replace(event, result=result, log=self._log(cell.id))

    def _log(self, cell: str) -> str:
        log = f"cells/{cell}/log.txt"
        return log if (self._folder.path / log).exists() else ""

    def _look_at_options(self, told: _Told) -> None:
        """--allow-unmet and --fail-on-flaky are options of the run, of which only its exit code
        tells."""
        cells = tuple(told.results.values())
        failed = told.ended is not None and told.ended.exit_code != 0
        if not failed or run_verdict(cells, allow_unmet=True)[1] != 0:
            return
        if any(cell.unmet for cell in cells):
            self._allow_unmet = False
        elif any(cell.flaky for cell in cells):
            self._fail_on_flaky = True

    def _rest(self, cell: Cell) -> CellResult:
        if cell.engine is None and cell.verdict is not None:  # known before any job began
            self._allow_unmet &= not cell.unmet
            return not_run(cell)
        why = self._why[cell.id]
        return CellResult(id=cell.id, verdict=Verdict.ERROR, engine=cell.engine, reason=why)

    def _warn(self, one: ShardFolder, text: str) -> None:
        self._journal(Warned(text=f"shard {one.shard}: {text}"))


def _not_run(event: Event) -> bool:
    """Whether it says that a cell's turn had not come."""
    result = event.result if isinstance(event, CellFinished) else None
    return result is not None and result.left_out and result.engine is not None


def _why(one: ShardFolder, told: _Told) -> str:
    """What is said of a cell that has no verdict though its shard left a run."""
    if not told.begun:
        return f"shard {one.shard} ended before it began a cell: its job was killed"
    if told.ended and told.ended.interrupted:
        return f"shard {one.shard} was interrupted ({told.ended.interrupted}) before its verdict"
    if told.ended:
        return f"shard {one.shard} came to its end without a verdict on this cell"
    return f"shard {one.shard} ended before its verdict: its job was killed, or its files are cut"
