"""A terminal to draw on."""

import io

import pytest
from rich.console import Console


@pytest.fixture
def screen() -> Console:
    return Console(file=io.StringIO(), width=80, height=12, force_terminal=True, color_system=None)
