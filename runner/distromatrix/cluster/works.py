"""The batches of a run on their way: to whom they may go, and what becomes of those whose worker is
lost."""

from __future__ import annotations

import time
from contextlib import suppress
from dataclasses import dataclass, field, replace
from threading import Lock, Thread
from typing import Any

from distromatrix.cluster import run_batch, worker
from distromatrix.cluster.connection import Cluster
from distromatrix.errors import EngineUnavailableError
from distromatrix.execute.job import Job
from distromatrix.execute.queue.order import Task
from distromatrix.execute.state import Loop, State
from distromatrix.execute.threads import in_background
from distromatrix.model import Cell
from distromatrix.plan.batches import Batch
from distromatrix.project.heard import CellsElsewhere
from distromatrix.project.hosts import unanswered
from distromatrix.project.sending import batches_of, silence_of

LOOK_EVERY = 1.0  # seconds between two looks at who is there
MOST_LOST = 8  # times that a batch is lost before any of its cells has begun
GONE_AFTER = 10.0  # seconds without a scheduler until the run breaks off
EMPTY_AFTER = 30.0  # seconds without a worker that can run cells, or a batch, until that is said


@dataclass(slots=True)
class Work:
    """A batch on its way. `generation`: how often it was submitted, `lost`: or lost; `token`: of
    the worker's try that counts, '' while it has not begun; `heard`: when it last told something;
    `ended`: it is over; `fetching`: so many results are still on their way; `started`: the cells
    whose scripts have begun; `waits`: since when no worker can take it."""

    batch: Batch
    future: Any = None
    generation: int = 0
    lost: int = 0
    token: str = ""
    worker: str = ""
    host: str = ""  # its name
    heard: float = 0.0
    ended: bool = False
    fetching: int = 0
    waits: float = 0.0
    started: set[str] = field(default_factory=set)


class Works(CellsElsewhere):
    """The batches of a job's cells."""

    def __init__(
        self, cluster: Cluster, job: Job, state: State, tasks: tuple[Task, ...], loop: Loop
    ) -> None:
        super().__init__(job, state, tasks, loop)
        self._cluster = cluster
        self._client = cluster.client
        self._hosts = cluster.hosts
        self._run = job.folder.id
        self._works: list[Work] = []
        self._lock = Lock()  # of all that is known of cells
        self._over = False

    def _add(self, cells: tuple[Cell, ...]) -> None:
        """Submit those cells."""
        made = batches_of(self._job, cells, self._hosts)
        with self._lock:
            first = len(self._works)
            new = [Work(replace(one, number=first + one.number)) for one in made]
            self._works += new
            for work in new:
                self._submit(work)

    def _submit(self, work: Work) -> None:
        """Give a batch to Dask, for all workers that can take it now, or again. (Locked.)"""
        work.generation += 1
        # Dask drops what nobody holds: to cancel would be a question for each, of hundreds.
        work.token, work.worker, work.future, work.ended = "", "", None, False
        work.started.clear()
        able = [host.address for host in self._hosts.fit if host.has(work.batch.needs)]
        if self._state.stopping or self._over or not able:
            work.waits = work.waits or time.monotonic()
            return
        work.waits = 0.0
        number = work.batch.number
        with suppress(Exception):  # the scheduler is gone: who watches it says so
            work.future = self._client.submit(
                run_batch,
                self._run,
                number,
                work.generation,
                key=f"cells-{self._run}-{number}-{work.generation:08x}",
                workers=able,
                resources=dict(work.batch.needs),
                priority=-number,
                retries=0,
                pure=False,
            )

    def _subscribe(self) -> None:
        """Hear what workers tell from now on."""

    def _open(self, work: Work) -> list[Cell]:
        return self.left.of(work.batch.cells)

    def _stop(self) -> None:
        """Begin no more: who has not begun is told now, the others by their hosts."""
        why = self._state.stopping
        with self._lock:
            waiting = [work for work in self._works if not work.token]
            busy = {work.worker for work in self._works if work.token and not work.ended}
            for work in waiting:
                work.future = None
                self.give_up(self._open(work), why)
        if busy:
            stop = (worker.call, "stop", self._run, why)
            self._client.run(*stop, workers=sorted(busy), on_error="ignore")

    # --- who is there ----------------------------------------------------------------------

    def watch(self) -> None:
        """See that there is a scheduler, and who can run cells."""
        silent = empty = 0.0
        looking: Thread | None = None
        fit = {host.address for host in self._hosts.fit}
        while not self._over:
            time.sleep(LOOK_EVERY)
            if looking is None or not looking.is_alive():
                looking = in_background(self._look)
            here = self._client.status == "running"
            silent = 0.0 if here else silent + LOOK_EVERY
            if silent > GONE_AFTER and not self._over:
                self._broke(unanswered(self._hosts.address))
                return
            now = {host.address for host in self._hosts.fit}
            empty = 0.0 if now else empty + LOOK_EVERY
            if empty > EMPTY_AFTER and not self._over:
                faults = self._hosts.faults
                self._broke(f"no worker is left that can run cells{faults and f'; {faults}'}")
                return
            self._see(fit, now)
            fit = now

    def _look(self) -> None:
        for host in self._cluster.look():
            if host.fault:
                self.warn(f"no cell runs on {host.name}: {host.fault}")

    def _broke(self, why: str) -> None:
        hint = "; `distromatrix run --resume latest` goes on"
        self._loop.broke(EngineUnavailableError(f"{why}{hint}", transient=False))

    def _see(self, before: set[str], now: set[str]) -> None:
        """Have batches go on elsewhere whose worker is lost; those that wait know of new ones."""
        with self._lock:
            works = [work for work in self._works if not work.ended and self._open(work)]
            if cut := any(getattr(work.future, "status", "") == "cancelled" for work in works):
                self._subscribe()  # the connection was lost for a moment, and with it everything
            for work in works:
                if cut:
                    work.started.clear()  # no fault of its host
                    self._lose(work, "the scheduler was out of reach")
                elif getattr(work.future, "status", "") in ("error", "lost"):
                    self._cluster.again = True
                    self._lose(work, "its workers died")
                elif work.token and work.worker not in self._hosts.known:
                    self._lose(work, f"its worker on {work.host} was lost")
                elif work.token and time.monotonic() - work.heard > silence_of(self._open(work)):
                    self._retire(work.worker, "it says nothing any more of cells that it has")
                elif not work.token and (before != now or work.waits):
                    self._submit(work)
                if work.waits and time.monotonic() - work.waits > EMPTY_AFTER:
                    lacking = ", ".join(work.batch.needs)
                    why = f"no worker of the cluster has enough of what it needs ({lacking})"
                    self.fail(self._open(work), why)

    def _retire(self, address: str, why: str) -> None:
        """A host takes no more: what it had is carried out elsewhere. (Locked.)"""
        host = self._hosts.known.get(address)
        if host is not None and not host.fault:
            self._hosts.refuse(host, why)
            self.warn(f"no more cells run on {host.name}: {why}")
        for work in self._works:
            if work.worker == address and work.token and self._open(work):
                self._lose(work, why)

    def _lose(self, work: Work, why: str) -> None:
        """A try of a batch has come to nothing: what had begun is an infrastructure retry.
        (Locked.)"""
        work.lost = 0 if work.started else work.lost + 1
        self.fail(self.left.lose(work.started), why, work.host)
        if work.lost > MOST_LOST:
            self.fail(self._open(work), f"{why} ({work.lost} times)", work.host)
        if self._open(work):
            self._submit(work)
