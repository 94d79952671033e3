"""A product whose cases need a guest."""

from __future__ import annotations

from typing import Any

from executing import OWN_PYTEST, World, cell

from distromatrix.model import CellResult

TESTS = """\
import os, sys
import pytest

def test_plain():
    print("plain on", os.environ["DISTROMATRIX_ENGINE"])

@pytest.mark.needs("kernel-modules")
def test_module():
    print("module on", os.environ["DISTROMATRIX_ENGINE"])

@pytest.mark.parametrize("x", [1, "a b"])
@pytest.mark.needs("mount")
def test_mount(x):
    pass

@pytest.mark.needs("init")
def test_unit():
    assert os.environ["DISTROMATRIX_ENGINE"] == "vagrant"

def test_own_words():
    if os.environ["DISTROMATRIX_ENGINE"] == "fake":
        pytest.skip("needs: reboot")
"""

ALONE = f"{OWN_PYTEST} -p no:pytest11.testinfra -rA"

PYTEST = f'{ALONE} --junitxml="$DISTROMATRIX_JUNIT"'


def write(world: World, text: str) -> None:
    (world.folder / "product/test_it.py").write_text(f"import os, pytest\n{text}")


def log(world: World, id: str, engine: str = "") -> str:
    where = f"guest/{engine}/" if engine else ""
    return (world.run / "cells" / id / where / "log.txt").read_text()


def one(world: World, id: str, run: str, **other: Any) -> CellResult:
    return world.execute(cell(id, run, **other)).cells[0]
