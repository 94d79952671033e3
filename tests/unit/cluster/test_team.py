"""A run on a cluster whose parts do not do what they should, or not in the usual order."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from queue import SimpleQueue
from threading import Event as Flag
from typing import Any

import pytest
from hosted_world import hosted, until

from distromatrix.cluster import works
from distromatrix.model import CellResult, Verdict
from distromatrix.project import hosted_runs
from distromatrix.project.hosted_runs import HostedRuns
from distromatrix.record.events import CellFinished, CellPhase, CellStarted, RepeatFinished

pytestmark = pytest.mark.usefixtures("cli")  # with its homes and its fake engine

BEGUN_TWICE = """\
product: .
distros: [one, two]
suites:
  slow: {run: 'test ! -e FLAG || exit 0; : >FLAG; sleep 1000'}
  quick: {run: 'true'}
"""


def test_nothing_is_asked_of_hosts_before_they_are_listened_to(project: Path) -> None:
    with hosted(project, 1, asked=True) as run:
        run.executor.ask("one/good")
        assert not run.client.futures
        run.begin()
        until(lambda: run.finished == ["one/good"])
        run.executor.ask("two/good")
        until(lambda: run.finished == ["one/good", "two/good"])
        run.executor.leave_out("not asked for")
        assert {one.verdict for one in run.end().values()} == {Verdict.PASSED, Verdict.SKIPPED}


class DeafOnce(SimpleQueue[dict[str, Any]]):
    """It loses the first word that a batch has begun."""

    lost = False

    def put(self, item: dict[str, Any], block: bool = True, timeout: float | None = None) -> None:
        if item["kind"] == "begin" and not self.lost:
            self.lost = True
        else:
            super().put(item, block, timeout)


def test_a_batch_goes_out_again_whose_begin_was_not_heard(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ordered = HostedRuns._ordered
    tries: list[str] = []

    def impatient(runs: HostedRuns, token: str, wanted: Callable[[], bool]) -> Any:
        tries.append(token)
        return ordered(runs, token, wanted) if len(tries) > 1 else None

    monkeypatch.setattr(HostedRuns, "_ordered", impatient)
    with hosted(project, 1, cells=["one/good"]) as run:
        run.team._messages = DeafOnce()
        run.begin()
        assert run.end()["one/good"].verdict is Verdict.PASSED
    assert len(tries) == 2


def test_a_living_host_that_says_nothing_any_more_gets_no_more_cells(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    execute, over = HostedRuns.execute, Flag()
    tries: list[str] = []

    def stuck_once(runs: HostedRuns, run: str, token: str, *how: Any) -> str:
        tries.append(token)
        return execute(runs, run, token, *how) if len(tries) > 1 else str(over.wait(300))

    limits = iter([0.0])
    monkeypatch.setattr(HostedRuns, "execute", stuck_once)
    monkeypatch.setattr(works, "silence_of", lambda cells: next(limits, 1e9))
    with hosted(project, 2, cells=["one/good"]) as run:
        run.begin()
        assert run.end()["one/good"].verdict is Verdict.PASSED
        assert any("it says nothing any more" in text for text in run.warned)
        over.set()


def busy(client: Any) -> list[str]:
    """The addresses of workers that have something to do."""
    return [host for host, tasks in client.processing().items() if tasks]


@pytest.mark.parametrize("retries", [0, 1])
def test_a_lost_host_costs_an_attempt_where_a_script_had_begun_and_nowhere_else(
    project: Path, tmp_path: Path, retries: int
) -> None:
    matrix = BEGUN_TWICE.replace("FLAG", str(tmp_path / "flag"))
    (project / "matrix/default.yaml").write_text(matrix)
    # The first two travel together, and the other one goes to the other host.
    seconds = {"one/slow": 0.1, "one/quick": 0.1, "two/quick": 1000.0}
    with hosted(project, 2, cells=seconds, seconds=seconds, retries=retries) as run:
        run.begin()
        until(lambda: run.finished == ["two/quick"])
        until(lambda: "one/slow" in {event.cell for event in run.of(CellPhase)})
        # The machine of the second is opened while the first one's is used.
        until(lambda: "one/quick" in {event.cell for event in run.of(CellStarted)})
        until(lambda: len(busy(run.client)) == 1 and (tmp_path / "flag").exists())
        run.client.retire_workers(busy(run.client), close_workers=True)
        results = run.end()
    slow, quick = results["one/slow"], results["one/quick"]
    assert (quick.verdict, quick.attempts) == (Verdict.PASSED, 1)
    assert slow.attempts == 1 + retries
    assert slow.verdict is (Verdict.PASSED if retries else Verdict.ERROR)
    assert slow.host == quick.host != ""


def test_a_host_sweeps_what_was_opened_while_a_run_was_interrupted(
    project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    matrix = BEGUN_TWICE.replace("FLAG", str(tmp_path / "flag"))
    (project / "matrix/default.yaml").write_text(matrix)
    swept = Flag()
    monkeypatch.setattr(hosted_runs, "sweep_host", swept.set)
    monkeypatch.setattr(hosted_runs, "LATE", 0.0)
    with hosted(project, 1, cells=["two/quick"]) as run:
        run.begin()
        assert run.end()["two/quick"].verdict is Verdict.PASSED
    assert not swept.is_set()
    with hosted(project, 1, cells=["one/slow"]) as run:
        run.begin()
        until((tmp_path / "flag").exists)
        run.executor.interrupt("SIGINT")
        assert run.end()["one/slow"].verdict is Verdict.SKIPPED
        until(swept.is_set)


def test_only_results_of_cells_that_a_host_has_are_taken(project: Path) -> None:
    with hosted(project, 1) as run:
        mine = ("one/good",)
        passed = {name: CellResult(id=name, verdict=Verdict.PASSED) for name in run.cells}

        def taken(event: CellFinished | RepeatFinished) -> bool:
            return run.team.result_of(json.dumps(asdict(event)), mine, "h") is not None

        assert not taken(CellFinished(result=passed["two/good"]))
        assert not taken(RepeatFinished(result=passed["one/good"], repeat=1))
        assert run.team.result_of("{", mine, "h") is None
        assert taken(CellFinished(result=passed["one/good"]))
        run.team.left.done(passed["one/good"], 0)
        assert not taken(CellFinished(result=passed["one/good"]))


def test_what_the_machines_of_many_cells_are_made_of_is_held_once(project: Path) -> None:
    suites = "".join(f"  s{n}: {{run: 'true'}}\n" for n in range(12))
    (project / "matrix/default.yaml").write_text(f"product: .\ndistros: [one]\nsuites:\n{suites}")
    with hosted(project, 2) as run:
        run.begin()
        assert {one.verdict for one in run.end().values()} == {Verdict.PASSED}
        facts = run.team.facts
    assert len(facts) == 12
    assert all(one.packages for one in facts.values())
    assert len({id(one) for one in facts.values()}) == 1


def test_a_client_that_was_cut_off_for_a_moment_goes_on(project: Path, tmp_path: Path) -> None:
    flag = tmp_path / "flag"
    (project / "matrix/default.yaml").write_text(
        "product: .\ndistros: [one, two]\nsuites:\n"
        f"  a: {{run: 'while test ! -e {flag}; do sleep 0.1; done'}}\n"
    )
    with hosted(project, 1) as run:
        run.begin()
        until(lambda: len(run.of(CellPhase)) > 0)  # the other waits for a place
        run.client.loop.add_callback(run.client.scheduler_comm.comm.abort)
        until(lambda: all(work.generation > 1 for work in run.team._works))
        flag.touch()
        assert {one.verdict for one in run.end().values()} == {Verdict.PASSED}
