"""`distromatrix images export` and `images import`."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

import click

from distromatrix.cli.option_types import SIZE
from distromatrix.cli.options import OF_A_PLAN, options, plan_of, settings_here
from distromatrix.cli.output import echo
from distromatrix.cli.trust import allow
from distromatrix.errors import ImageError, NothingSelectedError
from distromatrix.files.given import require_stays
from distromatrix.model import Cell, Plan, Selection, Shard
from distromatrix.plan.needs import GUESTS
from distromatrix.project.session import (
    files_of,
    handed_here,
    open_images,
    opened_engine,
    require_images,
)
from distromatrix.record.events import Event, ImageProgress, Warned

if TYPE_CHECKING:
    from distromatrix.engines.contract import Engine
    from distromatrix.engines.image_store import Image
    from distromatrix.images import Images, Prepared
    from distromatrix.images.store.carry import Carried, Manifest
    from distromatrix.load.settings import Settings

_FILE = click.Path(path_type=Path)


def say(event: Event) -> None:
    """Progress and warnings of images, a line each, on stderr."""
    if isinstance(event, ImageProgress):
        echo(f"{event.distro}: {event.text}", err=True)
    elif isinstance(event, Warned):
        echo(f"warning: {event.text}", err=True)


@click.command(name="export")
@click.argument("target", metavar="FILE", type=_FILE)
@options(
    *("selection", "directory", "file", "plan_path", "shard", "engine", "offline", "trust"),
    needs={"shard": OF_A_PLAN},
)
@click.option(
    "--as-is", is_flag=True, help="Write only images that are present, of any age; build nothing."
)
@click.option(
    "--at-most", type=SIZE, metavar="SIZE", help="Fail if FILE would be larger (`500M`, `2G`)."
)
def export(
    target: Path,
    selection: Selection,
    directory: Path,
    file: Path | None,
    plan_path: Path | None,
    shard: Shard | None,
    as_is: bool,
    at_most: int | None,
) -> None:
    """Write the images of the selected cells to FILE, for a machine without network.

    Writes base images and prepared layers, without duplicates, and builds missing or outdated
    ones first. FILE appears only once it is complete.

    \b
    Examples:
      distromatrix images export images.tar
      distromatrix images export /media/usb/images.tar 'debian-*' alpine-3.20/unit
      distromatrix images export images.tar --plan plan.json --shard 3/10 --as-is --at-most 500M
    """
    from distromatrix.images.store.carry import export as write

    settings = settings_here()
    plan = plan_of(directory, file, plan_path, shard, selection)
    require_stays(target, plan.root)
    allow(plan)
    if not target.absolute().parent.is_dir() or target.is_dir():
        what = "is a folder" if target.is_dir() else "its folder does not exist"
        raise click.UsageError(f"{target}: {what}")
    with opened_engine(settings) as engine:
        if as_is:
            images = _here(engine, settings, plan)
        else:
            require_images(engine, settings, plan)
            images = _ready(engine, settings, plan)
        if not images:
            raise NothingSelectedError(f"{target}: no images to write")
        size = sum(one.image.size for one in images)
        echo(f"{len(images)} images, {_mb(size)} at most before compression", err=True)
        for one in images:
            echo(f"  {one.image.tag}  {_mb(one.image.size)}", err=True)
        manifest = write(engine, images, target, _progress("written"), at_most)
    echo(f"{target}: {len(images)} images, {_mb(manifest.bytes)}", err=True)


def _ready(engine: Engine, settings: Settings, plan: Plan) -> tuple[Carried, ...]:
    """The images of the plan's cells, made where need be; each once, base images first."""
    from distromatrix.images.store.carry import Carried

    bases, layers = [], []
    with building(engine, settings, plan) as (images, prepare):
        for cell in plan.cells:
            if cell.engine is not None:
                distro = plan.distro(cell.distro)
                base = images.base(distro)
                bases.append(Carried(image=base.image, also=images.tags_elsewhere(distro, base)))
                layers.append(prepare(cell).image)
    return _each_once(bases, layers)


@contextmanager
def building(
    engine: Engine, settings: Settings, plan: Plan
) -> Iterator[tuple[Images, Callable[[Cell], Prepared]]]:
    """The images of a plan, and what makes a cell's of the product as it is now."""
    from distromatrix.execute.product.snapshot import look_at
    from distromatrix.execute.sweep import labels_of
    from distromatrix.record.folder import RunFolder, remove_folder

    handed = handed_here(plan, settings)
    with ExitStack() as stack:
        folder = stack.enter_context(RunFolder.create(plan.root, kind="builds"))
        stack.callback(remove_folder, folder.path)
        snapshot = look_at(plan.product, folder.snapshot)
        images = open_images(engine, settings, labels_of(folder), say)
        yield (
            images,
            lambda cell: images.prepared(plan.distro(cell.distro), cell, snapshot.matching, handed),
        )


def _here(engine: Engine, settings: Settings, plan: Plan) -> tuple[Carried, ...]:
    """Those of them that the engine's store holds, and what guests put on top."""
    from distromatrix.images.store.carry import Carried

    handed = handed_here(plan, settings)
    images = open_images(engine, settings, {}, lambda _: None)
    bases, layers = [], []
    running = [cell for cell in plan.cells if cell.engine is not None]
    with files_of(plan, running) as files:
        for cell in running:
            distro = plan.distro(cell.distro)
            with suppress(ImageError):  # of which the run has told
                base = images.stored_base(distro)
                if base is None:
                    continue
                bases.append(Carried(image=base.image, also=images.tags_elsewhere(distro, base)))
                prepared = images.stored(distro, cell, files, handed)
                if prepared is None:
                    continue
                layers.append(prepared.image)
                guest = images.stored_guest(distro, cell, prepared)
                if guest is not None and cell.engine in GUESTS:
                    layers.append(guest.image)
    return _each_once(bases, layers)


def _each_once(bases: list[Carried], layers: list[Image]) -> tuple[Carried, ...]:
    """Images to be carried: base images, then the layers that are none of these."""
    from distromatrix.images.store.carry import Carried

    ids = {base.image.id for base in bases}
    every = [*bases, *(Carried(image=image) for image in layers if image.id not in ids)]
    return tuple({one.image.tag: one for one in every}.values())


@click.command(name="import")
@click.argument("source", metavar="FILE", type=_FILE)
def import_images(source: Path) -> None:
    """Load the images in FILE, written by `images export`. Needs no network.

    FILE is checked before anything is loaded. The images keep their age; runs with --offline use
    them at any age.

    \b
    Examples:
      distromatrix images import images.tar
      distromatrix run --offline
    """
    from distromatrix.images.store.carry import import_

    with opened_engine(settings_here()) as engine:
        manifest, fresh = import_(engine, source, _progress("checked"))
    _report(source, manifest, fresh)


def _report(source: Path, manifest: Manifest, fresh: tuple[Carried, ...]) -> None:
    for one in fresh:
        echo(f"loaded {one.image.tag}")
    day = time.strftime("%Y-%m-%d", time.localtime(manifest.written))
    count = len(manifest.images)
    here = f", {count - len(fresh)} already present" if len(fresh) < count else ""
    echo(f"{source}: {count} images, written on {day}{here}", err=True)


def _progress(what: str) -> Callable[[int], None]:
    """Says how far it has come: on a terminal in place, else a line now and then."""
    terminal = sys.stderr.isatty()
    every = 0.5 if terminal else 10.0
    due = time.monotonic() + every

    def tell(done: int) -> None:
        nonlocal due
        if time.monotonic() >= due:
            due = time.monotonic() + every
            echo(f"  {what} {_mb(done)}", err=True, end="\r" if terminal else "\n")

    return tell


def _mb(size: int) -> str:
    return f"{size / 1e6:.0f} MB"
