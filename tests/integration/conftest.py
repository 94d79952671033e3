"""What the tests of the whole command share."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from breaking_world import Project

from given import alpine_or_pulled


@pytest.fixture
def project(tmp_path: Path) -> Iterator[Project]:
    """A product of its own, on Alpine; nothing of it stays on the engine."""
    made = Project(tmp_path / "p", alpine_or_pulled().parent)
    yield made
    made.clean()
