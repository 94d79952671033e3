"""The example whose tests have machines, run as its README says, by workers of pytest-xdist."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.engine

EXAMPLE = Path(__file__).parents[2] / "examples/keepsake"


@pytest.mark.parametrize(
    ("choice", "passed"),
    [
        pytest.param(("-k", "alpine"), 10, id="alpine"),
        pytest.param((), 56, marks=pytest.mark.slow, id="all"),
    ],
)
def test_fixtures_and_testinfra_see_the_same_machines(choice: tuple[str, ...], passed: int) -> None:
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-n", "2", *choice]
    done = subprocess.run(command, cwd=EXAMPLE, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert f" {passed} passed" in done.stdout
