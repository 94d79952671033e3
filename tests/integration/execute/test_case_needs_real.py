"""The mark `needs` in a product's tests, with the pytest and the tox that distributions have: in
the container it skips, in a guest those cases run alone."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import pytest

from distromatrix.project.project import host_facts
from given import unobtainable
from quick_python import quick_python

pytestmark = [pytest.mark.engine, pytest.mark.slow]

MATRIX = """\
product: .
distros: [DISTROS]
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

def test_plain(): pass

@pytest.mark.distros("debian-*")
@pytest.mark.needs("reboot")
def test_machine(machine): machine.reboot()

@pytest.fixture(scope="module")
def server(machine, distro): return machine.run("true")

def test_server(server, fresh_machine): pass
"""


def run(folder: Path, distros: str, **env: str) -> subprocess.CompletedProcess[str]:
    (folder / "matrix").mkdir()
    (folder / "matrix/default.yaml").write_text(MATRIX.replace("DISTROS", distros))
    (folder / "tox.ini").write_text(TOX)
    (folder / "test_it.py").write_text(TESTS)
    command = [quick_python(), "-m", "distromatrix", "run", "-C", str(folder), "--json"]
    return subprocess.run(
        command, capture_output=True, text=True, check=False, env={**os.environ, **env}
    )


def test_every_pytest_and_tox_loads_the_mark(tmp_path: Path) -> None:
    done = run(tmp_path, "debian-11, debian-12, debian-13", PATH="/nowhere")  # without QEMU
    assert done.returncode == 1, done.stderr  # cases that did not run are no success
    cells = json.loads(done.stdout)["cells"]
    assert len(cells) == 6
    for cell in cells:
        assert cell["verdict"] == "passed", done.stderr
        assert "QEMU is not installed" in cell["reason"]
        assert cell["needing"] == [
            {"test": "test_it.py::test_modules", "needs": ["kernel-modules"]}
        ]
        log = tmp_path / ".distromatrix/runs/latest/cells" / cell["id"] / "log.txt"
        assert "1 passed, 3 skipped" in log.read_text()  # and those that open machines


def test_what_a_container_skips_a_guest_runs_alone(tmp_path: Path) -> None:
    if why := host_facts().guests["qemu"]:
        unobtainable(why)
    done = run(tmp_path, "debian-12, debian-13")
    assert done.returncode == 0, done.stderr
    cells = json.loads(done.stdout)["cells"]
    assert len(cells) == 4
    for cell in cells:
        assert (cell["verdict"], cell["needing"]) == ("passed", []), done.stderr
        (there,) = cell["fallback"]
        assert (there["engine"], there["how"]) == ("qemu", "pytest")
        assert there["cases"] == ["test_it.py::test_modules"]
        folder = tmp_path / ".distromatrix/runs/latest/cells" / cell["id"]
        assert "1 passed, 3 skipped" in (folder / "log.txt").read_text()
        assert "1 passed, 3 deselected" in (folder / "guest/qemu/log.txt").read_text()
