"""`distromatrix why`."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from distromatrix.cli.beside import INTERRUPTED, as_it_is, opened_beside, plan_one
from distromatrix.cli.options import completing, options, settings_here
from distromatrix.cli.output import echo, echo_json
from distromatrix.cli.trust import allow
from distromatrix.collect.text import one_line
from distromatrix.errors import EXIT_INFRASTRUCTURE, EXIT_OK, InputError
from distromatrix.model import RED, CellResult, Plan, Reason, RunResult, Selection, Verdict
from distromatrix.project.project import load_project, restrict
from distromatrix.wording import some_of

if TYPE_CHECKING:
    from distromatrix.load.settings import Settings
    from distromatrix.model import Facts
    from distromatrix.reports.grouping import Group

_SHOWN = 5  # reasons of a group, and cases
_EVIDENCE = {"output": "named in the output", "opened": "opened", "suite": "named by the suite"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Failed:
    """A `cell`, or a `case` of it ('': all that failed), that failed in a run, with the `groups`
    of failures that it belongs to; of the run its stored plan and the facts that are known."""

    cell: CellResult
    case: str
    groups: tuple[Group, ...]
    plan: Plan
    run: RunResult
    facts: Mapping[str, Facts]

    def reasons(self, opened: Collection[str] = ()) -> dict[Group, tuple[Reason, ...]]:
        """What separates each group from where it passes, the likeliest first."""
        from distromatrix.reports.reasons import reasons_of

        of_run = (self.plan, self.run.cells, self.facts, opened)
        return {group: reasons_of(group, *of_run) for group in self.groups}

    def passing(self, group: Group) -> tuple[str, ...]:
        """The cells where a group's failures pass."""
        from distromatrix.reports.reasons import where_it_passes

        return where_it_passes(group, self.plan, self.run.cells)

    def most_alike(self, able: Collection[str]) -> str:
        """Of the cells where the first group's failures pass and that are `able` to run again, the
        one whose machine differs least; '' where there is none."""
        known = [c for c in self.passing(self.groups[0]) if c in able and c in self.facts]
        return min(known, key=self._unlike, default="")

    def _unlike(self, cell: str) -> tuple[bool, int]:
        mine, its = self.facts[self.cell.id], self.facts[cell]
        return mine.manager != its.manager, len(mine.packages.items() ^ its.packages.items())

    def unknown(self, group: Group) -> tuple[str, ...]:
        """The cells without whose facts nothing can be said of a group."""
        failing = tuple(one for one in group.cells if one not in self.facts)
        passing = self.passing(group)
        return failing if failing or not self.facts.keys().isdisjoint(passing) else passing

    def unexplained(self, group: Group) -> str:
        """Why a group may have no reasons."""
        if not self.passing(group):
            return "it passes nowhere, so there is nothing to compare with"
        if unknown := self.unknown(group):
            return f"run {self.run.run} has no facts of {some_of(unknown, _SHOWN)}"
        return "no known fact separates these machines"


@dataclass(frozen=True, slots=True, kw_only=True)
class Again:
    """What came of running it again: whether it `passed` (None where that cannot be told) and why
    not, which cells were `traced`, and which programs and packages these have `opened`."""

    passed: bool | None
    reason: str
    traced: tuple[str, ...]
    opened: frozenset[str]
    logs: Path


@click.command(
    name="why",
    epilog="Exits with 0 if there is an answer (also that it is flaky, or that nothing differs), "
    "2 if it did not fail in that run, 69 if it cannot be told.",
)
@click.argument("cell", metavar="CELL[::CASE]", shell_complete=completing("cells"))
@options("directory", "file", "engine", "timeout")
@click.option("--run", metavar="RUN", help="Run in which it failed (default: the latest).")
@options("trust", "as_json")
def command(
    cell: str,
    directory: Path,
    file: Path | None,
    timeout: float | None,
    run: str | None,
    as_json: bool,
) -> int:
    """Show what may be why a cell, or a case of it, fails only there.

    Runs it again where it failed, and where it passes on the most similar distribution, both under
    strace, which is installed in their images for that. Of all that differs between machines, what
    the failing output names and what was opened or executed comes first.

    \b
    Examples:
      distromatrix why debian-11/unit
      distromatrix why debian-11/unit::test_login
      distromatrix why alpine-3.20/unit --run 20261123-101500-1a2b --json
    """
    from distromatrix.record.folder import find_run
    from distromatrix.reports.grouping import column_of

    settings = settings_here()
    project = load_project(directory, file, settings)
    name, _, case = cell.partition("::")
    _, only = plan_one(project, name, "why", timeout)
    column = column_of(only)
    plan = as_it_is(project.plan(Selection(selectors=(f"*/{column}",), timeout=timeout)))
    able = {one.id for one in plan.cells if column_of(one) == column and one.engine}
    allow(restrict(plan, able, "not asked for"))
    failed = _failed(find_run(plan.root, run), only.id, case)
    found, again = failed.reasons(), None
    if any(found.values()) and (other := failed.most_alike(able)):
        pair = restrict(plan, {only.id, other}, "not asked for")
        echo(f"running again under strace: {only.id}, and {other}, where it passes", err=True)
        again = _run_again(failed, pair, settings)
        if again is None:
            return INTERRUPTED
        found = failed.reasons(again.opened)
    answer = _answer(failed, found, again)
    if as_json:
        echo_json(answer)
    else:
        _show(answer)
    told = again.traced if again else not any(map(failed.unknown, failed.groups))
    return EXIT_OK if told else EXIT_INFRASTRUCTURE


def _failed(folder: Path, cell: str, case: str) -> Failed:
    """What failed in the run of that folder. Raises InputError where it did not."""
    from distromatrix.collect.facts import read_facts
    from distromatrix.plan.file import read_plan
    from distromatrix.project.again import is_called
    from distromatrix.reports.grouping import group_failures
    from distromatrix.reports.replay import read_run

    run, plan = read_run(folder), read_plan(folder / "plan.json")
    result = next((one for one in run.cells if one.id == cell), None)
    if result is None or result.verdict not in RED:
        said = f"{result.verdict}: {one_line(result.reason)}" if result else "it is not part of it"
        said = said.removesuffix(": ")
        raise InputError(f"{cell} did not fail in run {run.run} ({said})")
    run = replace(run, cells=tuple(map(_unexpected, run.cells)))
    groups = []
    names: list[str] = []
    for group in group_failures(plan, run.cells):
        mine = [failure for failure in group.failures if cell in failure.cells]
        names += [failure.case.name for failure in mine if failure.case]
        if case:
            mine = [one for one in mine if one.case and is_called(one.case.name, case)]
        if mine:
            groups.append(replace(group, failures=tuple(mine)))
    if not groups:
        raise InputError(
            f"{cell}: no case {one_line(case)} failed in run {run.run}; these did: "
            f"{some_of([*map(one_line, names)], _SHOWN) or 'none'}"
        )
    if case:
        case = next(failure.case.name for failure in groups[0].failures if failure.case)
    return Failed(
        cell=result,
        case=case,
        groups=tuple(groups),
        plan=plan,
        run=run,
        facts={cell: one for cell, one in read_facts(folder).items() if not one.absent},
    )


def _unexpected(result: CellResult) -> CellResult:
    """The same, of which no rule expects that cases fail, or the whole."""
    if result.verdict is not Verdict.XFAILED and not result.failing:
        return result
    failing = (*result.failing, *result.xfailed)
    return replace(result, verdict=Verdict.FAILED, failing=failing, xfailed=())


def _run_again(failed: Failed, plan: Plan, settings: Settings) -> Again | None:
    """What comes of a failed cell, and of one where it passes, that are run again. None where
    that was interrupted."""
    from distromatrix.project.again import passed, run_again, why_not
    from distromatrix.project.opened import tracing, used_by
    from distromatrix.record.folder import WHYS

    plan = tracing(plan, failed.cell.phase)
    with opened_beside(plan, settings, WHYS) as (engines, folder):
        try:
            result = run_again(plan, engines, settings, folder, failed.case)
        except KeyboardInterrupt:
            echo(f"interrupted; logs: {folder.path}", err=True)
            return None
        used = {c.id: used_by(folder.path, c.id, failed.facts[c.id]) for c in result.cells}
        for one in result.cells:
            if not used[one.id]:
                why = one.reason if one.verdict is Verdict.ERROR else "strace left no word"
                echo(f"warning: {one.id} was not traced: {one_line(why, 300)}", err=True)
        mine = next(one for one in result.cells if one.id == failed.cell.id)
        good = passed(mine, folder.path, failed.case) if used[mine.id] else None
        why = why_not(mine, good, failed.case)
        if used[mine.id] and good is None:
            echo(f"warning: whether {mine.id} fails again cannot be told: {why}", err=True)
        if mine.image and failed.cell.image and mine.image.id != failed.cell.image.id:
            echo(f"warning: {mine.id} has another image than in that run", err=True)
        return Again(
            passed=good,
            reason=why,
            traced=tuple(cell for cell in used if used[cell]),
            opened=frozenset[str]().union(*used.values()),
            logs=folder.path,
        )


def _answer(
    failed: Failed, found: Mapping[Group, Sequence[Reason]], again: Again | None
) -> dict[str, Any]:
    """What `--json` prints. Of each group those reasons that something points to, else the first,
    and how many more there are."""
    groups = []
    for group, reasons in found.items():
        told = [one for one in reasons if one.evidence] or [one for one in reasons if one.about]
        told = told[:_SHOWN]
        groups.append(
            {
                "label": group.label,
                "cells": list(group.cells),
                "cases": [one.case.name for one in group.failures[:1000] if one.case],
                "differs": [
                    {"text": one.text, "about": one.about, "evidence": list(one.evidence)}
                    for one in told
                ],
                "more": sum(one.count for one in reasons) - len(told),
                "unexplained": None if told else failed.unexplained(group),
            }
        )
    opened = again.opened if again else ()
    packages = {name for one in failed.facts.values() for name in one.packages}
    return {
        "run": failed.run.run,
        "cell": failed.cell.id,
        "case": failed.case or None,
        "passes_again": again.passed if again else None,
        "reason": again.reason if again else None,
        "traced": list(again.traced) if again else [],
        "opened": sorted(packages.intersection(opened)),
        "groups": groups,
        "logs": str(again.logs) if again else None,
    }


def _show(answer: Mapping[str, Any]) -> None:
    """The same, for people."""
    if answer["passes_again"]:
        where = (
            f"{answer['cell']}::{one_line(answer['case'])}" if answer["case"] else answer["cell"]
        )
        echo(f"{where} passes when it is run again: it is flaky")
    else:
        for group in answer["groups"]:
            echo(group["label"])
            for name in group["cases"][:_SHOWN]:
                echo(f"  {one_line(name)}")
            if (more := len(group["cases"]) - _SHOWN) > 0:
                echo(f"  and {more:,} more cases")
            for one in group["differs"]:
                clues = ", ".join(_EVIDENCE[clue] for clue in one["evidence"])
                echo(f"  differs {one_line(one['text'], 400)}{clues and f' ({clues})'}")
            if not group["differs"]:
                echo(f"  differs {group['unexplained']}")
            elif group["more"]:
                echo(f"  and {group['more']:,} more differences")
        if answer["traced"]:
            fails = f"; fails again: {answer['reason']}" if answer["passes_again"] is False else ""
            echo(f"traced  {', '.join(answer['traced'])}{fails}")
    if answer["logs"]:
        echo(f"logs    {answer['logs']}")
