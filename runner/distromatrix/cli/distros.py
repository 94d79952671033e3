"""`distromatrix distros`."""

from __future__ import annotations

import json
from pathlib import Path

import click

from distromatrix.cli.project import all_distros, host_facts


@click.command(name="distros")
@click.option(
    "-C", "directory", type=click.Path(path_type=Path), default=Path(), metavar="DIR",
    help="A project's folder, whose own distros/ are listed too (default: here).",
)  # fmt: skip
@click.option("--json", "as_json", is_flag=True, help="Print JSON on stdout, alone.")
def command(directory: Path, as_json: bool) -> None:
    """List the distributions there are: the catalogue's and the project's own.

    \b
    Examples:
      distromatrix distros
      distromatrix distros --json
    """
    from distromatrix.load.listing import distros_json

    distros = all_distros(directory)
    if as_json:
        click.echo(json.dumps(distros_json(distros), indent=2))
        return
    today = host_facts().today
    width = max((len(d.name) for d in distros), default=0)
    titles = max((len(d.title) for d in distros), default=0)
    for d in distros:
        ended = d.eol is not None and d.eol < today
        life = f"{'END OF LIFE' if ended else 'until'} {d.eol}" if d.eol else "no end set"
        seen = f"verified {d.verified}" if d.verified else "not verified"
        sources = ", ".join(s.kind for s in d.image)
        click.echo(
            f"{d.name:{width}}  {d.title:{titles}}  {d.package_manager:6}  {d.libc:5}  "
            f"{life:22}  {seen:19}  {sources}"
        )
