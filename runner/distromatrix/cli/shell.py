"""`distromatrix shell`."""

from __future__ import annotations

import os
import shlex
import subprocess
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import click

from distromatrix.cli.offline import offline_option, with_offline
from distromatrix.cli.project import engine_option, open_project, project_options
from distromatrix.errors import EngineUnavailableError, InputError
from distromatrix.model import Cell, Kept, Plan, Selection
from distromatrix.needs import GUESTS
from distromatrix.project import Project, handed_secrets, open_images, opened_engine, require_images

if TYPE_CHECKING:
    from distromatrix.engines.base import Engine
    from distromatrix.images import Handed


@click.command(name="shell")
@click.argument("cell")
@project_options
@engine_option
@click.option("--fresh", is_flag=True, help="A new machine, even where one was kept.")
@offline_option
def command(
    cell: str, directory: Path, file: Path | None, fresh: bool, offline: bool | None
) -> int:
    """Open a shell in CELL's machine, with the product and the cell's environment.

    Where the latest run kept that machine (`run --keep failed`), it is that machine, in the
    state in which the suite left it. Else a new one is made, `setup` is run, and it goes when
    the shell ends.

    \b
    Examples:
      distromatrix shell debian-12/unit
      echo 'id; ls' | distromatrix shell --fresh alpine-3.20/unit
    """
    from distromatrix.images import handed_over

    project = open_project(directory, file)
    project = replace(project, settings=with_offline(project.settings, offline))
    plan = project.plan(Selection(selectors=(cell,)))
    chosen = [c for c in plan.cells if c.engine is not None]
    if len(chosen) != 1:
        ids = ", ".join(c.id for c in chosen[:5]) or "none that can run"
        raise InputError(f"shell: {cell}: one cell is wanted, these match: {ids}")
    if chosen[0].engine in GUESTS:
        raise InputError(f"shell: {cell} runs in a guest ({chosen[0].engine}): not yet possible")
    handed = handed_over(plan.ca_bundle, plan.index, os.environ)
    with opened_engine(project.settings) as engine:
        kept = None if fresh else _kept(project, chosen[0].id, engine)
        if kept:
            click.echo(f"the machine that was kept; to remove it: {kept.remove}", err=True)
            return _enter(kept, chosen[0], engine, plan, handed.env)
        require_images(engine, project.settings, plan)
        return _fresh(project, plan, chosen[0], engine, handed)


def _kept(project: Project, cell: str, engine: Engine) -> Kept | None:
    from distromatrix.reports.replay import read_run
    from distromatrix.runs import all_runs

    there = {left.name for left in engine.leftovers()}
    for run in reversed(list(all_runs(project.matrix.root))):
        if (run / "plan.json").exists():
            for result in read_run(run).cells:
                if result.id == cell and result.kept and result.kept.name in there:
                    return result.kept
    return None


def _fresh(project: Project, plan: Plan, cell: Cell, engine: Engine, handed: Handed) -> int:
    from distromatrix.execute.cell import environment, machine_spec
    from distromatrix.execute.snapshot import take
    from distromatrix.execute.sweep import labels_of
    from distromatrix.runs import RunFolder, remove_folder

    with RunFolder.create(project.matrix.root, kind="shells") as folder:
        snapshot = take(plan.product, folder.snapshot)
        labels = labels_of(folder)
        images = open_images(
            engine, project.settings, labels, lambda e: click.echo(getattr(e, "text", ""), err=True)
        )
        prepared = images.prepared(plan.distro(cell.distro), cell, snapshot.matching, handed)
        stage = engine.stage(snapshot.path, image=prepared.image.id, labels=labels)
        machine = engine.open(machine_spec(cell, prepared, folder.id, labels), stage)
        try:
            env = environment(
                cell, machine.out, engine.name, handed.env, handed_secrets(plan.pass_env)
            )
            for script in cell.setup:
                click.echo("--- setup", err=True)
                ended = machine.run(
                    script,
                    env=env,
                    cwd=machine.product,
                    timeout=cell.timeout,
                    output=lambda data: click.echo(data, nl=False, err=True),
                )
                if ended.status != 0:
                    click.echo(f"setup ended with status {ended.status}", err=True)
            return _enter(machine.keep(), cell, engine, plan, handed.env)
        finally:
            for left in engine.leftovers():
                if left.run == folder.id:
                    engine.remove(left)
            stage.close()
            remove_folder(folder.path)


def _enter(kept: Kept, cell: Cell, engine: Engine, plan: Plan, handed: Mapping[str, str]) -> int:
    """Hand the terminal over; the values of variables stay off the command line."""
    from distromatrix.execute.cell import environment

    words = shlex.split(kept.enter)
    env = environment(cell, kept.out, engine.name, handed, handed_secrets(plan.pass_env))
    at = words.index("exec") + 1
    flags = [flag for name in env for flag in ("-e", name)]
    if not os.isatty(0):
        words = ["-i" if w == "-it" else w for w in words]
    try:
        return subprocess.run(
            [*words[:at], *flags, *words[at:]], env={**os.environ, **env}, check=False
        ).returncode
    except FileNotFoundError as error:
        raise EngineUnavailableError(
            f"{words[0]}: command not found; the engine's own client is needed to enter: "
            f"{kept.enter}"
        ) from error
