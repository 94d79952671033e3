"""`distromatrix guests`."""

from __future__ import annotations

import os
import time
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

import click

from distromatrix.cli.images.carry import say
from distromatrix.cli.options import completing, options, settings_here
from distromatrix.cli.output import echo, echo_json
from distromatrix.cli.trust import allow
from distromatrix.errors import InputError, NothingSelectedError
from distromatrix.files.user_folders import cache_folder
from distromatrix.model import Cell, Kept, Plan, Product
from distromatrix.plan.needs import GUESTS
from distromatrix.project.project import all_distros, find_distro
from distromatrix.project.session import open_images, opened_engine

if TYPE_CHECKING:
    from distromatrix.engines.contract import Engine, Leftover
    from distromatrix.engines.vagrant.engine import VagrantEngine


@click.group(name="guests")
def command() -> None:
    """Build Vagrant boxes, and manage kept guests, guest templates and boxes.

    \b
    Examples:
      distromatrix guests build debian-12
      vagrant box add --name mine/debian-12 debian-12.box
      distromatrix guests list
      distromatrix guests enter distromatrix-kept-…
      distromatrix guests remove distromatrix-template-0123456789ab
      distromatrix guests remove --all
    """


def _vagrant(containers: Engine) -> VagrantEngine:
    from distromatrix.engines.vagrant.engine import VagrantEngine

    return VagrantEngine(containers, accel=settings_here().accel)


@command.command(name="build")
@click.argument("name", metavar="DISTRO", shell_complete=completing("distros"))
@options(
    "directory",
    helps={"directory": "Project directory whose distros/ to use too (default: the current one)."},
)
@click.option(
    "-o", "--output", type=click.Path(path_type=Path, dir_okay=False), metavar="FILE",
    help="Box file to write (default: DISTRO.box).",
)  # fmt: skip
@options("engine", "trust")
def build(name: str, directory: Path, output: Path | None) -> None:
    """Build a libvirt box of a distribution.

    The box holds the base image that cells run on, with a kernel, an init system, sshd and sudo,
    and no boot loader. No box catalogue is contacted.

    \b
    Examples:
      distromatrix guests build debian-12
      distromatrix guests build debian-13 -o /tmp/trixie.box
    """
    from distromatrix.engines.vagrant.box import write_box
    from distromatrix.engines.vagrant.folders import make_key
    from distromatrix.images import Handed

    distro = find_distro(name, all_distros(directory), NothingSelectedError)
    guest = distro.guest
    if guest is None or not guest.kernel or not guest.system:
        raise InputError(
            f"{distro.file}: cannot build a box of {name}: `guest:` needs a `bootstrap:` "
            "with a `kernel:` and a `system:`"
        )
    root = directory.resolve()
    allow(Plan(matrix=root, root=root, product=Product(path=root), cells=(), distros=(distro,)))
    to = output or Path(f"{name}.box")
    settings = settings_here()
    with opened_engine(settings) as containers:
        images = open_images(containers, settings, {}, say)
        cell = Cell(id=name, distro=name, suite="", engine="vagrant", reason="", run=":")
        prepared = images.prepared(distro, cell, lambda _globs: (), Handed())
        image = images.guest(distro, cell, prepared).image
        engine = _vagrant(containers)
        with TemporaryDirectory(prefix="distromatrix-key-") as folder:
            key = Path(folder, "key")  # its own: whoever gets the box has it
            make_key(key)
            boxes = engine.templates_kept.boxes
            try:
                with boxes.hold(image.id, {}, key) as box:
                    write_box(distro.title, box, key, to)
            finally:
                boxes.store.remove(boxes.name(image.id, key))
    echo(f"{to}: {to.stat().st_size / 1e6:.0f} MB", err=True)
    echo(f"vagrant box add --name distromatrix/{name} {to}", err=True)


@command.command(name="list")
@options("as_json", "engine")
def list_guests(as_json: bool) -> None:
    """List kept guests, guest templates and boxes, with size and last use."""
    rows = [
        (engine.name, "guest" if left.run else left.kind, left.name, left.created, left.size)
        for engine in _engines()
        for left in engine.leftovers()
        if left.kept
    ]
    if as_json:
        keys = ("engine", "kind", "name", "used", "size")
        echo_json([dict(zip(keys, row, strict=True)) for row in rows])
        return
    for engine, kind, name, used, size in rows:
        days = (time.time() - used) / 86400
        shown = f"{size / 1e6:7.0f} MB" if size else " " * 10
        echo(f"{engine:8} {kind:9} {name:54} {shown}  used {days:.1f} d ago")
    echo(f"{len(rows)} kept in {cache_folder() / 'guests'}", err=True)


def _engines() -> tuple[Engine, ...]:
    """Those of guests that are here. An engine that is not can have nothing kept."""
    from distromatrix.engines import open_engine

    settings = settings_here()
    # For tests: the fake engine plays guests, too.
    fake = os.environ.get("DISTROMATRIX_FAKE")
    containers = open_engine("fake" if fake else settings.engine)
    return tuple(open_engine(name, containers, settings.accel) for name in GUESTS)


@command.command(name="enter")
@click.argument("name")
@options("engine")
def enter(name: str) -> int:
    """Open a shell in a kept guest (see `run --keep failed`).

    The shell runs as the suite's user in the product's directory. `distromatrix shell CELL` also
    sets the cell's environment.

    \b
    Examples:
      distromatrix guests enter distromatrix-kept-20260101-120000-0a1b-debian-12-module-1
      echo dmesg | distromatrix guests enter distromatrix-kept-…
    """
    engine, left = _kept(name)
    if left.kind != "guest" and not left.run:
        raise InputError(f"{name} is a {left.kind}, not a running guest")
    ours = f"distromatrix guests remove {name}"
    return engine.enter(Kept(name=name, enter="", remove=ours), {})


@command.command(name="remove")
@click.argument("names", nargs=-1, metavar="[NAME]...")
@click.option("--all", "everything", is_flag=True, help="Remove all guest templates and boxes.")
@options("engine")
def remove(names: tuple[str, ...], everything: bool) -> None:
    """Remove kept guests, guest templates or boxes. Cells make missing templates again.

    \b
    Examples:
      distromatrix guests remove distromatrix-template-0123456789ab
      distromatrix guests remove --all
    """
    if not names and not everything:
        raise click.UsageError("name what to remove, or use --all")
    found = [_kept(name) for name in dict.fromkeys(names)]
    if everything:
        ready = [(e, one) for e in _engines() for one in e.leftovers() if one.kept and not one.run]
        found += [(e, one) for e, one in ready if one.name not in names]
    for engine, one in found:
        engine.remove(one)
        echo(f"removed {one.kind} {one.name}")


def _kept(name: str) -> tuple[Engine, Leftover]:
    """What is kept under that name, and the engine that has it. Raises NothingSelectedError."""
    from distromatrix.wording import did_you_mean

    here = {one.name: (e, one) for e in _engines() for one in e.leftovers() if one.kept}
    if name not in here:
        hint = did_you_mean(name, list(here)) or "`distromatrix guests list` lists all"
        raise NothingSelectedError(f"unknown guest {name} ({hint})")
    return here[name]
