"""A product on whose names the workflow is tried, with the fake engine."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from homes import set_homes
from workflow_world import World, make_world


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    set_homes(monkeypatch, tmp_path)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "STATE"))
    monkeypatch.setenv("DISTROMATRIX_FAKE", str(tmp_path / "fake"))
    made = make_world(tmp_path)
    yield made
    assert not made.pwned.exists(), "what a name says was carried out"
