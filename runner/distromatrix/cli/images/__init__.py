"""`distromatrix images`."""

from __future__ import annotations

import time
from dataclasses import asdict
from pathlib import Path

import click

from distromatrix.cli.images.carry import building, export, import_images
from distromatrix.cli.images.key import key
from distromatrix.cli.images.lock import lock
from distromatrix.cli.option_types import DURATION
from distromatrix.cli.options import open_project, options, settings_here
from distromatrix.cli.output import echo, echo_json
from distromatrix.cli.trust import allow
from distromatrix.model import Selection
from distromatrix.project.session import opened_engine, require_images


@click.group(name="images")
def command() -> None:
    """Manage the images that cells run on.

    \b
    Examples:
      distromatrix images list
      distromatrix images build 'debian-*'   prepare for working offline
      distromatrix images build --force      fetch base images again
      distromatrix images prune --older 7d
      distromatrix images lock               pin runs to the current images
      distromatrix images export images.tar  write them for a machine without network

    The registry, package mirrors (`mirrors`) and archives of releases past their end of life
    (`archive_mirrors`) are set in config.yaml; see `distromatrix schema settings`.
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
    """List base images and prepared layers, with their age and size."""
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
@click.option("--force", is_flag=True, help="Fetch base images again, even recent ones.")
@options("offline", "trust")
def build(
    selection: Selection,
    directory: Path,
    file: Path | None,
    force: bool,
) -> None:
    """Build the images of the selected cells.

    Builds base images and the layers that `packages` and `prepare` add; runs no suite. With
    --offline, only checks that all images are present.
    """
    project = open_project(directory, file)
    settings = project.settings
    if force and settings.offline:
        raise click.UsageError("--force cannot be combined with --offline")
    plan = project.plan(selection)
    allow(plan)
    with opened_engine(settings) as engine:
        require_images(engine, settings, plan)
        with building(engine, settings, plan) as (images, prepare):
            if force:
                for name in dict.fromkeys(c.distro for c in plan.cells):
                    images.base(plan.distro(name), force=True)
            for cell in plan.cells:
                if cell.engine is not None:
                    echo(f"{cell.id}: {prepare(cell).image.tag}")


@command.command(name="prune")
@options("engine")
@click.option(
    "--older", type=DURATION, default="30d", show_default=True, metavar="T",
    help="Remove images older than T (`12h`, `7d`).",
)  # fmt: skip
@click.option(
    "--all", "everything", is_flag=True,
    help="Remove all images, whatever their age, and downloaded packages.",
)  # fmt: skip
def prune(older: float, everything: bool) -> None:
    """Remove old base images and prepared layers."""
    from distromatrix.images.store import inventory
    from distromatrix.images.store.downloads import kept_downloads

    with opened_engine(settings_here()) as engine:
        gone = inventory.prune(engine.images, 0.0 if everything else older)
    for row in gone:
        echo(f"removed {row.kind} {row.tag}")
    echo(f"{len(gone)} images removed", err=True)
    if everything:
        kept_downloads().clear()
