"""Plans that are saved, and what earlier runs took."""

from __future__ import annotations

import json
from pathlib import Path

from cli_world import Cli

from distromatrix.model import CellResult, Verdict
from distromatrix.record.history import History, RunStamp

GUESTS = """\
product: .
distros: [one, two]
suites:
  good: {run: echo fine}
  deep: {run: echo deep, needs: [kernel-modules]}
"""


def remember(path: Path, cell: str, *seconds: float) -> None:
    for number, took in enumerate(seconds):
        result = CellResult(id=cell, verdict=Verdict.PASSED, seconds=took)
        history = History(path, "matrix/default.yaml", given=True)
        assert history.add(RunStamp(f"r{number}", 1.0), [result]) == ""


def saved(cli: Cli, *args: str) -> dict[str, object]:
    said = cli("plan", "--save", "plan.json", *args)
    assert said.code == 0, said.err
    content: dict[str, object] = json.loads(Path("plan.json").read_text())
    return content
