"""Shards of a plan."""

from pathlib import Path

import pytest
from merge_world import World


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    monkeypatch.chdir(tmp_path)
    return World(tmp_path / "project")
