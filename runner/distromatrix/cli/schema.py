"""`distromatrix schema`."""

from __future__ import annotations

import json

import click


@click.command(name="schema")
@click.argument("name", type=click.Choice(["matrix", "distro", "settings"]), default="matrix")
def command(name: str) -> None:
    """Print the JSON Schema of matrix files, distro files or the user's settings.

    \b
    Examples:
      distromatrix schema
      distromatrix schema distro > distro.schema.json
    """
    from distromatrix.load.schema import schemas

    click.echo(json.dumps(schemas()[name], indent=2))
