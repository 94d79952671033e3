"""`distromatrix guests`."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import TYPE_CHECKING

import click

from distromatrix.cli.images_carry import say
from distromatrix.cli.project import engine_option, settings_here
from distromatrix.errors import InputError, NothingSelectedError
from distromatrix.model import Cell, Distro
from distromatrix.project import all_distros, cache_folder, open_images, opened_engine

if TYPE_CHECKING:
    from distromatrix.engines.base import Engine
    from distromatrix.engines.vagrant import VagrantEngine


@click.group(name="guests")
def command() -> None:
    """Build Vagrant boxes of distributions; list and remove what is kept ready of guests.

    \b
    Examples:
      distromatrix guests build debian-12
      vagrant box add --name mine/debian-12 debian-12.box
      distromatrix guests list
      distromatrix guests remove distromatrix-template-0123456789ab
      distromatrix guests remove --all
    """


def _vagrant(containers: Engine) -> VagrantEngine:
    from distromatrix.engines.vagrant import VagrantEngine

    return VagrantEngine(containers, accel=settings_here().accel)


@command.command(name="build")
@click.argument("name", metavar="DISTRO")
@click.option(
    "-C", "directory", type=click.Path(path_type=Path), default=Path(), metavar="DIR",
    help="A project's folder, whose own distros/ count too (default: here).",
)  # fmt: skip
@click.option(
    "-o", "--output", type=click.Path(path_type=Path, dir_okay=False), metavar="FILE",
    help="The box to write (default: DISTRO.box here).",
)  # fmt: skip
@engine_option
def build(name: str, directory: Path, output: Path | None) -> None:
    """Make a libvirt box of a distribution: its base image as cells run on it, with its kernel,
    init system, sshd and sudo. No catalogue of boxes is asked, and no boot loader is in it.

    \b
    Examples:
      distromatrix guests build debian-12
      distromatrix guests build debian-13 -o /tmp/trixie.box
    """
    from distromatrix.engines.vagrant_box import write_box
    from distromatrix.images import Handed

    distro = _distro(name, directory)
    guest = distro.guest
    if guest is None or not guest.kernel or not guest.system:
        raise InputError(
            f"{distro.file}: no box can be made of {name}: its `guest:` has no `bootstrap:` "
            "with a `kernel:` and a `system:`"
        )
    to = output or Path(f"{name}.box")
    settings = settings_here()
    with opened_engine(settings) as containers:
        images = open_images(containers, settings, {}, say)
        cell = Cell(id=name, distro=name, suite="", engine="vagrant", reason="", run=":")
        prepared = images.prepared(distro, cell, lambda _globs: (), Handed())
        image = images.guest(distro, cell, prepared).image
        engine = _vagrant(containers)
        box = engine.templates_kept.box(image.id, {})
        write_box(distro.title, box.folder, engine.home.key(), to)
    click.echo(f"{to}: {to.stat().st_size / 1e6:.0f} MB", err=True)
    click.echo(f"vagrant box add --name distromatrix/{name} {to}", err=True)


def _distro(name: str, directory: Path) -> Distro:
    from distromatrix.load.words import did_you_mean

    distros = {distro.name: distro for distro in all_distros(directory)}
    if name not in distros:
        hint = did_you_mean(name, list(distros), most=3) or "`distromatrix distros` lists all"
        raise NothingSelectedError(f"there is no distro '{name}' ({hint})")
    return distros[name]


@command.command(name="list")
@click.option("--json", "as_json", is_flag=True, help="Print JSON on stdout, alone.")
@engine_option
def list_guests(as_json: bool) -> None:
    """Show what is kept ready of Vagrant's guests, with its size and when it was used last."""
    from distromatrix.engines import open_engine

    engine = _vagrant(open_engine(settings_here().engine))
    rows = engine.templates_kept.list()
    if as_json:
        found = [
            {"kind": one.kind, "name": one.name, "used": one.used, "size": one.size} for one in rows
        ]
        click.echo(json.dumps(found, indent=2))
        return
    for one in rows:
        days = (time.time() - one.used) / 86400
        click.echo(f"{one.kind:9} {one.name:38} {one.size / 1e6:7.0f} MB  used {days:.1f} d ago")
    click.echo(f"{len(rows)} kept ready in {cache_folder() / 'guests' / 'vagrant'}", err=True)


@command.command(name="remove")
@click.argument("names", nargs=-1, metavar="[NAME]...")
@click.option("--all", "everything", is_flag=True, help="All that is kept ready.")
@engine_option
def remove(names: tuple[str, ...], everything: bool) -> None:
    """Remove what is kept ready, or a guest that was kept; cells make templates anew.

    \b
    Examples:
      distromatrix guests remove distromatrix-template-0123456789ab
      distromatrix guests remove --all
    """
    from distromatrix.engines import open_engine

    if not names and not everything:
        raise click.UsageError("name what is to go, or say --all")
    engine = _vagrant(open_engine(settings_here().engine))
    here = {one.name: one for one in engine.leftovers()}
    ready = [one.name for one in engine.templates()] if everything else []
    unknown = [name for name in names if name not in here]
    if unknown:
        raise NothingSelectedError(f"there is no guest {', '.join(unknown)}")
    for name in dict.fromkeys((*names, *ready)):
        engine.remove(here[name])
        click.echo(f"removed {here[name].kind} {name}")
