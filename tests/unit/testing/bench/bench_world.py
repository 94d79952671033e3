"""A project on the fake engine, and who asks for its machines."""

from __future__ import annotations

import json
from pathlib import Path
from time import monotonic, sleep

from distromatrix.engines.contract import Command, Machine
from distromatrix.load.settings import load_settings
from distromatrix.model import Selection
from distromatrix.project.project import load_project
from distromatrix.testing.bench.direct import DirectBench
from fake_engine.engine import FakeEngine

MATRIX = """\
product: .
distros: [one, two]
env: {FROM_MATRIX: here}
suites:
  good: {run: echo fine, setup: echo made >setup-done}
  bad: {run: 'echo broken; exit 3'}
  slow: {run: sleep 60, timeout: 2m}
  unfit: {run: 'true', setup: 'echo oh no; exit 4'}
rules:
  - {distro: two, suite: good, skip: not here}
"""


class World:
    def __init__(self, root: Path, fake: Path) -> None:
        self.root = root
        self.engine = FakeEngine(fake)
        self._fake = fake

    def bench(self) -> DirectBench:
        settings = load_settings()
        project = load_project(self.root, None, settings)
        plan = project.plan(Selection())
        return DirectBench(plan=plan, settings=settings, distros=lambda: project.matrix.distros)

    def faults(self, **faults: object) -> None:
        (self._fake / "faults.json").write_text(json.dumps(faults))

    def machines(self) -> list[str]:
        return [left.name for left in self.engine.leftovers() if left.kind == "container"]


def said(machine: Machine, script: str) -> bytes:
    out: list[bytes] = []
    machine.run(Command(script, output=out.append))
    return b"".join(out)


def until(what: object) -> None:
    deadline = monotonic() + 20
    while not what():  # type: ignore[operator]
        assert monotonic() < deadline, "it did not happen"
        sleep(0.02)
