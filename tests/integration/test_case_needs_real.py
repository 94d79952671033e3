"""The mark `needs` in a product's tests, with the pytest and the tox that distributions have: in
the container it skips, in a guest those cases run alone."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from distromatrix.project import host_facts
from given import unobtainable

pytestmark = [pytest.mark.engine, pytest.mark.slow]

MATRIX = """\
product: .
distros: [debian-11, debian-12, debian-13]
defaults: {user: tester}
suites:
  plain: {packages: [pytest], run: python3 -m pytest -p no:cacheprovider --strict-markers}
  tox: {packages: [pytest, tox], run: tox}
"""
TOX = """\
[tox]
envlist = a
skipsdist = true
[testenv]
sitepackages = true
skip_install = true
commands = python3 -m pytest --strict-markers
allowlist_externals = python3
whitelist_externals = python3
"""
TESTS = """\
import os
import pytest

@pytest.mark.needs("kernel-modules")
def test_modules(): assert os.path.isdir("/lib/modules/" + os.uname().release)

def test_plain(): print("plain ran")
"""


def test_every_pytest_and_tox_loads_the_mark(tmp_path: Path) -> None:
    if why := host_facts().guests["qemu"]:
        unobtainable(why)
    (tmp_path / "matrix").mkdir()
    (tmp_path / "matrix/default.yaml").write_text(MATRIX)
    (tmp_path / "tox.ini").write_text(TOX)
    (tmp_path / "test_it.py").write_text(TESTS)
    command = [sys.executable, "-m", "distromatrix", "run", "-C", str(tmp_path), "--json"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    cells = json.loads(done.stdout)["cells"]
    assert len(cells) == 6
    for cell in cells:
        assert (cell["verdict"], cell["needing"]) == ("passed", []), done.stderr
        (there,) = cell["fallback"]
        assert (there["engine"], there["how"]) == ("qemu", "pytest")
        assert there["cases"] == ["test_it.py::test_modules"]
        folder = tmp_path / ".distromatrix/runs/latest/cells" / cell["id"]
        assert "1 passed, 1 skipped" in (folder / "log.txt").read_text()
        assert "1 passed, 1 deselected" in (folder / "guest/qemu/log.txt").read_text()
