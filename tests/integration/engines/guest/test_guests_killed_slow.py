"""kill -9 at any moment of a run with guests: `distromatrix clean` finds and removes it all."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from distromatrix.engines import open_engine
from distromatrix.engines.qemu import process as qemu_process

pytestmark = [pytest.mark.engine, pytest.mark.guest, pytest.mark.slow]

MATRIX = """\
product: .
distros: [debian-12]
defaults: {memory: 512M}
suites:
  one: {needs: [own-kernel], run: sleep 3}
  two: {needs: [kernel-modules], run: 'modprobe dummy; sleep 3'}
"""
MOMENTS = 10


def distromatrix(*words: str, product: Path) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "distromatrix", *words, "-C", str(product)],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def left(product: Path) -> set[str]:
    """What is there of this product's runs: processes, and folders of machines and stages."""
    engine = open_engine("qemu")
    inside = str(product / ".distromatrix")
    names = {one.name for one in engine.leftovers() if one.folder.startswith(inside)}
    running = {folder.name for folder in qemu_process.running()}
    engine.close()
    return names | {name for name in running if any(run.name in name for run in runs(product))}


def runs(product: Path) -> list[Path]:
    return list((product / ".distromatrix/runs").glob("2*"))


def test_killed_at_random_moments_it_leaves_nothing_after_clean(tmp_path: Path) -> None:
    (tmp_path / "matrix").mkdir()
    (tmp_path / "matrix/default.yaml").write_text(MATRIX)
    whole = distromatrix("run", product=tmp_path)
    began = time.monotonic()
    said, _ = whole.communicate()
    assert whole.returncode == 0, said
    warm = distromatrix("run", product=tmp_path)
    began = time.monotonic()
    warm.communicate()
    takes = time.monotonic() - began
    something = 0
    for moment in range(MOMENTS):
        after = random.uniform(0.3, takes)
        process = distromatrix("run", product=tmp_path)
        time.sleep(after)
        os.kill(process.pid, signal.SIGKILL)
        process.communicate()
        something += bool(left(tmp_path))
        cleaned = distromatrix("clean", product=tmp_path)
        said, _ = cleaned.communicate()
        assert cleaned.returncode == 0, said
        assert left(tmp_path) == set(), f"moment {moment}, after {after:.1f} s: {said}"
    assert something  # else nothing was tried
