"""What scripts look like that say more than a command."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Discriminator, Field

from distromatrix.load.shapes.base import Shape
from distromatrix.load.shapes.fields import RelativeGlob, Script


def text_or_mapping(expected: str) -> Discriminator:
    """Tells `key: text` from `key: {…}`; the tags never show in a message."""

    def tag(value: Any) -> str | None:
        if isinstance(value, str) and value:
            return "<text>"
        return "<mapping>" if isinstance(value, dict) else None

    return Discriminator(
        tag,
        custom_error_type="expected",
        custom_error_message=f"expected {expected}",
    )


class PrepareShape(Shape):
    """A command whose result is cached as an image layer."""

    run: Script
    """The command."""
    files: tuple[RelativeGlob, ...] = ()
    """Globs of the product's files that it needs, and after a `!` of those that it does not; their
    contents are part of the cache's key."""


class SetupShape(Shape):
    """A command that needs nothing of a guest."""

    in_: Literal["container"] = Field(alias="in")
    """`container`: where the cell runs in a guest, a container of the same image runs it, and the
    guest is given what it changed on the disk. Daemons, mounts, what lies on a tmpfs and sysctls
    stay behind."""
    run: Script
    """The command."""
