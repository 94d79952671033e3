"""What the tests of the whole command share."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from breaking_world import Project
from pytest_sessions import Sessions

from given import alpine_or_pulled


@pytest.fixture
def project(tmp_path: Path) -> Iterator[Project]:
    """A product of its own, on Alpine; nothing of it stays on the engine."""
    made = Project(tmp_path / "p", alpine_or_pulled().parent)
    yield made
    made.clean()


@pytest.fixture
def sessions(tmp_path: Path) -> Iterator[Sessions]:
    """A product on Alpine in which pytest is started; nothing of its sessions may be left."""
    made = Sessions(tmp_path / "p", alpine_or_pulled().parent)
    yield made
    remains = made.remains()
    made.clean()
    assert remains == []
