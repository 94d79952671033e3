"""The mark `needs` in a product's tests, with the pytest and the tox that distributions have."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

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
import pytest

@pytest.mark.needs("kernel-modules")
def test_modules(): assert False

def test_plain(): pass
"""


def test_every_pytest_and_tox_loads_the_mark(tmp_path: Path) -> None:
    (tmp_path / "matrix").mkdir()
    (tmp_path / "matrix/default.yaml").write_text(MATRIX)
    (tmp_path / "tox.ini").write_text(TOX)
    (tmp_path / "test_it.py").write_text(TESTS)
    command = [sys.executable, "-m", "distromatrix", "run", "-C", str(tmp_path), "--json"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 1, done.stderr  # cases that did not run are no success
    cells = json.loads(done.stdout)["cells"]
    assert len(cells) == 6
    for cell in cells:
        assert cell["verdict"] == "passed", done.stderr
        assert cell["needing"] == [
            {"test": "test_it.py::test_modules", "needs": ["kernel-modules"]}
        ]
