"""A product with a matrix and a test of its own, and pytest in it, on the fake engine."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

# pytester forgets the modules that a run inside this process imports; what is made of C does not
# bear to be imported again, and the rest takes its time.
import distromatrix.engines.guest.available
import distromatrix.execute.executor
import distromatrix.load.matrix
import distromatrix.project.project
import distromatrix.reports.commands
import distromatrix.testing.bench.joined
import distromatrix.testing.cells.outcomes
import distromatrix.testing.hosts
import distromatrix.testing.machines.hooks
import distromatrix.testing.machines.parametrize
import distromatrix.testing.machines.printed  # noqa: F401

DISTRO = """\
title: A distro
family: FAMILY
package_manager: none
libc: LIBC
eol: 2999-01-01
image: [{pull: docker.io/library/NAME:1}]
"""
MATRIX = """\
product: .
distros: [one-1.0, two]
suites:
  good: {run: echo fine}
  bad: {run: 'echo broken; test $DISTROMATRIX_DISTRO = one-1.0'}
"""
MACHINES = """\
product: .
distros: [one-1.0, two, three]
suites:
  good: {run: 'true', setup: echo made >here, env: {FROM_SUITE: yes}}
  unfit: {run: 'true', setup: 'echo oh no; exit 4'}
rules:
  - {distro: two, suite: good, skip: no musl yet}
"""
IDS = ["one-1.0/good", "one-1.0/bad", "two/good", "two/bad"]
FILE = "matrix/default.yaml"


class World:
    """The product's folder, which is the working directory."""

    def __init__(self, pytester: pytest.Pytester) -> None:
        self.pytester = pytester
        self.root = pytester.path
        self.fake = self.root.parent / f"{self.root.name}-fake"
        for folder in ("matrix", "distros", "tests"):
            (self.root / folder).mkdir()
        self.distro("one-1.0", "other", "glibc")
        self.distro("two", "alpine", "musl")
        self.matrix(MATRIX)
        (self.root / "tests/test_own.py").write_text("def test_own(): pass\n")

    def distro(self, name: str, family: str, libc: str) -> None:
        text = DISTRO.replace("NAME", name).replace("FAMILY", family).replace("LIBC", libc)
        (self.root / f"distros/{name}.yaml").write_text(text)

    def matrix(self, text: str, file: str = FILE) -> None:
        (self.root / file).write_text(text)

    def for_machines(self) -> None:
        """Let it be a product whose own tests have machines; it has none yet."""
        self.distro("three", "debian", "glibc")
        self.distro("apart", "rhel", "glibc")
        self.matrix(MACHINES)
        (self.root / "tests/test_own.py").unlink()

    def test(self, text: str, name: str) -> None:
        (self.root / f"tests/{name}.py").write_text(text)

    def ini(self, *lines: str) -> None:
        text = "\n".join(("[pytest]", f"distromatrix = {FILE}", *lines, ""))
        (self.root / "pytest.ini").write_text(text)

    def fault(self, **faults: object) -> None:
        """The fake engine's faults from now on."""
        self.fake.mkdir(exist_ok=True)
        (self.fake / "faults.json").write_text(json.dumps(faults))

    def left(self) -> list[str]:
        """What is on the engine that should not be there any more."""
        return [p.name for kind in ("machines", "stages") for p in (self.fake / kind).glob("*")]

    def collected(self, *args: str) -> list[str]:
        """The ids that `pytest --collect-only -q ARGS` prints."""
        done = self.pytester.runpytest("--collect-only", "-q", *args)
        assert not done.stderr.str()
        return [line for line in done.outlines if "::" in line]

    def runs(self) -> list[Path]:
        folder = self.root / ".distromatrix/runs"
        return [p for p in folder.glob("*") if not p.is_symlink()]


def of(*cells: str) -> list[str]:
    """The node ids of cells."""
    return [f"{FILE}::{cell}" for cell in cells]
