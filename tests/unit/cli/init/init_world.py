"""What the tests of `init` share."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from cli_world import Said
from loading import TODAY

from distromatrix.load import load_matrix

Init = Callable[..., Said]
FILE = Path("matrix/default.yaml")


def written() -> list[str]:
    """The distros of the matrix that was written, in its order."""
    return [distro.name for distro in load_matrix(FILE, today=TODAY).distros]
