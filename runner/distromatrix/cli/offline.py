"""What `--offline` means to the commands that have it."""

from __future__ import annotations

import os
from contextlib import ExitStack
from dataclasses import replace
from typing import TYPE_CHECKING

import click

from distromatrix.errors import InfrastructureError

if TYPE_CHECKING:
    from distromatrix.engines.base import Engine
    from distromatrix.execute.snapshot import Snapshot
    from distromatrix.load.settings import Settings
    from distromatrix.model import Plan

offline_option = click.option(
    "--offline/--no-offline",
    default=None,
    help="Take images from the engine's store alone; ask no registry and no mirror. What is "
    "missing is told in one list, and nothing starts (exit 69).",
)


def with_offline(settings: Settings, offline: bool | None) -> Settings:
    """The settings; the flag, where it was given, beats them."""
    return settings if offline is None else replace(settings, offline=offline)


def require_images(
    engine: Engine,
    settings: Settings,
    plan: Plan,
    *,
    snapshot: Snapshot | None = None,
    done: frozenset[str] = frozenset(),
) -> None:
    """Offline, see that every image is there before anything starts. `snapshot`: the product
    as it was, where that is stored already; `done`: cells that will not run again. Raises
    InfrastructureError with all that is missing."""
    if not settings.offline:
        return
    from distromatrix.cli.project import open_images
    from distromatrix.execute.snapshot import take
    from distromatrix.images import handed_over
    from distromatrix.images.offline import missing
    from distromatrix.runs import RunFolder, remove_folder

    cells = tuple(c for c in plan.cells if c.engine is not None and c.id not in done)
    images = open_images(engine, settings, {}, lambda _: None)
    handed = handed_over(plan.ca_bundle, plan.index, os.environ)
    with ExitStack() as stack:
        if snapshot is None and any(c.prepare and c.prepare.files for c in cells):
            folder = stack.enter_context(RunFolder.create(plan.root, kind="builds"))
            stack.callback(remove_folder, folder.path)
            snapshot = take(plan.product, folder.snapshot)
        files = snapshot.matching if snapshot else lambda _: ()
        if text := missing(images, plan, cells, files, handed):
            raise InfrastructureError(text)
