"""`distromatrix clean`."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import click

from distromatrix.cli.options import options, settings_here
from distromatrix.cli.output import echo
from distromatrix.errors import (
    EXIT_INFRASTRUCTURE,
    EngineUnavailableError,
    InfrastructureError,
)
from distromatrix.project.project import find_root, host_facts
from distromatrix.project.session import opened_engines

KEEP_RUNS = 20


@click.command(name="clean")
@options("directory", "file", "engine")
@click.option("--dry-run", is_flag=True, help="Only show what would be removed.")
@click.option(
    "--all", "everything", is_flag=True,
    help="Also remove kept machines, images, kept products, and all run folders.",
)  # fmt: skip
def command(directory: Path, file: Path | None, dry_run: bool, everything: bool) -> int:
    """Remove what dead runs left behind.

    Removes their machines and volumes, all but the newest 20 run folders, and what is kept of
    products beyond the setting `keep_products`. Never touches active runs, what a run that can be
    resumed needs, or anything that distromatrix did not create.

    \b
    Examples:
      distromatrix clean --dry-run
      distromatrix clean --all
    """
    from distromatrix.execute.sweep import find_dead, sweep
    from distromatrix.record.folder import RUNS, SESSIONS, dead_folders, remove_folder
    from distromatrix.testing.bench.rendezvous import dead_doors

    root = find_root(directory, file)
    runs, sessions = dead_folders(root, RUNS), dead_folders(root, SESSIONS)
    runs = runs if everything else runs[:-KEEP_RUNS]
    said = "would remove" if dry_run else "removed"
    left_over: list[str] = []
    settings = settings_here()
    with opened_engines(settings) as engines:
        engine = engines.containers
        here = host_facts().guests
        room = settings.keep_products
        find = find_dead if dry_run else partial(sweep, tell=left_over.append, room=room)
        for name in (engine.name, *(guests for guests, why in here.items() if not why)):
            try:
                for left in find(engines.of(name), kept_too=everything):
                    of = f" (run {left.run})" if left.run else ""
                    echo(f"{said} {left.kind} {left.name}{of}")
            except EngineUnavailableError as error:
                if name == engine.name:
                    raise
                echo(f"warning: {name} was not cleaned: {error}", err=True)
        if everything:
            for image in engine.images.list():
                try:
                    if not dry_run:
                        engine.images.remove(image.tag)
                    echo(f"{said} image {image.tag}")
                except EngineUnavailableError:
                    raise
                except InfrastructureError as error:
                    left_over.append(str(error))
    for run in (*sessions, *dead_doors(), *runs):
        echo(f"{said} folder {run}")
        if not dry_run:
            remove_folder(run)
    for text in left_over:
        echo(text, err=True)
    return EXIT_INFRASTRUCTURE if left_over else 0
