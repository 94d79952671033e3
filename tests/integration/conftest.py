"""What the tests of the whole command share."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from breaking_world import ALPINE, Project, unobtainable


def archives() -> Path:
    """The folder with the Alpine root filesystem; without it there is nothing to run in."""
    beside = Path(__file__).parents[3] / "shared/images"
    named = os.environ.get("DISTROMATRIX_ARCHIVES") or str(beside)
    found = [Path(f) for f in named.split(":") if (Path(f) / ALPINE).is_file()]
    if not found:
        unobtainable(f"{ALPINE} is in none of {named}")
    return found[0]


@pytest.fixture
def project(tmp_path: Path) -> Iterator[Project]:
    """A product of its own, on Alpine; nothing of it stays on the engine."""
    made = Project(tmp_path / "p", archives())
    yield made
    made.clean()
