"""Run folders as the jobs of a CI leave them, for the tests of what merges them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from datetime import date
from pathlib import Path

from report_samples import make_plan, result

from distromatrix.merge import find_shards, localised, merge
from distromatrix.model import CellResult, HostFacts, Plan, RunResult, Selection, Shard
from distromatrix.plan.file import WHOLE, PlanFile, plan_file, save_plan, store_plan
from distromatrix.plan.shards import shard_of
from distromatrix.record.events import CellFinished, Event, RepeatFinished, RunFinished, RunStarted
from distromatrix.record.folder import RunFolder
from distromatrix.record.journal import Journal
from distromatrix.record.verdicts import run_verdict

FACTS = HostFacts(arch="x86_64", cpus=2, memory=1, today=date(2026, 1, 1))
CELLS = tuple(
    f"{distro}/{suite}"
    for distro in ("debian-11", "debian-12", "alpine-3.20")
    for suite in ("unit", "docs")
)


def whole(plan: Plan) -> PlanFile:
    return plan_file(plan, FACTS, Selection(), {cell.id: 10.0 for cell in plan.cells})


@dataclass
class World:
    """A project in `root`, and the folder `jobs` to which the artifacts of all jobs came."""

    root: Path
    of: int = 3
    plan: Plan = field(init=False)

    def __post_init__(self) -> None:
        self.jobs.mkdir(parents=True)
        self.plan = make_plan(*CELLS, root=self.root)

    @property
    def jobs(self) -> Path:
        return self.root / "jobs"

    def cells_of(self, number: int) -> tuple[str, ...]:
        file = whole(self.plan)
        part = shard_of(file.plan, file.seconds, Shard(number, self.of))
        return tuple(cell.id for cell in part.cells)

    def leave(
        self,
        number: int,
        *results: CellResult,
        name: str = "",
        time: float = 1000.0,
        end: bool = True,
        interrupted: str = "",
        exit_code: int | None = None,
        more: Iterable[Event] = (),
        snapshot: str = "",
    ) -> Path:
        """The folder of a shard that ran: what is not among `results` has passed."""
        shard = Shard(number, self.of)
        file = whole(self.plan)
        folder = self.jobs / f"job-{name or number}" / (name or f"run-{number}")
        folder.mkdir(parents=True)
        (folder / "lock").touch()
        save_plan(replace(file, shard=shard, snapshot=snapshot), folder / WHOLE)
        store_plan(shard_of(self.plan, file.seconds, shard), folder / "plan.json")
        given = {one.id: one for one in results}
        cells = tuple(given.get(c) or result(c, seconds=2.0) for c in self.cells_of(number))
        with Journal(folder / "journal.jsonl") as journal:
            journal(
                RunStarted(
                    run=folder.name, cells=self.cells_of(number), jobs=2, engine="e", time=time
                )
            )
            for event in more:
                journal(event)
            for cell in cells:
                if self.plan.repeat == 1:
                    journal(CellFinished(result=cell, time=time + 1))
            verdict, code = run_verdict(cells, interrupted)
            if end:
                journal(
                    RunFinished(
                        verdict=verdict,
                        exit_code=code if exit_code is None else exit_code,
                        seconds=5.0 + number,
                        interrupted=interrupted,
                        time=time + 2,
                    )
                )
        for cell in cells:
            log = folder / "cells" / cell.id / "log.txt"
            log.parent.mkdir(parents=True)
            log.write_text(f"said in {folder.name}\n")
        return folder

    def leave_all(self, *results: CellResult) -> None:
        for number in range(1, self.of + 1):
            self.leave(number, *results)

    def merged(self, *given: Path, file: PlanFile | None = None) -> RunResult:
        found = find_shards(given or (self.jobs,), file)
        with RunFolder.create(self.root) as folder:
            return merge(found, localised(found.file.plan, self.root), folder)

    def warnings(self, *given: Path, file: PlanFile | None = None) -> tuple[str, ...]:
        return find_shards(given or (self.jobs,), file).warnings

    def repeating(self, times: int) -> None:
        self.plan = replace(self.plan, repeat=times)


def by_id(merged: RunResult) -> dict[str, CellResult]:
    return {cell.id: cell for cell in merged.cells}


def repeat(cell: str, number: int, **fields: object) -> RepeatFinished:
    return RepeatFinished(result=result(cell, **fields), repeat=number)  # type: ignore[arg-type]
