"""An image that cannot be had is told once, however many cells want it: on the terminal, in the
summary, in annotations and in pytest. The journal has it for each cell."""

from __future__ import annotations

import io
import json
from pathlib import Path

import pytest
from cli_world import Cli, runs
from pytest_world import World
from report_samples import result
from rich.console import Console

from distromatrix.model import CellResult, Phase, Verdict
from distromatrix.record.events import CellFinished, RunStarted
from distromatrix.reports.terminal.board import Board
from distromatrix.reports.terminal.plain import Plain

pytest_plugins = ["pytester"]

LOG = "only in the log"
MATRIX = """\
product: .
distros: [one, two]
suites:
  a: {run: 'true'}
  b: {run: 'true', packages: [jq]}
  c: {run: 'true', packages: [jq]}
"""
NO_PULL = {"pulls": {"*": "not-found"}}


def broken(cell: str, phase: Phase = Phase.IMAGE, reason: str = "no image") -> CellResult:
    given = {"verdict": Verdict.ERROR, "phase": phase, "reason": reason}
    return result(cell, tail=(LOG,), attempts=2, **given)  # type: ignore[arg-type]


CELLS = [
    broken("debian-11/a"),
    broken("debian-11/b"),
    broken("debian-12/a"),  # another image
    broken("debian-11/c", Phase.PACKAGES),  # another phase
    broken("debian-11/d", Phase.RUN, "gone"),  # no image's fault
    broken("debian-11/e", Phase.RUN, "gone"),
    broken("debian-11/f"),
]


@pytest.mark.parametrize("kind", [Plain, Board])
def test_lines_of_a_run_tell_it_with_the_first_cell(kind: type[Plain] | type[Board]) -> None:
    out = io.StringIO()
    console = Console(file=out, width=200, force_terminal=kind is Board, color_system=None)
    ids = tuple(cell.id for cell in CELLS)
    with kind(console) as report:
        report(RunStarted(run="r", cells=ids, jobs=2, engine="Fake"))
        for cell in CELLS:
            report(CellFinished(result=cell))
    text = out.getvalue()
    assert text.count("no image (tried 2 times)") == 3
    assert text.count("as debian-11/a\n") == 2
    assert text.count("gone (tried 2 times)") == 2
    assert text.count(LOG) == (5 if kind is Plain else 0)


def test_a_run_tells_it_once_and_its_journal_for_each_cell(
    cli: Cli, project: Path, tmp_path: Path
) -> None:
    (project / "matrix/default.yaml").write_text(MATRIX)
    (tmp_path / "fake").mkdir()
    (tmp_path / "fake/faults.json").write_text(json.dumps(NO_PULL))
    said = cli("run", "--jobs", "1")
    assert said.code == 69
    live, summary = said.out.split("could not be tested")
    for distro in ("one", "two"):
        fault = f"docker.io/library/{distro}:1"
        told = [line for line in live.splitlines() if fault in line and " error " in line]
        assert len(told) == 1
        first = next(word for word in told[0].split() if word.startswith(f"{distro}/"))
        assert live.count(f"as {first}\n") == 2
        assert summary.count(fault) == 1
        assert f"{distro}/a, {distro}/b, {distro}/c (image" in summary
    (run,) = runs(project)
    cells = json.loads((run / "results.json").read_text())["cells"]
    assert [cell["reason"] for cell in cells if "docker.io/" not in cell["reason"]] == []
    lines = cli("report", "--github").out.splitlines()
    assert sum(line.startswith("::error") for line in lines) == 2


@pytest.mark.parametrize("xdist", [(), ("-n", "2")], ids=["alone", "xdist"])
def test_pytest_tells_it_once(world: World, xdist: tuple[str, ...]) -> None:
    world.ini()
    world.matrix(MATRIX.replace("[one, two]", "[two]"))
    world.fault(**NO_PULL)
    done = world.pytester.runpytest("matrix", "-rE", *xdist)
    done.assert_outcomes(errors=3)
    ends = [line for line in done.outlines if line.startswith("image: ")]
    assert sum("(told with two/" in line for line in ends) == 2
    assert len(ends) == 3
