"""`distromatrix images`."""

from __future__ import annotations

import time
from contextlib import ExitStack
from dataclasses import asdict
from pathlib import Path

import click

from distromatrix.cli.images.carry import export, import_images, say
from distromatrix.cli.images.key import key
from distromatrix.cli.images.lock import lock
from distromatrix.cli.option_types import DURATION
from distromatrix.cli.options import open_project, options, settings_here
from distromatrix.cli.output import echo, echo_json
from distromatrix.cli.trust import allow
from distromatrix.model import Selection
from distromatrix.project.session import handed_here, open_images, opened_engine, require_images


@click.group(name="images")
def command() -> None:
    """List, build, lock, carry and prune the images that cells run on.

    \b
    Examples:
      distromatrix images list
      distromatrix images build 'debian-*'   before going offline
      distromatrix images build --force      get them anew now
      distromatrix images prune --older 7d
      distromatrix images lock               runs use these very images from now on
      distromatrix images export images.tar  for a machine without network

    The registry, package mirrors (`mirrors`) and archives of releases past their end of life
    (`archive_mirrors`) are yours to set in config.yaml: `distromatrix schema settings`.
    """


command.add_command(export)
command.add_command(import_images)
command.add_command(key)
command.add_command(lock)


def _age(seconds: float) -> str:
    for unit, size in (("d", 86400), ("h", 3600), ("min", 60)):
        if seconds >= 2 * size:
            return f"{seconds / size:.0f} {unit}"
    return f"{seconds:.0f} s"


@command.command(name="list")
@options("engine", "as_json")
def list_images(as_json: bool) -> None:
    """Show base images and prepared layers, with their age and size."""
    from distromatrix.images.store import inventory

    with opened_engine(settings_here()) as engine:
        rows = inventory.list_images(engine.images)
    if as_json:
        echo_json([asdict(r) for r in rows])
        return
    for row in rows:
        age = _age(time.time() - row.created)
        echo(
            f"{row.kind:8}  {row.distro:16}  {row.source:9}  {age:>8} old  "
            f"{row.size / 1e6:7.0f} MB  {row.tag}"
        )
    echo(f"{len(rows)} images", err=True)


@command.command(name="build")
@options("selection", "directory", "file", "engine")
@click.option("--force", is_flag=True, help="Get base images anew, even fresh ones.")
@options("offline", "trust")
def build(
    selection: Selection,
    directory: Path,
    file: Path | None,
    force: bool,
) -> None:
    """Have the selected cells' images ready.

    Base images and what `packages` and `prepare` add; no suite is run in them. With --offline
    nothing is built: it is seen whether all are here.
    """
    from distromatrix.execute.product.snapshot import take
    from distromatrix.execute.sweep import labels_of
    from distromatrix.record.folder import RunFolder, remove_folder

    project = open_project(directory, file)
    settings = project.settings
    if force and settings.offline:
        raise click.UsageError("--force gets images anew, which --offline forbids")
    plan = project.plan(selection)
    allow(plan)
    handed = handed_here(plan, settings)
    with opened_engine(settings) as engine, ExitStack() as stack:
        require_images(engine, settings, plan)
        folder = stack.enter_context(RunFolder.create(project.matrix.root, kind="builds"))
        try:
            snapshot = take(plan.product, folder.snapshot)
            images = open_images(engine, settings, labels_of(folder), say)
            if force:
                for name in dict.fromkeys(c.distro for c in plan.cells):
                    images.base(plan.distro(name), force=True)
            for cell in plan.cells:
                if cell.engine is not None:
                    ready = images.prepared(
                        plan.distro(cell.distro), cell, snapshot.matching, handed
                    )
                    echo(f"{cell.id}: {ready.image.tag}")
        finally:
            remove_folder(folder.path)


@command.command(name="prune")
@options("engine")
@click.option(
    "--older", type=DURATION, default="30d", show_default=True, metavar="T",
    help="What was made longer ago goes (`12h`, `7d`).",
)  # fmt: skip
@click.option("--all", "everything", is_flag=True, help="All of them, whatever their age.")
def prune(older: float, everything: bool) -> None:
    """Remove base images and prepared layers that are older than T."""
    from distromatrix.images.store import inventory

    with opened_engine(settings_here()) as engine:
        gone = inventory.prune(engine.images, 0.0 if everything else older)
    for row in gone:
        echo(f"removed {row.kind} {row.tag}")
    echo(f"{len(gone)} images removed", err=True)
