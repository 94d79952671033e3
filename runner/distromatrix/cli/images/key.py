"""`distromatrix images key`."""

from __future__ import annotations

import time
from pathlib import Path

import click

from distromatrix.cli.options import (
    OF_A_PLAN,
    open_project,
    options,
    planned_part,
    settings_here,
)
from distromatrix.cli.output import echo
from distromatrix.model import Selection, Shard
from distromatrix.project.session import files_of


@click.command(name="key")
@options("directory", "file", "plan_path", "shard", "engine", needs={"shard": OF_A_PLAN})
def key(directory: Path, file: Path | None, plan_path: Path | None, shard: Shard | None) -> None:
    """Print a key for a cache of the cells' images. Asks no engine.

    One line, `DISTROS-ALL`: what stands before the dash is the same as long as the distros are,
    the whole as long as all that is declared of their images is, and of what goes into the
    prepared layers. It also changes some times in the period after which a base image is got
    anew, so that a CI's cache, which never replaces what it has, follows.

    \b
    Examples:
      distromatrix images key
      distromatrix images key --plan plan.json --shard 3/10
    """
    from distromatrix.images.store.cachekey import cache_key

    if plan_path is None:
        plan = open_project(directory, file).plan(Selection())
    else:
        _, plan = planned_part(plan_path, shard, directory, file, settings_here())
    running = [cell for cell in plan.cells if cell.engine is not None]
    with files_of(plan, running) as files:
        echo(cache_key(plan, running, files, time.time()))
