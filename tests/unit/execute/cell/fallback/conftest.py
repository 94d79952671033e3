"""A product whose cases need a guest, in a world of its own."""

from __future__ import annotations

from pathlib import Path

import pytest
from executing import World
from fallback_world import TESTS


@pytest.fixture
def world(tmp_path: Path) -> World:
    made = World(tmp_path)
    made.here = {"qemu": "", "vagrant": ""}
    (tmp_path / "product/test_it.py").write_text(TESTS)
    (tmp_path / "product/pytest.ini").write_text("[pytest]\n")
    return made
