"""What `--offline` means to the commands that have it."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from distromatrix.load.settings import Settings

offline_option = click.option(
    "--offline/--no-offline",
    default=None,
    help="Take images from the engine's store alone; ask no registry and no mirror. What is "
    "missing is told in one list, and nothing starts (exit 69).",
)


def with_offline(settings: Settings, offline: bool | None) -> Settings:
    """The settings; the flag, where it was given, beats them."""
    return settings if offline is None else replace(settings, offline=offline)
