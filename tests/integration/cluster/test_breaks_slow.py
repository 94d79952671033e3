"""Each way in which a cluster breaks, at random moments: no result is lost, nothing is left.

`DISTROMATRIX_ROUNDS` says how often each is tried. A round is repeated by its id, which is the
seed of when and where it breaks. What was seen in it goes into its record in JUnit's XML.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from random import Random
from time import monotonic, sleep

import pytest
from breaking_world import Ended, Project, ended, killed, until
from cluster_world import begun, fill, left, lines, resumed, seen, under_way, whole

from cluster_rig import Rig, cluster
from given import alpine_or_pulled

pytestmark = [pytest.mark.engine, pytest.mark.slow]

ROUNDS = range(int(os.environ.get("DISTROMATRIX_ROUNDS", "2")))
NOTICED = "12s"  # after which a pulled cable is noticed


class Broken:
    """A cluster, a product, and a round's luck; `record` takes what was seen."""

    def __init__(self, rig: Rig, project: Project, record: Callable[[str, object], None]) -> None:
        self.rig, self.project, self.record = rig, project, record

    def begin(self, seed: str) -> None:
        """A run is under way; some time later something breaks."""
        self.random = Random(seed)
        self.name = self.random.choice(sorted(self.rig.hosts))
        before = self.project.latest
        self.run = begun(self.project, self.rig)
        under_way(self.project, before)
        moment = self.random.uniform(0, 4)
        sleep(moment)
        self.record("moment", f"{moment:.1f}")
        self.record("over", self.run.poll() is not None)
        self.since = monotonic()

    def end(self) -> Ended:
        """The run, to its end."""
        done = ended(self.run)
        again = {one["cell"] for one in lines(self.project) if one.get("attempt", 1) > 1}
        self.record("exit", done.code)
        self.record("seconds", f"{monotonic() - self.since:.1f}")
        self.record("again", len(again))
        return done

    def nothing_lost(self) -> None:
        """The run goes on to its end with all that it should have."""
        done = self.end()
        assert done.code == 1, done.said
        assert seen(self.project) == whole(self.project), done.said

    def nothing_left(self) -> None:
        """It is so, soon."""
        try:
            until(lambda: not left(self.rig))
        finally:
            self.record("left", left(self.rig))
        self.record("clean", f"{monotonic() - self.since:.1f}")

    def go_on(self) -> None:
        """What a run has not done, the next one does, where it had not ended yet."""
        results = self.project.latest / "results.json"
        if not results.exists() or seen(self.project) != whole(self.project):
            done = resumed(self.project, self.rig)
            assert done.code == 1, done.said
        assert seen(self.project) == whole(self.project)

    def restart(self, *names: str) -> None:
        """Workers are begun again, as a supervisor does once they have ended."""
        for name in names:
            worker = self.rig.hosts[name].dask
            assert worker is not None
            until(lambda worker=worker: worker.poll() is not None)  # type: ignore[misc]
            self.rig.start_worker(name)

    def next_run_cleans(self) -> None:
        """The next run has all, and sweeps what the one before could not."""
        done = self.project.call("run", "--cluster", self.rig.address)
        assert done.code == 1, done.said
        assert seen(self.project) == whole(self.project)
        self.nothing_left()


@pytest.fixture(scope="module")
def rig() -> Iterator[Rig]:
    with cluster(3, environ={"DASK_DISTRIBUTED__COMM__TIMEOUTS__TCP": NOTICED}) as made:
        yield made


@pytest.fixture(scope="module")
def project(rig: Rig, tmp_path_factory: pytest.TempPathFactory) -> Project:
    """What all rounds run; each host has made its images."""
    made = Project(tmp_path_factory.mktemp("b") / "p", alpine_or_pulled().parent)
    fill(made, rig)
    done = made.call("run", "--cluster", rig.address)
    assert done.code == 1, done.said
    return made


@pytest.fixture
def broken(rig: Rig, project: Project, record_property: Callable[[str, object], None]) -> Broken:
    return Broken(rig, project, record_property)


@pytest.mark.parametrize("number", ROUNDS)
def test_a_worker_is_killed(broken: Broken, number: int) -> None:
    broken.begin(f"worker-{number}")
    broken.rig.kill_worker(broken.name)
    broken.nothing_lost()
    broken.rig.start_worker(broken.name)
    broken.next_run_cleans()


@pytest.mark.parametrize("number", ROUNDS)
def test_an_engine_is_killed(broken: Broken, number: int) -> None:
    broken.begin(f"engine-{number}")
    broken.rig.kill_engine(broken.name)
    broken.nothing_lost()
    broken.rig.start_engine(broken.name)
    broken.next_run_cleans()


@pytest.mark.parametrize("number", ROUNDS)
def test_the_scheduler_is_killed(broken: Broken, number: int) -> None:
    broken.begin(f"scheduler-{number}")
    broken.rig.kill_scheduler()
    done = broken.end()
    assert done.code in (1, 69), done.said  # it may have been over before
    broken.rig.start_scheduler()
    broken.restart(*broken.rig.hosts)
    broken.go_on()
    broken.nothing_left()


@pytest.mark.parametrize("number", ROUNDS)
def test_the_client_is_killed(broken: Broken, number: int) -> None:
    broken.begin(f"client-{number}")
    killed(broken.run)
    broken.nothing_left()
    broken.go_on()


@pytest.mark.parametrize("number", ROUNDS)
@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM], ids=lambda how: how.name)
def test_the_user_interrupts(broken: Broken, how: signal.Signals, number: int) -> None:
    broken.begin(f"{how.name}-{number}")
    broken.run.send_signal(how)
    done = broken.end()
    assert done.code in (1, 128 + how), done.said  # it may have been over before
    broken.nothing_left()
    broken.go_on()


@pytest.mark.parametrize("number", ROUNDS)
def test_a_cable_is_pulled_for_some_seconds(broken: Broken, number: int) -> None:
    broken.begin(f"short-{number}")
    broken.rig.cut(broken.name)
    sleep(broken.random.uniform(0.5, 5))
    broken.rig.heal(broken.name)
    broken.nothing_lost()
    broken.nothing_left()


@pytest.mark.parametrize("number", ROUNDS)
def test_a_cable_is_pulled_for_long(broken: Broken, number: int) -> None:
    broken.begin(f"long-{number}")
    broken.rig.cut(broken.name)
    broken.nothing_lost()
    worker = broken.rig.hosts[broken.name].dask
    assert worker is not None
    until(lambda: worker.poll() is not None)
    broken.rig.heal(broken.name)
    broken.restart(broken.name)
    broken.next_run_cleans()


@pytest.mark.parametrize("number", ROUNDS)
def test_two_clients_at_once(broken: Broken, number: int, tmp_path: Path) -> None:
    other = Project(tmp_path / "p", alpine_or_pulled().parent)
    fill(other, broken.rig)
    beside = begun(other, broken.rig)
    broken.begin(f"two-{number}")
    broken.rig.kill_worker(broken.name)
    broken.nothing_lost()
    done = ended(beside)
    assert done.code == 1, done.said
    assert seen(other) == whole(other)
    broken.rig.start_worker(broken.name)
    broken.next_run_cleans()
