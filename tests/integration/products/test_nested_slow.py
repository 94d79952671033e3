"""This project's wheel inside a real cell: it plans and runs there, on the fake engine of its
tests, which lies beside it."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[3]
DISTRO = """\
title: A distro
family: other
package_manager: none
libc: glibc
image: [{pull: docker.io/library/one:1}]
"""
INNER = {
    "product": ".",
    "distros": ["one"],
    "suites": {"who": {"run": 'echo "$DISTROMATRIX_CELL $DISTROMATRIX_ENGINE"'}},
}
RUN = """\
export PATH=/opt/venv/bin:$PATH DISTROMATRIX_FAKE=/tmp/fake
(cd inner && ! distromatrix run)  # which has no fake engine of its own
export PYTHONPATH="$PWD/fakes"
cd inner
distromatrix plan
distromatrix run
cat .distromatrix/runs/latest/cells/one/who/log.txt
DISTROMATRIX_ENGINE=vagrant distromatrix plan   # as a cell in a guest has it
distromatrix plan --engine podman
distromatrix doctor || test $? = 69  # no git, no Docker
"""

pytestmark = [pytest.mark.engine, pytest.mark.slow]


def test_our_wheel_runs_in_a_cell(tmp_path: Path) -> None:
    pip = [sys.executable, "-m", "pip", "--quiet", "wheel", "--no-deps"]
    subprocess.run([*pip, "--wheel-dir", tmp_path, ROOT], check=True)
    shutil.copytree(ROOT / "tests/fakes", tmp_path / "fakes")
    prepare = "python3 -m venv /opt/venv\n/opt/venv/bin/pip install -q *.whl\n"
    suite = {
        "packages": ["python"],
        "prepare": {"files": ["*.whl"], "run": prepare},
        "run": RUN,
        "timeout": "10m",
    }
    outer = {
        "product": ".",
        "distros": ["debian-12"],
        "ca_bundle": "host",
        "index": "host",
        "suites": {"nested": suite},
    }
    for name, text in {
        "matrix/default.yaml": yaml.safe_dump(outer),
        "inner/matrix/default.yaml": yaml.safe_dump(INNER),
        "inner/distros/one.yaml": DISTRO,
    }.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    command = [sys.executable, "-m", "distromatrix", "run", "-C", str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    log = (tmp_path / ".distromatrix/runs/latest/cells/debian-12/nested/log.txt").read_text()
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}\n{log}"
    assert "one/who  docker " in log
    assert "one/who fake\n" in log
    assert "one/who  podman " in log
