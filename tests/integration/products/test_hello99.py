"""The example that installs, upgrades and removes its packages, on four distros."""

import json
import shutil
import subprocess
from pathlib import Path

import pytest

from quick_python import quick_python

pytestmark = [pytest.mark.engine, pytest.mark.slow]

EXAMPLE = Path(__file__).parents[3] / "examples/hello99"


def test_packages_are_installed_upgraded_and_removed(tmp_path: Path) -> None:
    root = tmp_path / "hello99"
    shutil.copytree(EXAMPLE, root, ignore=shutil.ignore_patterns("dist", "build", ".distromatrix"))
    subprocess.run(["sh", root / "build.sh"], check=True, capture_output=True)
    command = [quick_python(), "-m", "distromatrix", "run", "-C", root, "debian-*"]
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    run = root / ".distromatrix/runs/latest"
    cells = {cell["id"] for cell in json.loads((run / "results.json").read_text())["cells"]}
    assert len(cells) == 12
    for cell in cells:
        log = (run / "cells" / cell / "log.txt").read_text()
        assert "installing ./dist/hello_99_all.deb" in log
        if cell.endswith("/upgrade"):
            assert "Unpacking hello (99) over (2." in log
            assert "upgraded from 2." in log
        if cell.endswith("/removal"):
            behind = log.rpartition("what stayed behind (2 paths):\n")[2].splitlines()
            assert behind == ["/var/lib/hello99", "/var/lib/hello99/state"]
