"""This project's own matrix: its unit tests, from the built wheel, on real distributions."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

pytestmark = [pytest.mark.engine, pytest.mark.slow]


def test_our_unit_tests_pass_from_the_wheel_wherever_python_is_new_enough() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "distromatrix", "run", "--json", "-C", str(ROOT)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    cells = {cell["id"]: cell for cell in json.loads(done.stdout)["cells"]}
    assert set(cells) == {
        f"{distro}/unit" for distro in ("debian-12", "debian-13", "debian-testing", "debian-sid")
    }
    assert all(cell["cases"]["passed"] > 500 for cell in cells.values())
