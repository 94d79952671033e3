"""A run of the project of `cli_world` on a cluster on loopback, of which each part can be seen."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Thread
from time import monotonic, sleep
from typing import Any, cast

from loopback_cluster import cluster

from distromatrix.cluster.connection import Cluster, cluster_of
from distromatrix.cluster.team import ClusterTeam, engines_of
from distromatrix.execute.executor import Executor
from distromatrix.execute.job import Options
from distromatrix.execute.queue.slots import Slots
from distromatrix.load.settings import load_settings
from distromatrix.model import Cell, CellResult, RunResult, Selection
from distromatrix.project.project import load_project, restrict
from distromatrix.project.session import begin_run, job_of
from distromatrix.record.events import CellFinished, Event, Warned
from distromatrix.record.folder import RunFolder


class Hosted:
    """It: `events` so far, and the `result` when it is over."""

    def __init__(self, cluster: Cluster, root: Path, folder: RunFolder, **how: Any) -> None:
        asked, cells = how.pop("asked", False), how.pop("cells", None)
        project = load_project(root, None, load_settings())
        plan = project.plan(Selection(), facts=cluster.hosts.facts())
        plan = restrict(plan, set(cells or [cell.id for cell in plan.cells]), "not of this test")
        engines = engines_of(cluster)
        snapshot = begin_run(plan, folder, engines.containers)
        self.client = cluster.client
        self.events: list[Event] = []
        emit = self.events.append
        job = job_of(plan, engines, load_settings(), folder, snapshot, emit, Options(**how))
        self.cells: dict[str, Cell] = {cell.id: cell for cell in plan.cells}
        self.executor = Executor(job, Slots(1, 1, 1), asked=asked)
        self.team = cast(ClusterTeam, self.executor._workers)
        self._thread = Thread(target=self._run, daemon=True)
        self._ended: list[RunResult] = []

    def begin(self) -> None:
        """In the background."""
        self._thread.start()

    def _run(self) -> None:
        self._ended.append(self.executor.run())

    def end(self) -> dict[str, CellResult]:
        """Wait for its end; the results by cell."""
        self._thread.join(300)
        return {one.id: one for one in self._ended[0].cells}

    def of(self, kind: type[Event]) -> list[Any]:
        """The events of a kind."""
        return [event for event in tuple(self.events) if isinstance(event, kind)]

    @property
    def warned(self) -> list[str]:
        return [event.text for event in self.of(Warned)]

    @property
    def finished(self) -> list[str]:
        return [event.result.id for event in self.of(CellFinished)]


@contextmanager
def hosted(root: Path, workers: int, **how: Any) -> Iterator[Hosted]:
    """A run, not begun, on so many workers; `cells`: of these only; more as in Options."""
    with cluster(workers) as address, RunFolder.create(root) as folder:
        settings = load_settings(environ={"DISTROMATRIX_CLUSTER": address})
        with cluster_of(settings, lambda _: None) as connected:
            yield Hosted(connected, root, folder, **how)


def until(what: Callable[[], object]) -> None:
    """Wait until it is true; it must become so."""
    deadline = monotonic() + 120
    while not what():
        assert monotonic() < deadline, "it did not happen"
        sleep(0.02)
