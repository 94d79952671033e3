"""`distromatrix plan`."""

from __future__ import annotations

import platform
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from distromatrix.cli.options import (
    FIXED_PLAN,
    NOTHING,
    WithChanged,
    only_touched,
    open_project,
    options,
    settings_here,
)
from distromatrix.cli.output import echo, echo_json
from distromatrix.cli.plan.jobs import github_matrix, show_jobs
from distromatrix.collect.text import one_line
from distromatrix.errors import InputError
from distromatrix.files.whole import writing
from distromatrix.model import SHARDS, AccelWanted, Plan, Selection, Shard
from distromatrix.plan.runners import HOSTED

if TYPE_CHECKING:
    from distromatrix.load.settings import Settings
    from distromatrix.plan.file import PlanFile
    from distromatrix.project.project import Project


@click.command(
    name="plan",
    cls=WithChanged,
    epilog="Plans for CI (--save, --format github, --shard, --shards, --arch) assume that the "
    "machines of the jobs can run guests, which `doctor --guests --fix` installs there. Where they "
    "cannot, those cells are errors.",
)
@options("selection", "changed", "directory", "file", "engine")
@click.option(
    "--format",
    "shape",
    type=click.Choice(["text", "json", "github"]),
    help="Output format (default: text); `github` is for `matrix: fromJSON(…)` in a workflow.",
)
@click.option(
    "--verbose",
    is_flag=True,
    help="Show each cell whole, as the matrix resolved it, with secrets masked; with --json, too.",
)
@click.option(
    "--save",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE",
    help="Write a plan file for other machines: `run --plan FILE --shard K/N`.",
)
@click.option(
    "--shards",
    type=click.IntRange(1, SHARDS),
    metavar="N",
    help="Split the plan into N jobs of similar length (default: one per cell, up to 256).",
)
@click.option(
    "--arch",
    type=click.Choice(tuple(HOSTED)),
    help="Plan for machines of this architecture (default: that of this machine).",
)
@options(
    *("history", "as_json", "plan_path", "shard", "output", "timeout", "repeat", "seed"),
    needs=dict.fromkeys(("timeout", "repeat", "seed"), ("save", " FILE")),
    helps={
        "history": "Balance jobs by how long cells took in the runs that FILE remembers "
        "(`report merge --history`)."
    },
)
def command(
    selection: Selection,
    changed: str | None,
    directory: Path,
    file: Path | None,
    shape: str | None,
    as_json: bool,
    verbose: bool,
    save: Path | None,
    plan_path: Path | None,
    shard: Shard | None,
    shards: int | None,
    arch: str | None,
    history: Path | None,
    output: str | None,
    timeout: float | None,
    repeat: int | None,
    seed: int | None,
) -> None:
    """Show what would run, on which engine, and why.

    Starts nothing and needs no engine.

    \b
    Examples:
      distromatrix plan
      distromatrix plan 'debian-*/unit' --json
      distromatrix plan debian-12/unit --verbose     show all that holds for a cell
      distromatrix plan --set pr --tag '!slow'       show the cells of a set
      distromatrix plan --changed                    show what this branch changes
      distromatrix plan --shards 10                  show the jobs
      distromatrix plan --save plan.json --history history.sqlite3
      distromatrix plan --plan plan.json --shard 3/10
      distromatrix plan --plan plan.json --format github --shards 10 --output matrix
    """
    shape = _shape(shape, as_json)
    _check_shape(shape, output, shard, shards)
    if verbose and (shards or shape == "github"):
        raise click.UsageError("--verbose cannot be combined with --shards or --format github")
    if plan_path is not None and history is not None:
        raise click.UsageError(f"--plan cannot be combined with --history: {FIXED_PLAN}")
    if plan_path is not None:
        from distromatrix.plan.file import read_plan_file

        made = read_plan_file(plan_path)
    else:
        selection = replace(selection, timeout=timeout)
        shared = bool(save or shard or shards or arch or shape == "github")
        arch = arch or platform.machine()
        arch = arch if shared else None
        project = open_project(directory, file)
        selection = only_touched(project, selection, changed)
        made = _made(project, selection, history, arch, repeat or 1, seed)
    if save is not None:
        _save(made, save)
    _tell(made, shape, shard, shards, output, plan_path, verbose)


def _shape(shape: str | None, as_json: bool) -> str:
    if as_json and shape not in (None, "json"):
        raise click.UsageError(f"--json cannot be combined with --format {shape}")
    return "json" if as_json else shape or "text"


def _check_shape(shape: str, output: str | None, shard: Shard | None, shards: int | None) -> None:
    if output and shape != "github":
        raise click.UsageError("--output requires --format github")
    if shard and (shards or shape == "github"):
        raise click.UsageError("--shard cannot be combined with --shards or --format github")
    if shards and shape == "json":
        raise click.UsageError("--shards cannot be combined with JSON output; use --shard K/N")


def _made(
    project: Project,
    selection: Selection,
    history: Path | None,
    arch: str | None,
    repeat: int,
    seed: int | None,
) -> PlanFile:
    """The plan of the project, for this machine or for CI's of an architecture."""
    from distromatrix.plan.durations import Durations
    from distromatrix.plan.file import plan_file
    from distromatrix.project.project import host_facts
    from distromatrix.project.replan import facts_of_runners
    from distromatrix.record.history import History

    engine = project.settings.engine
    facts = facts_of_runners(engine, arch) if arch else host_facts(engine)
    plan = project.plan(selection, facts=facts)
    if not plan.cells:
        echo(NOTHING, err=True)
    for line in plan.warnings:
        echo(f"warning: {line}", err=True)
    if arch and history is None:  # the same for all machines that plan it
        known = Durations()
    else:
        known = History.of(plan.root, plan.matrix, history).durations()
    said = known.warning
    if history is not None and not said and not known.knows(plan):
        said = f"{history}: remembers no cell of this plan"
    if said:
        echo(f"warning: {said}", err=True)
    seconds = known.estimate(plan)
    return plan_file(replace(plan, repeat=repeat, seed=seed), facts, selection, seconds)


def _save(made: PlanFile, path: Path) -> None:
    from distromatrix.files.given import require_stays
    from distromatrix.plan.file import save_plan

    require_stays(path, made.plan.root)
    target = path.resolve()  # a link stays one
    if target.exists() and not target.is_file():  # a device would be replaced by a file
        raise InputError(f"{path}: not a regular file")
    with writing(path):
        save_plan(made, target)


def _tell(
    made: PlanFile,
    shape: str,
    shard: Shard | None,
    shards: int | None,
    output: str | None,
    path: Path | None,
    verbose: bool,
) -> None:
    from distromatrix.plan.file import plan_to_json
    from distromatrix.plan.shards import jobs, shard_of

    if shape == "github":
        from distromatrix.cli.report.github import put_out

        put_out(github_matrix(jobs(made.plan, made.seconds, shards)), output)
        return
    if shards:
        show_jobs(jobs(made.plan, made.seconds, shards), made.seconds)
        return
    plan = shard_of(made.plan, made.seconds, shard) if shard else made.plan
    settings = settings_here()
    expected = _expected(replace(made, plan=plan), settings)
    details = _details(plan) if verbose else {}
    if shape == "json":
        said = plan_to_json(plan)
        for cell in said["cells"]:
            cell.update(details.get(cell["id"], {}))
        echo_json(said | {"expected": expected})
    else:
        _show(plan, None if path or shard else settings.accel, expected, details)


def _details(plan: Plan) -> dict[str, dict[str, Any]]:
    """Each cell whole, by its id, without what is secret here."""
    from distromatrix.cli.plan.verbose import whole
    from distromatrix.collect.masking import Masker
    from distromatrix.collect.text import without_logins
    from distromatrix.project.session import handed_secrets

    mask = Masker(tuple(handed_secrets(plan.pass_env).values())).mask
    return {
        cell.id: whole(plan, cell, lambda text: without_logins(mask(text))) for cell in plan.cells
    }


def _expected(made: PlanFile, settings: Settings) -> dict[str, Any] | None:
    """How long all of it will take on a machine such as it was made for, begun as `run` does; None
    where nothing is known of that."""
    from distromatrix.execute.queue.slots import Slots
    from distromatrix.plan.balance import makespan
    from distromatrix.plan.durations import informed

    cells = [cell for cell in made.plan.cells if cell.engine is not None]
    known = informed(made.seconds)
    seconds = {cell.id: known[cell.id] for cell in cells if cell.id in known}
    if not seconds:
        return None
    at_once = Slots(settings.jobs, made.facts.cpus, made.facts.memory).most_of(cells)
    longest = sorted(seconds.values(), reverse=True) * made.plan.repeat
    return {"seconds": round(makespan(longest, at_once), 3), "at_once": at_once, "cells": seconds}


def _show_guests(plan: Plan, wanted: AccelWanted) -> None:
    """Where cases go that need more than their cell's container has."""
    if not any(distro.guest for distro in plan.distros):
        return
    ready = [engine for engine, why in plan.guests.items() if not why]
    if ready:
        echo(
            f"guests ({' and '.join(ready)}): used for cases that need more than a container offers"
        )
    for engine, why in plan.guests.items():
        if why:
            echo(f"guests ({engine}): not available: {why}")
    if not all(plan.guests.values()):
        echo(f"guests run {_accelerated(wanted)}")


def _accelerated(wanted: AccelWanted) -> str:
    """As far as that is known: nothing is booted here."""
    from distromatrix.engines.guest.acceleration import TCG_SCALE, known_acceleration
    from distromatrix.files.user_folders import cache_path

    if wanted == "tcg":
        return f"under software emulation (suite timeouts x{TCG_SCALE:g}), set by `accel: tcg`"
    known = known_acceleration(cache_path())
    if known is None:
        return "with KVM, if it works for the first of them"
    if known.kind == "kvm":
        return f"with KVM: {known.reason}"
    return f"under software emulation (suite timeouts x{known.scale:g}): {known.reason}"


def _show(
    plan: Plan,
    wanted: AccelWanted | None,
    expected: Mapping[str, Any] | None,
    details: Mapping[str, dict[str, Any]],
) -> None:
    """`wanted`: how guests are to run on this machine; None: it is a plan for others. `details`:
    cells that are shown whole."""
    ids = [c.id for c in plan.cells] + [e.id for e in plan.excluded]
    width = max(map(len, ids), default=0)
    for cell in plan.cells:
        what = cell.engine or cell.verdict or ""
        marks = f"; tags: {', '.join(cell.tags)}" if cell.tags else ""
        if cell.not_gating:
            marks += f"; not gating: {one_line(cell.not_gating, 500)}"
        echo(f"{cell.id:{width}}  {what:8}  {cell.reason}{marks}")
        if cell.id in details:
            from distromatrix.cli.plan.verbose import in_lines

            echo(in_lines(details[cell.id]), lines=True, end="")
    for excluded in plan.excluded if not details else ():
        echo(f"{excluded.id:{width}}  {'excluded':8}  {excluded.reason}")
    if wanted is not None:
        _show_guests(plan, wanted)
    running = sum(c.engine is not None for c in plan.cells)
    skipped = len(plan.cells) - running
    not_gating = sum(c.engine is not None and bool(c.not_gating) for c in plan.cells)
    of_them = f" ({not_gating} of them not gating)" if not_gating else ""
    echo(f"{running} to run{of_them}, {skipped} skipped, {len(plan.excluded)} left out")
    if expected is not None:
        from distromatrix.reports.style import about

        echo(f"{about(expected['seconds'])}, {expected['at_once']} at a time, by earlier runs")
