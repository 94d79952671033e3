"""The client's side of a run: has its cells carried out on the workers of a cluster."""

from __future__ import annotations

import time
from collections.abc import Mapping
from contextlib import suppress
from functools import partial
from queue import Empty, SimpleQueue
from threading import Thread
from typing import Any, cast

from distromatrix.cluster import forget, worker
from distromatrix.cluster.connection import Cluster
from distromatrix.cluster.worker import topic_of
from distromatrix.cluster.works import LOOK_EVERY, Work, Works
from distromatrix.collect.text import one_line
from distromatrix.engines import Engines
from distromatrix.engines.contract import Engine
from distromatrix.execute.job import Job
from distromatrix.execute.queue.order import Task
from distromatrix.execute.state import Loop, State
from distromatrix.execute.threads import Threads, in_background
from distromatrix.project.heard import PIECE, in_pieces
from distromatrix.project.hosts import HostsEngine
from distromatrix.project.sending import orders_of, pieces_of, product_files
from distromatrix.record.events import CellPhase
from distromatrix.record.repetitions import run_id

END_WITHIN = 4.5  # seconds that an interrupted run leaves to its hosts
FACTS_WITHIN = 5.0  # seconds that a run's end waits for what its machines were made of


class ClusterTeam(Works):
    """See Team: submits the cells of a job to a cluster, and tells the loop what comes back."""

    def __init__(
        self,
        cluster: Cluster,
        job: Job,
        state: State,
        tasks: tuple[Task, ...],
        loop: Loop,
        *,
        asked: bool = False,
    ) -> None:
        super().__init__(cluster, job, state, tasks, loop)
        self.at_once = min(len(tasks), self._hosts.places)
        self._asked: set[str] | None = set() if asked else None
        self._messages: SimpleQueue[dict[str, Any]] = SimpleQueue()
        self._begun = False
        self._used: set[str] = set()  # workers
        self._factless: set[str] = set()  # tokens of tries that have not told them
        self._senders = Threads(10, "cluster", loop.broke)

    # --- Team ------------------------------------------------------------------------------

    def begin(self) -> None:
        """See Team."""
        job = self._job
        with self._lock:
            self._product = product_files(job) if self.left.cells else {}
        self._subscribe()
        self._senders.submit(self._listen)
        self._senders.submit(self.watch)
        with self._lock:
            self._begun = True  # from now on it is heard what becomes of what is submitted
            asked = self.left.cells.keys() if self._asked is None else set(self._asked)
        if asked:
            self._add(tuple(cell for name, cell in self.left.cells.items() if name in asked))

    def _subscribe(self) -> None:
        self._client.subscribe_topic(
            topic_of(self._run), lambda event: self._messages.put(event[1])
        )

    def ask(self, cell: str) -> None:
        """See Team."""
        with self._lock:
            if self._asked is None or cell not in self.left.cells or cell in self._asked:
                return
            self._asked.add(cell)
            if not self._begun:
                return
        self._add((self.left.cells[cell],))

    def was_asked(self, cell: str) -> bool:
        """See Team."""
        return self._asked is None or cell in self._asked

    def cancel_images(self) -> Thread:
        """See Team: what has not begun will not."""
        return in_background(self._stop)

    def end(self) -> None:
        """See Team."""
        hurry = bool(self._state.interrupted or self._state.open or self._state.gone)
        until = time.monotonic() + FACTS_WITHIN
        while not hurry and self._factless and time.monotonic() < until:
            time.sleep(0.02)
        self._over = True
        in_background(self._end).join(END_WITHIN if hurry else 60.0)
        self._senders.end()

    def _end(self) -> None:
        with self._lock:
            futures = [work.future for work in self._works if work.future is not None]
            used = self._used & self._hosts.known.keys()
        with suppress(Exception):
            self._client.cancel(futures)
        with suppress(Exception):
            if used:
                self._client.run(worker.end, self._run, workers=sorted(used), on_error="ignore")
        with suppress(Exception):
            self._client.unsubscribe_topic(topic_of(self._run))
            self._client.run_on_scheduler(forget, topic_of(self._run))

    # --- what workers tell -----------------------------------------------------------------

    def _listen(self) -> None:
        while not self._over:
            with suppress(Empty):
                message = self._messages.get(timeout=LOOK_EVERY)
                if message["kind"] == "product":
                    self._senders.submit(partial(self._send_product, message["worker"]))
                    continue
                with self._lock:
                    self._hear(message, self._works[message["batch"]])

    def _hear(self, message: Mapping[str, Any], work: Work) -> None:
        kind, token = message["kind"], message["token"]
        if token == work.token:
            work.heard = time.monotonic()
        if kind == "facts":
            self._factless.discard(token)
            self.hear_facts(message["facts"], work.batch.cells)
        elif kind == "begin":
            if message["generation"] == work.generation:
                self._began(work, token, message["worker"])
        elif token != work.token:
            if kind == "end" and not work.token and message["generation"] == work.generation:
                self._lose(work, "its worker was not heard")
        elif kind == "events":
            for line in message["lines"]:
                event = self.hear(line, work.batch.cells, work.host)
                if isinstance(event, CellPhase):  # no machine is tried before
                    work.started.add(event.cell)
            if "result" in message:
                self._take(message, work)
        elif kind == "end":
            work.ended = True
            if message["gone"]:
                self._retire(work.worker, message["gone"])
            self._settle(work)

    def _began(self, work: Work, token: str, address: str) -> None:
        """A worker wants its orders: the second to do so where the first is dead. (Locked.)"""
        self.fail(self.left.lose(work.started), "its worker was lost", work.host)
        work.token, work.worker, work.host = token, address, self._hosts.name(address)
        work.heard, work.ended = time.monotonic(), False
        work.started.clear()
        self._used.add(address)
        cells = [] if self._state.stopping or self._over else self._open(work)
        if cells:
            self._factless.add(token)
        repeated = self.left.repeated(cell.id for cell in cells)
        orders = orders_of(self._job, cells, repeated, self._product, offline=self._cluster.offline)

        def send() -> None:
            with suppress(Exception):  # then its worker is lost, and the batch goes elsewhere
                self._client.run(worker.order, token, orders, workers=[address])

        self._senders.submit(send)

    def _settle(self, work: Work) -> None:
        """A batch is over, and all that it has made is here: are all results there?"""
        if not work.ended or work.fetching or self._over or not self._open(work):
            return
        if self._state.stopping:
            self.give_up(self._open(work), self._state.stopping)
        else:
            self._lose(work, "its worker ended without a result")

    # --- results ---------------------------------------------------------------------------

    def _take(self, message: Mapping[str, Any], work: Work) -> None:
        """A result, with what its cell made. (Locked.)"""
        heard = self.result_of(message["result"], work.batch.cells, work.host)
        if heard is None:
            return
        result, repeat = heard
        run = run_id(result.id, repeat)
        if "file" not in message:
            self.finish(result, repeat, self.take([message["tar"]], run))
            return
        work.fetching += 1
        address, token = work.worker, work.token

        def fetch() -> None:
            lost = fault = ""
            try:
                read = partial(self._read, address, message["file"])
                fault = self.take(in_pieces(message["size"], read), run)
            except OSError as error:  # the worker is lost
                lost = f"what a cell left cannot be fetched: {error}"
            with self._lock:
                if work.token != token:
                    return
                work.fetching -= 1
                if lost:
                    self._retire(address, lost)
                else:
                    self.finish(result, repeat, fault)
                self._settle(work)

        self._senders.submit(fetch)

    def _read(self, address: str, number: int, offset: int, size: int) -> bytes:
        args = ("read", self._run, number, offset, size)
        try:
            data: bytes = self._client.run(worker.call, *args, workers=[address])[address]
        except Exception as error:  # of many kinds, by how it was lost
            raise OSError(one_line(str(error), 200)) from error
        return data

    # --- what workers get ------------------------------------------------------------------

    def _send_product(self, address: str) -> None:
        try:
            for piece in pieces_of(self._job, self._product, PIECE):
                self._client.run(worker.call, "receive", self._run, *piece, workers=[address])
        except Exception as error:  # noqa: BLE001 - lost, or its disk is full
            with self._lock:
                self._retire(address, f"the product cannot be put there: {error}")


def engines_of(cluster: Cluster) -> Engines:
    """Engines whose cells are carried out on the hosts of the cluster."""
    engines = Engines(cast("Engine", HostsEngine(cluster.hosts, cluster.ping)))
    engines.team = partial(ClusterTeam, cluster)
    return engines
