"""The client's side of a run: has its cells carried out on the workers of a cluster."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import replace
from functools import partial
from queue import Empty, SimpleQueue
from threading import Thread
from typing import Any

from distromatrix.cluster import worker
from distromatrix.cluster.connection import Cluster
from distromatrix.cluster.worker import topic_of
from distromatrix.cluster.works import LOOK_EVERY, Work, Works
from distromatrix.collect.errors import CollectError
from distromatrix.collect.facts import facts_from
from distromatrix.collect.text import one_line
from distromatrix.errors import InfrastructureError
from distromatrix.execute.job import Job
from distromatrix.execute.queue.left import Left
from distromatrix.execute.queue.order import Task
from distromatrix.execute.queue.slots import Slots
from distromatrix.execute.state import Loop, State
from distromatrix.execute.threads import Threads, in_background
from distromatrix.merge.bounded import bounded
from distromatrix.merge.unpack import MOST_MADE, unpack
from distromatrix.merge.untrusted import UnusableError, event_of
from distromatrix.model import Cell, CellResult, Facts
from distromatrix.project.sending import orders_of, pieces_of, product_files
from distromatrix.record.events import CellFinished, Event, ImageProgress, RepeatFinished, Warned

END_WITHIN = 4.5  # seconds that an interrupted run leaves to its hosts
FACTS_WITHIN = 5.0  # seconds that a run's end waits for what its machines were made of
PIECE = 4 << 20  # bytes of a file that travel at once


class ClusterTeam(Works):
    """See Team: submits the cells of a job to a cluster, and tells the loop what comes back."""

    def __init__(
        self,
        cluster: Cluster,
        job: Job,
        state: State,
        slots: Slots,
        tasks: tuple[Task, ...],
        at_once: int,
        loop: Loop,
        *,
        asked: bool = False,
    ) -> None:
        del slots, at_once  # each host has its own
        super().__init__(
            cluster, job, state, loop, Left(tasks, job.options.repeated, job.options.retries)
        )
        self.facts: dict[str, Facts] = {}
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
            self._product = product_files(job) if self._left.cells else {}
        self._client.subscribe_topic(
            topic_of(self._run), lambda event: self._messages.put(event[1])
        )
        self._senders.submit(self._listen)
        self._senders.submit(self.watch)
        with self._lock:
            self._begun = True  # from now on it is heard what becomes of what is submitted
            asked = self._left.cells.keys() if self._asked is None else set(self._asked)
        if asked:
            self._add(tuple(cell for name, cell in self._left.cells.items() if name in asked))

    def ask(self, cell: str) -> None:
        """See Team."""
        with self._lock:
            if self._asked is None or cell not in self._left.cells or cell in self._asked:
                return
            self._asked.add(cell)
            if not self._begun:
                return
        self._add((self._left.cells[cell],))

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
            used = self._used & self._cluster.hosts.keys()
        with suppress(Exception):
            self._client.cancel(futures)
        with suppress(Exception):
            if used:
                self._client.run(worker.end, self._run, workers=sorted(used), on_error="ignore")
        with suppress(Exception):
            self._client.unsubscribe_topic(topic_of(self._run))
            self._client.run_on_scheduler(worker.forget, topic_of(self._run))

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
        if kind == "facts":
            self._factless.discard(token)
            with suppress(ValueError, RecursionError, AttributeError):
                said = json.loads(message["facts"])
                self.facts |= {c: facts_from(said[c]) for c in work.batch.cells if c in said}
        elif kind == "begin":
            if message["generation"] == work.generation:
                self._began(work, token, message["worker"])
        elif token != work.token:
            if kind == "end" and not work.token and message["generation"] == work.generation:
                self._lose(work, "its worker was not heard")
        elif kind == "events":
            for line in message["lines"]:
                if (event := event_of(line.encode())) is not None:
                    self._pass_on(event, work)
        elif kind == "finished":
            event = event_of(message["line"].encode())
            if isinstance(event, CellFinished | RepeatFinished):
                self._take(event, message, work)
        elif kind == "end":
            work.ended = True
            if message["gone"]:
                self._retire(work.worker, message["gone"])
            self._settle(work)

    def _began(self, work: Work, token: str, address: str) -> None:
        """A worker wants its orders: the second to do so where the first is dead. (Locked.)"""
        self._left.lose(work.started)
        work.token, work.worker, work.ended = token, address, False
        work.started.clear()
        self._used.add(address)
        cells = [] if self._state.stopping or self._over else self._open(work)
        if cells:
            self._factless.add(token)
        repeated = self._left.repeated(cell.id for cell in cells)
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
            self._give_up(work, self._state.stopping)
        else:
            self._lose(work, "its worker ended without a result")

    def _pass_on(self, event: Event, work: Work) -> None:
        cell = getattr(event, "cell", None)
        if cell is not None and cell not in work.batch.cells:
            return
        if isinstance(event, Warned):
            self._warn(event.text)
            return
        if isinstance(event, ImageProgress):
            event = replace(event, text=f"{event.text} (on {self._host(work.worker)})")
        elif event.type == "cell-started":
            work.started.add(event.cell)
            event = replace(event, attempt=event.attempt + self._left.attempts(event.cell))
        self._job.emit(event)

    # --- results ---------------------------------------------------------------------------

    def _take(
        self, event: CellFinished | RepeatFinished, message: Mapping[str, Any], work: Work
    ) -> None:
        """A result, with what its cell made. (Locked.)"""
        repeat = event.repeat if isinstance(event, RepeatFinished) else 0
        if event.result.id not in work.batch.cells or not self._left.has(event.result.id, repeat):
            return
        cell = self._left.cells[event.result.id]
        result = bounded(event.result, cell, self._job.plan.repeat)
        attempts = result.attempts + self._left.attempts(cell.id)
        result = replace(result, attempts=attempts, host=self._host(work.worker))
        if "file" not in message:
            self._unpack([message["tar"]], result, repeat, cell)()
            return
        work.fetching += 1
        address, token = work.worker, work.token

        def fetch() -> None:
            try:
                pieces = self._pieces(address, message["file"], message["size"])
                settle = self._unpack(pieces, result, repeat, cell)
            except OSError as error:  # the worker is lost
                why = f"what a cell left cannot be fetched: {error}"
                settle = partial(self._retire, address, why)
            with self._lock:
                if work.token == token:
                    work.fetching -= 1
                    settle()
                    self._settle(work)

        self._senders.submit(fetch)

    def _unpack(
        self, pieces: Iterable[bytes], result: CellResult, repeat: int, cell: Cell
    ) -> Callable[[], None]:
        """Take what a cell left. Returns what becomes of the cell: where it cannot be used, that is
        an error of this cell alone. Raises OSError where `pieces` does."""
        try:
            unpack(pieces, cell.id, self._job.folder)
        except (CollectError, UnusableError, InfrastructureError) as error:
            why = f"what it left cannot be used: {error}"
            return partial(self._fail, cell, InfrastructureError(why, transient=False))
        return partial(self._finish, result, repeat)

    def _finish(self, result: CellResult, repeat: int) -> None:
        self._left.done(result, repeat)
        if result.left_out:
            self._left.drop(result.id)
        if not self._state.interrupted:
            self._loop.finish(result, repeat)

    def _pieces(self, address: str, number: int, size: int) -> Iterator[bytes]:
        if not 0 < size <= MOST_MADE:
            raise InfrastructureError("it is too big")
        for offset in range(0, size, PIECE):
            args = (self._run, number, offset, PIECE)
            try:
                piece = self._client.run(worker.read, *args, workers=[address])[address]
            except Exception as error:  # of many kinds, by how it was lost
                raise OSError(one_line(str(error), 200)) from error
            yield piece

    # --- what workers get ------------------------------------------------------------------

    def _send_product(self, address: str) -> None:
        try:
            for piece in pieces_of(self._job, self._product, PIECE):
                self._client.run(worker.receive, self._run, *piece, workers=[address])
        except Exception as error:  # noqa: BLE001 - lost, or its disk is full
            with self._lock:
                self._retire(address, f"the product cannot be put there: {error}")
