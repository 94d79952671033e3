"""`distromatrix images export` and `images import`."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

import click

from distromatrix.cli.offline import offline_option, with_offline
from distromatrix.cli.project import (
    engine_option,
    open_project,
    project_options,
    selection_options,
    settings_here,
)
from distromatrix.events import Event, ImageProgress, Warned
from distromatrix.model import Plan, Selection
from distromatrix.project import Project, open_images, opened_engine, require_images

if TYPE_CHECKING:
    from distromatrix.engines.base import Engine
    from distromatrix.images.carry import Carried, Manifest

_FILE = click.Path(path_type=Path)


def say(event: Event) -> None:
    """Progress and warnings of images, a line each, on stderr."""
    if isinstance(event, ImageProgress):
        click.echo(f"{event.distro}: {event.text}", err=True)
    elif isinstance(event, Warned):
        click.echo(f"warning: {event.text}", err=True)


@click.command(name="export")
@click.argument("target", metavar="FILE", type=_FILE)
@selection_options
@project_options
@engine_option
@offline_option
def export(
    target: Path,
    selectors: tuple[str, ...],
    exclude: tuple[str, ...],
    directory: Path,
    file: Path | None,
    offline: bool | None,
) -> None:
    """Write the selected cells' images to FILE, for a machine without network.

    Base images and prepared layers, with what they share once; what is not here or out of date
    is made first. FILE is there when it is whole, and not before.

    \b
    Examples:
      distromatrix images export images.tar
      distromatrix images export /media/usb/images.tar 'debian-*' alpine-3.20/unit
    """
    from distromatrix.images.carry import export as write

    project = open_project(directory, file)
    plan = project.plan(Selection(selectors=selectors, exclude=exclude))
    if not target.absolute().parent.is_dir() or target.is_dir():
        what = "is a folder" if target.is_dir() else "its folder does not exist"
        raise click.UsageError(f"{target}: {what}")
    settings = with_offline(project.settings, offline)
    with opened_engine(settings) as engine:
        require_images(engine, settings, plan)
        images = _ready(engine, Project(matrix=project.matrix, settings=settings), plan)
        size = sum(one.image.size for one in images)
        click.echo(f"{len(images)} images, {_mb(size)} at most before compression", err=True)
        for one in images:
            click.echo(f"  {one.image.tag}  {_mb(one.image.size)}", err=True)
        manifest = write(engine, images, target, _progress("written"))
    click.echo(f"{target}: {len(images)} images, {_mb(manifest.bytes)}", err=True)


def _ready(engine: Engine, project: Project, plan: Plan) -> tuple[Carried, ...]:
    """The images of the plan's cells, made where need be; each once, base images first."""
    from distromatrix.execute.snapshot import take
    from distromatrix.execute.sweep import labels_of
    from distromatrix.images import handed_over
    from distromatrix.images.carry import Carried
    from distromatrix.runs import RunFolder, remove_folder

    handed = handed_over(plan.ca_bundle, plan.index, os.environ)
    bases: dict[str, Carried] = {}
    layers: dict[str, Carried] = {}
    with ExitStack() as stack:
        folder = stack.enter_context(RunFolder.create(project.matrix.root, kind="builds"))
        stack.callback(remove_folder, folder.path)
        snapshot = take(plan.product, folder.snapshot)
        images = open_images(engine, project.settings, labels_of(folder), say)
        for cell in plan.cells:
            if cell.engine is None:
                continue
            distro = plan.distro(cell.distro)
            base = images.base(distro)
            also = images.tags_elsewhere(distro, base)
            bases[base.image.tag] = Carried(image=base.image, also=also)
            image = images.prepared(distro, cell, snapshot.matching, handed).image
            if image.id != base.image.id:
                layers[image.tag] = Carried(image=image)
    return (*bases.values(), *layers.values())


@click.command(name="import")
@click.argument("source", metavar="FILE", type=_FILE)
def import_images(source: Path) -> None:
    """Load the images that `images export` wrote to FILE. Needs no network.

    FILE is checked before anything of it is loaded. The images keep their age; runs with
    --offline use them at any.

    \b
    Examples:
      distromatrix images import images.tar
      distromatrix run --offline
    """
    from distromatrix.images.carry import import_

    with opened_engine(settings_here()) as engine:
        manifest, fresh = import_(engine, source, _progress("checked"))
    _report(source, manifest, fresh)


def _report(source: Path, manifest: Manifest, fresh: tuple[Carried, ...]) -> None:
    for one in fresh:
        click.echo(f"loaded {one.image.tag}")
    day = time.strftime("%Y-%m-%d", time.localtime(manifest.written))
    count = len(manifest.images)
    here = f", {count - len(fresh)} of them here already" if len(fresh) < count else ""
    click.echo(f"{source}: {count} images, written on {day}{here}", err=True)


def _progress(what: str) -> Callable[[int], None]:
    """Says how far it has come: on a terminal in place, else a line now and then."""
    terminal = sys.stderr.isatty()
    every = 0.5 if terminal else 10.0
    due = time.monotonic() + every

    def tell(done: int) -> None:
        nonlocal due
        if time.monotonic() >= due:
            due = time.monotonic() + every
            click.echo(f"  {what} {_mb(done)}" + "\r" * terminal, err=True, nl=not terminal)

    return tell


def _mb(size: int) -> str:
    return f"{size / 1e6:.0f} MB"
