"""`distromatrix distros`."""

from __future__ import annotations

from collections.abc import Sequence
from fnmatch import fnmatchcase
from pathlib import Path

import click

from distromatrix.cli.options import completing, options
from distromatrix.cli.output import echo_json, open_console
from distromatrix.errors import NothingSelectedError
from distromatrix.model import Distro
from distromatrix.project.project import all_distros, host_facts


@click.command(name="distros")
@click.argument("globs", nargs=-1, metavar="[GLOB]...", shell_complete=completing("distros"))
@options(
    "directory",
    helps={"directory": "Project directory whose distros/ to list too (default: the current one)."},
)
@click.option("--verified", is_flag=True, help="List only verified distributions.")
@options("as_json")
def command(globs: tuple[str, ...], directory: Path, verified: bool, as_json: bool) -> None:
    """List the distributions of the catalogue and of the project.

    ✓ marks distributions that were seen running (`verified:` in their file); facts about others
    come from public documentation. Add one with `distromatrix add-distro`.

    \b
    Examples:
      distromatrix distros
      distromatrix distros 'debian-*' --verified
      distromatrix distros --json
    """
    from distromatrix.load.listing import distros_json

    distros = _chosen(all_distros(directory), globs)
    if verified:
        distros = tuple(d for d in distros if d.verified is not None)
    if as_json:
        echo_json(distros_json(distros))
        return
    from distromatrix.reports.terminal.distros import show_distros

    show_distros(open_console(), distros, host_facts().today)


def _chosen(distros: tuple[Distro, ...], globs: Sequence[str]) -> tuple[Distro, ...]:
    """Those that any of the globs matches, all without globs. Raises NothingSelectedError."""
    from distromatrix.wording import did_you_mean, quoted

    names = [d.name for d in distros]
    idle = [glob for glob in globs if not any(fnmatchcase(name, glob) for name in names)]
    if idle:
        hints = (
            did_you_mean(glob, names, most=3) or "`distromatrix distros` lists all" for glob in idle
        )
        lines = (f"no distro matches {quoted(g)} ({h})" for g, h in zip(idle, hints, strict=True))
        raise NothingSelectedError("\n".join(lines))
    return tuple(d for d in distros if not globs or any(fnmatchcase(d.name, g) for g in globs))
