"""`distromatrix schema`."""

from __future__ import annotations

import click

from distromatrix.cli.output import echo_json

NAMES = ("matrix", "distro", "settings", "lock")


@click.command(name="schema")
@click.argument("name", type=click.Choice(NAMES), default="matrix")
def command(name: str) -> None:
    """Print the JSON Schema of matrix files, distro files, user settings or distros.lock.

    \b
    Examples:
      distromatrix schema
      distromatrix schema distro > distro.schema.json
    """
    from distromatrix.load.schema import schemas

    echo_json(schemas()[name])
