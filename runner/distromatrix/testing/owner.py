"""Who has the bench: the process that pytest was started in; workers have its address."""

from __future__ import annotations

import os

import pytest

from distromatrix.errors import InfrastructureError
from distromatrix.testing.bench import Bench


def bench_of(config: pytest.Config) -> Bench:
    """This process's way to what makes machines and runs cells."""
    raise InfrastructureError("cells cannot be run inside pytest yet", transient=config is None)


def test_name(item: pytest.Item) -> str:
    """What stands for a test at the bench: `WORKER NODEID`."""
    return f"{os.environ.get('PYTEST_XDIST_WORKER', 'main')} {item.nodeid}"
