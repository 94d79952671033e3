"""`distromatrix why`."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from distromatrix.cli.beside import INTERRUPTED, as_it_is, opened_beside, plan_one
from distromatrix.cli.options import options, settings_here
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
    of failures that it belongs to; of the run its stored plan and the facts of its cells."""

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
        known = [c for c in self.passing(self.groups[0]) if c in able and self._is_known(c)]
        return min(known, key=self._unlike, default="")

    def _unlike(self, cell: str) -> int:
        mine, its = (self.facts[one].packages.items() for one in (self.cell.id, cell))
        return len(mine ^ its)

    def _is_known(self, cell: str) -> bool:
        return cell in self.facts and not self.facts[cell].absent

    def unexplained(self, group: Group) -> tuple[str, bool]:
        """Why a group may have no reasons, and whether that is for lack of facts."""
        passing = self.passing(group)
        if not passing:
            return "it passes nowhere, so there is nothing to compare with", False
        failing = [one for one in group.cells if not self._is_known(one)]
        if failing or not any(map(self._is_known, passing)):
            unknown = some_of(failing or passing, _SHOWN)
            return f"run {self.run.run} has no facts of {unknown}", True
        return "no known fact separates these machines", False


@dataclass(frozen=True, slots=True, kw_only=True)
class Again:
    """What came of running it again: whether it `passed` (None where that cannot be told), which
    cells were `traced`, and which programs and packages these have `opened`."""

    passed: bool | None
    traced: tuple[str, ...]
    opened: frozenset[str]
    logs: Path


@click.command(
    name="why",
    epilog="Exits with 0 if there is an answer (also that it is flaky, or that nothing differs), "
    "2 if it did not fail in that run, 69 if it cannot be told.",
)
@click.argument("cell", metavar="CELL[::CASE]")
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
    other = failed.most_alike(able)
    if other and any(found.values()):
        pair = restrict(plan, {only.id, other}, "not asked for")
        echo(f"running again under strace: {only.id}, and {other}, where it passes", err=True)
        again = _run_again(failed, pair, settings)
        if again is None:
            return INTERRUPTED
        found = failed.reasons(again.opened)
    if as_json:
        echo_json(_as_json(failed, found, again))
    else:
        _show(failed, found, again)
    if again is not None:
        return EXIT_OK if again.traced else EXIT_INFRASTRUCTURE
    lacking = any(failed.unexplained(g)[1] for g, reasons in found.items() if not reasons)
    return EXIT_INFRASTRUCTURE if lacking else EXIT_OK


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
        facts=read_facts(folder),
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
        if used[mine.id] and good is None:
            why = why_not(mine, good, failed.case)
            echo(f"warning: whether {mine.id} fails again cannot be told: {why}", err=True)
        if mine.image and failed.cell.image and mine.image.id != failed.cell.image.id:
            echo(f"warning: {mine.id} has another image than in that run", err=True)
        return Again(
            passed=good,
            traced=tuple(cell for cell in used if used[cell]),
            opened=frozenset[str]().union(*used.values()),
            logs=folder.path,
        )


def _told(reasons: Sequence[Reason]) -> tuple[list[Reason], int]:
    """Those that something points to, else the first; and how many more differences there are."""
    told = [one for one in reasons if one.evidence][:_SHOWN]
    told = told or [one for one in reasons[:_SHOWN] if one.about]
    return told, sum(one.count for one in reasons) - len(told)


def _show(failed: Failed, found: Mapping[Group, Sequence[Reason]], again: Again | None) -> None:
    where = f"{failed.cell.id}{failed.case and f'::{one_line(failed.case)}'}"
    if again is not None and again.passed:
        echo(f"{where} passes when it is run again: it is flaky")
        echo(f"logs    {again.logs}")
        return
    for group, reasons in found.items():
        echo(group.label)
        names = [one_line(one.case.name) for one in group.failures if one.case]
        for name in names[:_SHOWN]:
            echo(f"  {name}")
        if (more := len(names) - _SHOWN) > 0:
            echo(f"  and {more:,} more cases")
        told, more = _told(reasons)
        for one in told:
            clues = ", ".join(_EVIDENCE[clue] for clue in one.evidence)
            echo(f"  differs {one_line(one.text, 400)}{clues and f' ({clues})'}")
        if not told:
            echo(f"  differs {failed.unexplained(group)[0]}")
        elif more:
            echo(f"  and {more:,} more differences")
    if again is not None and again.traced:
        fails = ", fails again" if again.passed is False else ""
        echo(f"traced  {', '.join(again.traced)}{fails}")
        echo(f"logs    {again.logs}")


def _as_json(
    failed: Failed, found: Mapping[Group, Sequence[Reason]], again: Again | None
) -> dict[str, Any]:
    groups = []
    for group, reasons in found.items():
        told, more = _told(reasons)
        groups.append(
            {
                "label": group.label,
                "cells": list(group.cells),
                "cases": [one.case.name for one in group.failures[:1000] if one.case],
                "differs": [
                    {"text": one.text, "about": one.about, "evidence": list(one.evidence)}
                    for one in told
                ],
                "more": more,
                "unexplained": None if told else failed.unexplained(group)[0],
            }
        )
    return {
        "run": failed.run.run,
        "cell": failed.cell.id,
        "case": failed.case or None,
        "passes_again": again.passed if again else None,
        "traced": list(again.traced) if again else [],
        "opened": sorted(again.opened) if again else [],
        "groups": groups,
        "logs": str(again.logs) if again else None,
    }
