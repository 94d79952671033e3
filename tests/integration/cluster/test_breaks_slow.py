"""Each way in which a cluster breaks, at random moments: no result is lost, nothing is left.

`DISTROMATRIX_ROUNDS` says how often each is tried. A round is repeated by its id, which is the
seed of when and where it breaks.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path
from random import Random
from time import sleep

import pytest
from breaking_world import Project, ended, killed, until
from cluster_world import begun, fill, nothing_left, resumed, seen, under_way, whole

from cluster_rig import Rig, cluster
from given import alpine_or_pulled

pytestmark = [pytest.mark.engine, pytest.mark.slow]

ROUNDS = range(int(os.environ.get("DISTROMATRIX_ROUNDS", "2")))
NOTICED = "12s"  # after which a pulled cable is noticed


class Broken:
    """A cluster, a product, and a round's luck."""

    def __init__(self, rig: Rig, project: Project) -> None:
        self.rig, self.project = rig, project

    def begin(self, seed: str) -> None:
        """A run is under way; some time later something breaks."""
        self.random = Random(seed)
        self.name = self.random.choice(sorted(self.rig.hosts))
        before = self.project.latest
        self.run = begun(self.project, self.rig)
        under_way(self.project, before)
        sleep(self.random.uniform(0, 4))

    def nothing_lost(self) -> None:
        """The run goes on to its end with all that it should have."""
        done = ended(self.run)
        assert done.code == 1, done.said
        assert seen(self.project) == whole(self.project), done.said

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
        until(lambda: nothing_left(self.rig))


@pytest.fixture(scope="module")
def broken(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Broken]:
    noticed = {"DASK_DISTRIBUTED__COMM__TIMEOUTS__TCP": NOTICED}
    with cluster(2, environ=noticed) as rig:
        project = Project(tmp_path_factory.mktemp("b") / "p", alpine_or_pulled().parent)
        fill(project, rig)
        made = Broken(rig, project)
        made.next_run_cleans()
        yield made


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
    done = ended(broken.run)
    assert done.code in (1, 69), done.said  # it may have been over before
    broken.rig.start_scheduler()
    broken.restart(*broken.rig.hosts)
    broken.go_on()
    until(lambda: nothing_left(broken.rig))


@pytest.mark.parametrize("number", ROUNDS)
def test_the_client_is_killed(broken: Broken, number: int) -> None:
    broken.begin(f"client-{number}")
    killed(broken.run)
    until(lambda: nothing_left(broken.rig))
    broken.go_on()


@pytest.mark.parametrize("number", ROUNDS)
def test_the_user_interrupts(broken: Broken, number: int) -> None:
    broken.begin(f"interrupt-{number}")
    how = broken.random.choice((signal.SIGINT, signal.SIGTERM))
    broken.run.send_signal(how)
    done = ended(broken.run)
    assert done.code in (1, 128 + how), done.said  # it may have been over before
    until(lambda: nothing_left(broken.rig))
    broken.go_on()


@pytest.mark.parametrize("number", ROUNDS)
def test_a_cable_is_pulled_for_some_seconds(broken: Broken, number: int) -> None:
    broken.begin(f"short-{number}")
    broken.rig.cut(broken.name)
    sleep(broken.random.uniform(0.5, 5))
    broken.rig.heal(broken.name)
    broken.nothing_lost()
    until(lambda: nothing_left(broken.rig))


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
