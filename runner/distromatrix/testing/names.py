"""Names by which the parts of a session find each other, and which session of pytest this process
is in: pytester begins one inside another."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pytest

WANT = "_distromatrix_want"  # the fixture whose parameter says what a test's machine is
SHARED = "_distromatrix_shared"  # that all ask for which use the shared machine
HOST = "_testinfra_host"  # testinfra's own

_open: list[pytest.Config] = []


def worker() -> str:
    """The worker of pytest-xdist that this process is, or belongs to; else `main`."""
    return os.environ.get("PYTEST_XDIST_WORKER", "main")


def begin(config: pytest.Config) -> None:
    """From now on it is that one."""
    _open.append(config)


def end(config: pytest.Config) -> None:
    """No longer."""
    if config in _open:
        _open.remove(config)


def current() -> pytest.Config | None:
    """The session that this process is in; None where it is no pytest."""
    return _open[-1] if _open else None
