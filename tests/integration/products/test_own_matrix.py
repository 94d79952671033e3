"""This project's own matrices: its unit tests, from the built wheel, on real distributions, and
that wheel by pipx and by uvx; and what every engine must do, in a guest whose Docker lives under
systemd and cgroup v2."""

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from given import ALPINE, alpine_or_pulled, no_vagrant, unobtainable
from quick_python import quick_python

ROOT = Path(__file__).parents[3]

pytestmark = [pytest.mark.engine, pytest.mark.slow]


def run(*args: str, root: Path = ROOT) -> dict[str, dict[str, Any]]:
    """Cells by their ids, of a run that must pass."""
    done = subprocess.run(
        [quick_python(), "-m", "distromatrix", "run", "--json", "-C", str(root), *args],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-5000:]
    return {cell["id"]: cell for cell in json.loads(done.stdout)["cells"]}


def test_our_unit_tests_pass_from_the_wheel_wherever_python_is_new_enough() -> None:
    cells = run()
    for suite in ("unit", "pipx", "uvx"):
        assert {cell for cell in cells if cell.endswith(f"/{suite}")} == {
            f"{distro}/{suite}"
            for distro in ("debian-12", "debian-13", "debian-testing", "debian-sid")
        }
    units = [cell for name, cell in cells.items() if name.endswith("/unit")]
    assert all(cell["cases"]["passed"] > 500 for cell in units)


@pytest.mark.guest
def test_the_contract_holds_under_systemd_and_cgroup_v2(tmp_path: Path) -> None:
    if reason := no_vagrant():
        unobtainable(reason)
    copy = tmp_path / "distromatrix"  # with the Alpine that the guest has no other way to
    ignored = shutil.ignore_patterns(".*", "__pycache__", "build", "dist")
    shutil.copytree(ROOT, copy, ignore=ignored)
    alpine = alpine_or_pulled()
    (copy / "tests/images").mkdir()
    shutil.copy(alpine, copy / "tests/images" / ALPINE)
    cells = run("-m", "matrix/engines.yaml", "--jobs", "1", root=copy)
    assert {cell["engine"] for cell in cells.values()} == {"vagrant"}
    cases = {cell.partition("/")[2]: found["cases"] for cell, found in cells.items()}
    assert cases["contract"]["passed"] > 80
    assert cases["ends"]["passed"] == 2
    assert all(found["skipped"] == found["failed"] == 0 for found in cases.values())
