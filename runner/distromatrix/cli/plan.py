"""`distromatrix plan`."""

from __future__ import annotations

import json
from pathlib import Path

import click

from distromatrix.cli.project import engine_option, open_project, project_options, selection_options
from distromatrix.model import AccelWanted, Plan, Selection


@click.command(name="plan")
@selection_options
@project_options
@engine_option
@click.option("--json", "as_json", is_flag=True, help="Print JSON on stdout, alone.")
def command(
    selectors: tuple[str, ...],
    exclude: tuple[str, ...],
    directory: Path,
    file: Path | None,
    as_json: bool,
) -> None:
    """Show what would run, on which engine, and why. Starts nothing and needs no engine.

    \b
    Examples:
      distromatrix plan
      distromatrix plan 'debian-*/unit' --json
    """
    from distromatrix.planfile import plan_to_json

    project = open_project(directory, file)
    plan = project.plan(Selection(selectors=selectors, exclude=exclude))
    for line in plan.warnings:
        click.echo(f"warning: {line}", err=True)
    if as_json:
        click.echo(json.dumps(plan_to_json(plan), indent=2))
        return
    _show(plan, project.settings.accel)


def _show_guests(plan: Plan, wanted: AccelWanted) -> None:
    """Where cases go that need more than their cell's container has."""
    if not any(distro.guest for distro in plan.distros):
        return
    for engine, why in plan.guests.items():
        what = f"not here: {why}" if why else "for cases that need more than a container has"
        click.echo(f"guests of {engine}: {what}")
    if not all(plan.guests.values()):
        click.echo(f"guests run {_accelerated(wanted)}")


def _accelerated(wanted: AccelWanted) -> str:
    """As far as that is known: nothing is booted here."""
    from distromatrix.engines.accel import known_acceleration
    from distromatrix.project import cache_folder

    if wanted == "tcg":
        return "under software emulation, as accel: tcg asks for"
    known = known_acceleration(cache_folder())
    if known is None:
        return "in KVM if the first of them proves that it works"
    how = "in KVM" if known.kind == "kvm" else "under software emulation"
    return f"{how}: {known.reason}"


def _show(plan: Plan, wanted: AccelWanted) -> None:
    ids = [c.id for c in plan.cells] + [e.id for e in plan.excluded]
    width = max(map(len, ids), default=0)
    for cell in plan.cells:
        what = cell.engine or cell.verdict or ""
        click.echo(f"{cell.id:{width}}  {what:8}  {cell.reason}")
    for excluded in plan.excluded:
        click.echo(f"{excluded.id:{width}}  {'excluded':8}  {excluded.reason}")
    _show_guests(plan, wanted)
    running = sum(c.engine is not None for c in plan.cells)
    skipped = len(plan.cells) - running
    click.echo(f"{running} to run, {skipped} skipped, {len(plan.excluded)} left out")
