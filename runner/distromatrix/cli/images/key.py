"""`distromatrix images key`."""

from __future__ import annotations

import time
from pathlib import Path

import click

from distromatrix.cli.options import (
    engine_option,
    open_project,
    planned_part,
    project_options,
    settings_here,
    shard_options,
)
from distromatrix.cli.output import echo
from distromatrix.model import Selection, Shard
from distromatrix.project.session import files_of


@click.command(name="key")
@project_options
@shard_options
@engine_option
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

    settings = settings_here()
    if plan_path is None:
        if shard is not None:
            raise click.UsageError("--shard is one of a plan file's: --plan FILE")
        plan = open_project(directory, file).plan(Selection())
    else:
        plan = planned_part(plan_path, shard, directory, file, settings)
    running = [cell for cell in plan.cells if cell.engine is not None]
    with files_of(plan, running) as files:
        echo(cache_key(plan, running, files, time.time()))
