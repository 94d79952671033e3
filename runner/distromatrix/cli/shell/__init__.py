"""`distromatrix shell`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import ExitStack, closing
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import click

from distromatrix.cli.options import completing, open_project, options, said
from distromatrix.cli.output import echo, pass_on
from distromatrix.cli.trust import allow
from distromatrix.errors import InputError
from distromatrix.model import Cell, CellResult, CellRun, Kept, Plan, Selection
from distromatrix.plan.needs import GUESTS, guest_refusal
from distromatrix.project.project import Project
from distromatrix.project.session import (
    handed_here,
    handed_secrets,
    keeper_of,
    opened_engines,
    opening_of,
    require_images,
)

if TYPE_CHECKING:
    from distromatrix.engines import Engines
    from distromatrix.engines.contract import Engine, Machine, Stage


@click.command(name="shell")
@click.argument("cell", required=False, shell_complete=completing("cells"))
@options("directory", "file", "any_engine")
@click.option(
    "--from",
    "source",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Open the machine in FILE, which `run --export failed` wrote, here or elsewhere.",
)
@click.option("--fresh", is_flag=True, help="Open a new machine even if one was kept.")
@options("offline", "trust")
def command(
    cell: str | None, directory: Path, file: Path | None, source: Path | None, fresh: bool
) -> int:
    """Open a shell in CELL's machine, with the product and the cell's environment.

    Uses the machine that the latest run kept (`run --keep failed`), as the suite left it.
    Otherwise opens a new one, runs `setup`, and removes it when the shell ends. The plan
    decides between container and guest; --engine overrides it. If a run kept both a cell's
    container and the guest that ran some of its cases, --engine selects the guest.

    With --from, no project is needed. FILE holds what a machine's files have become since its
    image, which is found here by its id, or got by its digest or as the archive that the distro
    names. What FILE says is told before it is opened. It may come from a stranger: it is opened
    without privileges, in a machine of its own, which is removed when the shell ends.

    \b
    Examples:
      distromatrix shell debian-12/unit
      distromatrix shell --engine vagrant debian-12/unit
      echo 'id; ls' | distromatrix shell --fresh alpine-3.20/unit
      distromatrix shell --from machine.tar
    """
    if source is not None:
        from distromatrix.cli.shell.from_file import open_file

        if cell is not None or fresh or file is not None:
            raise click.UsageError("--from FILE takes no CELL, no --matrix and no --fresh")
        return open_file(source, directory)
    if cell is None:
        raise click.UsageError("name a CELL, or a machine's file with --from FILE")
    project = open_project(directory, file)
    plan = project.plan(Selection(selectors=(cell,)))
    chosen = _chosen(plan, cell)
    plan = replace(plan, cells=(chosen,))
    allow(plan)
    handed = handed_here(plan, project.settings)
    with opened_engines(project.settings) as engines:
        kept = {} if fresh else _kept(project, chosen, engines)
        for name, one in kept.items():
            echo(f"using the kept machine; remove it with: {one.remove}", err=True)
            for other in list(kept)[1:]:
                echo(f"also kept, the guest of some of its cases: --engine {other}", err=True)
            there = replace(chosen, engine=name)
            return _enter(one, there, engines.of(name), plan, handed.env)
        require_images(engines.containers, project.settings, plan)
        return _fresh(project, plan, chosen, engines)


def _chosen(plan: Plan, cell: str) -> Cell:
    """The one cell that is meant, on the engine that was asked for. Raises InputError."""
    asked = said("engine")
    asked = asked if asked in GUESTS else None
    able = [c for c in plan.cells if c.engine is not None or (asked and c.unmet)]
    if len(able) != 1:
        ids = ", ".join(c.id for c in able[:5]) or "none that can run"
        raise InputError(f"shell: {cell}: must match exactly one cell; matches: {ids}")
    if asked is None or asked == able[0].engine:
        return able[0]
    why = guest_refusal(asked, (), plan.guests, plan.distro(able[0].distro).guest)
    if why:
        raise InputError(f"shell: cannot use {asked} for {able[0].id}: {why}")
    return replace(able[0], engine=asked)


def _kept(project: Project, cell: Cell, engines: Engines) -> dict[str | None, Kept]:
    """The machines that the latest run with such has kept of a cell, by their engines: its own
    first, then guests that cases of it fell back to."""
    from distromatrix.record.folder import all_runs
    from distromatrix.reports.replay import read_run

    for run in reversed(list(all_runs(project.matrix.root))):
        if (run / "plan.json").exists():
            for result in read_run(run).cells:
                if result.id == cell.id and (found := dict(_still_there(result, cell, engines))):
                    return found
    return {}


def _still_there(
    result: CellResult, cell: Cell, engines: Engines
) -> Iterator[tuple[str | None, Kept]]:
    ended: tuple[CellResult | CellRun, ...] = (result, *result.runs)
    for one in ended:
        guests = {again.engine: again.kept for again in one.fallback if again.kept}
        own = None if one.kept in guests.values() else one.kept
        # A setup that failed in a container, on behalf of a guest, has that kept.
        owns: dict[str | None, Kept | None] = {cell.engine: own}
        if cell.setup_in_container:
            owns[None] = own
        for engine, kept in (*owns.items(), *guests.items()):
            # A guest that is the cell's own, or was asked for, is the only one that is meant.
            if kept is None or (engine not in owns and cell.engine in GUESTS):
                continue
            if kept.name in {left.name for left in engines.of(engine).leftovers()}:
                yield engine, kept


def _fresh(project: Project, plan: Plan, cell: Cell, engines: Engines) -> int:
    from distromatrix.collect.masking import Masker
    from distromatrix.execute.cell.opening import suite_command
    from distromatrix.execute.cell.setup import open_outside_runs
    from distromatrix.execute.product.snapshot import take
    from distromatrix.record.folder import SHELLS, RunFolder, remove_folder

    engine = engines.of(cell.engine)
    with (
        RunFolder.create(project.matrix.root, kind=SHELLS) as folder,
        ExitStack() as stages,
    ):
        keeper = keeper_of(replace(plan, cells=(cell,)), engines.containers, folder)
        snapshot = take(plan.product, folder.snapshot, keeper=keeper)
        opening = opening_of(
            plan,
            engines,
            project.settings,
            folder,
            lambda: snapshot,
            lambda event: echo(getattr(event, "text", ""), err=True),
        )
        distro = plan.distro(cell.distro)
        prepared = opening.prepare(distro, cell)
        shown = Masker(opening.hidden).stream()

        def stage(where: Engine) -> Stage:
            return stages.enter_context(closing(opening.stage(where, prepared)))

        def show(data: bytes) -> None:
            pass_on(shown.feed(data))

        def run(machine: Machine, there: Cell) -> None:
            env = opening.environment(there, machine)
            for script in there.setup:
                echo("--- setup", err=True)
                ended = machine.run(suite_command(there, script, machine, env, output=show))
                pass_on(shown.flush())
                if ended.status != 0:
                    echo(f"setup exited with status {ended.status}", err=True)

        def tell(text: str) -> None:
            echo(f"--- {text}", err=True)

        try:
            machine = open_outside_runs(
                opening,
                cell,
                distro,
                prepared,
                stage=stage,
                folder=folder.path,
                run=run,
                tell=tell,
            )
            return _enter(machine.keep(), cell, engine, plan, opening.handed.env)
        finally:
            for left in engine.leftovers():
                if left.run == folder.id:
                    engine.remove(left)
            stages.close()
            remove_folder(folder.path)


def _enter(kept: Kept, cell: Cell, engine: Engine, plan: Plan, handed: Mapping[str, str]) -> int:
    from distromatrix.execute.cell.opening import environment

    env = environment(cell, kept.out, engine.name, handed, handed_secrets(plan.pass_env))
    return engine.enter(kept, env)
