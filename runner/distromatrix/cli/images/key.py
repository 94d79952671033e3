"""`distromatrix images key`."""

from __future__ import annotations

import time
from pathlib import Path

import click

from distromatrix.cli.options import OF_A_PLAN, options, plan_of
from distromatrix.cli.output import echo
from distromatrix.model import Selection, Shard
from distromatrix.project.session import files_of


@click.command(name="key")
@options("directory", "file", "plan_path", "shard", "engine", needs={"shard": OF_A_PLAN})
def key(directory: Path, file: Path | None, plan_path: Path | None, shard: Shard | None) -> None:
    """Print a cache key for the cells' images. Needs no engine.

    The key is one line, `DISTROS-ALL`. The part before the dash changes when the distros change;
    the whole key also changes with anything that the matrix declares about images and prepared
    layers, and a few times within the period after which base images are fetched again, so that
    CI caches, which never replace an entry, stay up to date.

    \b
    Examples:
      distromatrix images key
      distromatrix images key --plan plan.json --shard 3/10
    """
    from distromatrix.images.store.cachekey import cache_key

    plan = plan_of(directory, file, plan_path, shard, Selection())
    running = [cell for cell in plan.cells if cell.engine is not None]
    with files_of(plan, running) as files:
        echo(cache_key(plan, running, files, time.time()))
