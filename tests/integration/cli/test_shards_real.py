"""One plan file, and several checkouts that each run a shard of it in real containers."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from breaking_world import Project, ended, killed, until

from distromatrix.model import CellResult, Verdict
from distromatrix.record.history import History, RunStamp
from given import alpine_or_pulled

pytestmark = pytest.mark.engine

SUITES = {
    "good": 'cat hello; echo "$PWD" >"$DISTROMATRIX_ARTIFACTS/where"',
    "bad": 'test "$DISTROMATRIX_DISTRO" = "$FIRST"',
    "slow": "echo begun; sleep 1",
}


@pytest.fixture
def checkouts(tmp_path: Path) -> Iterator[list[Project]]:
    """The same product, with two distros, in three places."""
    made = [Project(tmp_path / "m0", alpine_or_pulled().parent)]
    first = made[0].distro
    made += [Project(tmp_path / f"m{n}", made[0].archives, distro=first) for n in (1, 2)]
    for one in made:
        one.add_distro(f"{first}-b")
        one.suites(SUITES, distros=[first, f"{first}-b"], env={"FIRST": first})
    yield made
    for one in made:
        one.clean()


def answer(project: Project) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((project.latest / "results.json").read_text())
    return found


def test_three_checkouts_run_a_shard_each_and_every_cell_ran_once(
    checkouts: list[Project], tmp_path: Path
) -> None:
    file = tmp_path / "history.sqlite3"
    took = {"slow": 3.0, "good": 0.1}
    cells = [
        CellResult(id=f"{checkouts[0].distro}/{name}", verdict=Verdict.PASSED, seconds=seconds)
        for name, seconds in took.items()
    ]
    assert History(file, "matrix/default.yaml", given=True).add(RunStamp("r", 1.0), cells) == ""
    plan = tmp_path / "plan.json"
    planned = checkouts[0].call("plan", "--save", str(plan), "--history", str(file))
    assert planned.code == 0, planned.err
    ends = [
        one.start("run", "--plan", str(plan), "--shard", f"{n}/3")
        for n, one in enumerate(checkouts, 1)
    ]
    codes = [ended(process).code for process in ends]
    answers = [answer(one) for one in checkouts]
    assert {a["digest"] for a in answers} == {json.loads(plan.read_text())["digest"]}
    verdicts = {c["id"]: c["verdict"] for a in answers for c in a["cells"]}
    assert sum(len(a["cells"]) for a in answers) == 6
    first = checkouts[0].distro
    assert {cell for cell, verdict in verdicts.items() if verdict != "passed"} == {f"{first}-b/bad"}
    failed = [any(c["verdict"] == "failed" for c in a["cells"]) for a in answers]
    assert codes == [int(one) for one in failed]
    assert [one.left() for one in checkouts] == [[], [], []]


@pytest.mark.slow
def test_a_shard_whose_machine_was_cut_off_goes_on_there(
    checkouts: list[Project], tmp_path: Path
) -> None:
    plan = tmp_path / "plan.json"
    assert checkouts[0].call("plan", "--save", str(plan)).code == 0
    here = checkouts[1]
    process = here.start("run", "--plan", str(plan), "--shard", "1/2", "-j", "1")
    until(lambda: "cell-finished" in here.journal())
    killed(process)
    plan.unlink()
    done = here.call("run", "--resume", "latest")
    found = answer(here)
    assert (found["shard"], len(found["cells"])) == ("1/2", 3)
    assert done.code == int(any(c["verdict"] == "failed" for c in found["cells"]))
    assert "skipped" not in {c["verdict"] for c in found["cells"]}
    assert here.call("clean").code == 0
    assert here.left() == []
