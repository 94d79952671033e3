"""`distromatrix clean`."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import click

from distromatrix.cli.options import options, settings_here
from distromatrix.cli.output import echo
from distromatrix.errors import (
    EXIT_INFRASTRUCTURE,
    EngineUnavailableError,
    InfrastructureError,
)
from distromatrix.project.project import find_root, host_facts
from distromatrix.project.session import cache_notes, opened_engines

if TYPE_CHECKING:
    from distromatrix.engines.cache_store import CacheStore

KEEP_RUNS = 20


@click.command(name="clean")
@options("directory", "file", "engine")
@click.option("--dry-run", is_flag=True, help="Only show what would be removed.")
@click.option("--caches", is_flag=True, help="Also remove the caches of this project's suites.")
@click.option(
    "--all", "everything", is_flag=True,
    help="Also remove kept machines, images, kept products, all run folders, all your caches, and "
    "downloaded packages.",
)  # fmt: skip
def command(
    directory: Path, file: Path | None, dry_run: bool, caches: bool, everything: bool
) -> int:
    """Remove what dead runs left behind.

    Removes their machines and volumes, all but the newest 20 run folders, what is kept of products
    beyond the setting `keep_products`, caches beyond `cache_size` and those of projects that are
    gone. Never touches active runs, what a run that can be resumed needs, or anything that
    distromatrix did not create.

    \b
    Examples:
      distromatrix clean --dry-run
      distromatrix clean --caches
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
        doomed = "" if everything else str(root.resolve()) if caches else None
        limit = settings.cache_size
        for text, good in _clean_caches(engine.caches, limit, doomed, dry_run=dry_run):
            echo(text) if good else left_over.append(text)
        for image in engine.images.list() if everything else ():
            try:
                if not dry_run:
                    engine.images.remove(image.tag)
                echo(f"{said} image {image.tag}")
            except EngineUnavailableError:
                raise
            except InfrastructureError as error:
                left_over.append(str(error))
    _clean_downloads(said, wanted=everything, dry_run=dry_run)
    for run in (*sessions, *dead_doors(), *runs):
        echo(f"{said} folder {run}")
        if not dry_run:
            remove_folder(run)
    for text in left_over:
        echo(text, err=True)
    return EXIT_INFRASTRUCTURE if left_over else 0


def _clean_caches(
    store: CacheStore, limit: int, doomed: str | None, *, dry_run: bool
) -> Iterator[tuple[str, bool]]:
    """Remove those that are surplus, and those of the project `doomed` ('': of all). What is to be
    said of each, and whether it is as wanted. Raises EngineUnavailableError."""
    from distromatrix.execute.caches import measured, surplus

    there = measured(store, cache_notes())
    going = {cache.name for cache in surplus(there, limit)}
    kept = 0
    for one in there:
        if doomed not in ("", one.cache.project) and one.cache.name not in going:
            kept += one.size
        elif dry_run or store.remove(one.cache.name):
            said = "would remove" if dry_run else "removed"
            yield f"{said} cache {one.cache.name} ({_mib(one.size)})", True
        else:
            yield f"cache {one.cache.name} is in use", False
    if kept:
        yield f"kept {_mib(kept)} of caches (`clean --caches` removes this project's)", True


def _mib(size: int) -> str:
    return f"{size / 1024**2:,.1f} MiB"


def _clean_downloads(said: str, *, wanted: bool, dry_run: bool) -> None:
    from distromatrix.images.store.downloads import kept_downloads

    downloads = kept_downloads()
    if wanted and (size := downloads.size()):
        echo(f"{said} {size / 1e6:.1f} MB of downloaded packages")
        if not dry_run:
            downloads.clear()
    elif downloads.folder.exists() and not dry_run:
        downloads.tidy()
