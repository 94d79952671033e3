"""A session of pytest-xdist in made-up time: workers that do as `xdist/remote.py` does, a
controller that does as `xdist/dsession.py` does, around a real scheduler."""

from __future__ import annotations

import heapq
from collections import deque
from collections.abc import Callable, Sequence
from itertools import count
from types import SimpleNamespace
from typing import Any

SHUTDOWN = -1
LATENCY = 0.001  # seconds that a message takes


class Config:
    """What schedulers ask of pytest's configuration."""

    def __init__(self, workers: int) -> None:
        self.values = {"tx": [f"{workers}*popen"], "maxschedchunk": None}
        self.reports: list[Any] = []
        self.hook = SimpleNamespace(pytest_collectreport=self._reported)

    def _reported(self, report: Any) -> None:
        self.reports.append(report)

    def getvalue(self, name: str) -> Any:
        return self.values[name]

    def getoption(self, name: str, default: Any = None) -> Any:
        return self.values.get(name, default)


class Worker:
    """One that runs an item when it knows the next."""

    def __init__(self, world: World, name: str) -> None:
        self.world = world
        self.gateway = SimpleNamespace(id=name)
        self.shutting_down = False
        self.dead = False
        self.queue: deque[int] = deque()
        self.running: int | None = None
        self.held: int | None = None
        self.ran: list[int] = []
        self.stolen: list[list[int]] = []

    def __repr__(self) -> str:
        return f"<{self.gateway.id}>"

    # What a scheduler says:

    def send_runtest_some(self, indices: Sequence[int]) -> None:
        self._send(lambda: self._receive(indices))

    def send_steal(self, indices: Sequence[int]) -> None:
        self._send(lambda: self._give_back(indices))

    def shutdown(self) -> None:
        if not self.shutting_down:
            self.shutting_down = True
            self._send(lambda: self._receive([SHUTDOWN]))

    # What becomes of it:

    def _send(self, then: Callable[[], None]) -> None:
        if self.dead:
            raise OSError("cannot send (already closed?)")
        self.world.messages += 1
        self.world.at(LATENCY, lambda: None if self.dead else then())

    def _receive(self, indices: Sequence[int]) -> None:
        self.queue.extend(indices)
        self._go_on()

    def _give_back(self, indices: Sequence[int]) -> None:
        given = list(indices) if set(indices) <= set(self.queue) else []
        self.queue = deque(item for item in self.queue if item not in given)
        self.stolen.append(given)
        self.world.tell(lambda: self.world.scheduler.remove_pending_tests_from_node(self, given))

    def _go_on(self) -> None:
        if self.running is None and self.held is None and self.queue:
            self.held = self.queue.popleft()
        if self.running is None and self.held == SHUTDOWN:
            self.world.tell(lambda: self.world.finished(self))
        elif self.running is None and self.held is not None and self.queue:
            self.running, self.held = self.held, self.queue.popleft()
            self.ran.append(self.running)
            self.world.at(self.world.seconds[self.running], self._done)

    def _done(self) -> None:
        if self.dead:
            return
        assert self.running is not None
        done, self.running = self.running, None
        self.world.completed[done] = self.world.now
        self.world.tell(lambda: self.world.complete(self, done))
        self._go_on()


class World:
    """`seconds`: what each item takes in truth."""

    def __init__(
        self, seconds: Sequence[float], workers: int, make: Callable[[Config], Any]
    ) -> None:
        self.seconds = seconds
        self.config = Config(workers)
        self.scheduler = make(self.config)
        self.names = [name_of(i) for i in range(len(seconds))]
        self.now = 0.0
        self.messages = 0
        self.completed: dict[int, float] = {}
        self.crashed: list[str] = []
        self.ending = False
        self._events: list[tuple[float, int, Callable[[], None]]] = []
        self._number = count()
        self.workers: list[Worker] = []
        self.active: list[Worker] = []
        for _ in range(workers):
            self.begin_worker()

    def at(self, delay: float, then: Callable[[], None]) -> None:
        heapq.heappush(self._events, (self.now + delay, next(self._number), then))

    def tell(self, then: Callable[[], None]) -> None:
        """A worker's word to the controller."""

        def handled() -> None:
            then()
            if self.scheduler.tests_finished:
                self.end()

        self.at(LATENCY, handled)

    def begin_worker(self, delay: float = 0.0, names: list[str] | None = None) -> Worker:
        worker = Worker(self, f"gw{len(self.workers)}")
        self.workers.append(worker)
        self.active.append(worker)

        def ready() -> None:
            self.scheduler.add_node(worker)

        def collected() -> None:
            self.scheduler.add_node_collection(worker, list(names or self.names))
            if self.scheduler.collection_is_completed:
                self.scheduler.schedule()

        self.at(delay, lambda: self.tell(ready))
        self.at(delay + 0.01, lambda: self.tell(collected))
        return worker

    def end(self) -> None:
        if not self.ending:
            self.ending = True
            for worker in self.scheduler.nodes:
                if not worker.dead:
                    worker.shutdown()

    def complete(self, worker: Worker, item: int) -> None:
        if worker in self.scheduler.nodes:
            self.scheduler.mark_test_complete(worker, item, self.seconds[item])

    def finished(self, worker: Worker) -> None:
        assert self.scheduler.remove_node(worker) is None
        self.active.remove(worker)

    def kill(self, worker: Worker, *, replace: bool = True) -> None:
        """kill -9; its pipe breaks at once, and the controller notices a little later."""
        worker.dead = worker.shutting_down = True
        self.tell(lambda: self._noticed(worker, replace))

    def _noticed(self, worker: Worker, replace: bool) -> None:
        crashed = self.scheduler.remove_node(worker)
        if crashed:
            self.crashed.append(crashed)
        self.active.remove(worker)
        if replace:
            self.ending = False
            self.begin_worker(0.5)

    def run(self) -> float:
        """Until all workers have ended; returns when the last item was done."""
        while self._events and self.active:
            self.now, _, then = heapq.heappop(self._events)
            then()
        assert not self.active, f"stands still at {self.now}: {self.active}"
        return max(self.completed.values(), default=0.0)

    @property
    def ran(self) -> list[int]:
        """All that was begun, in order of the workers."""
        return [item for worker in self.workers for item in worker.ran]


def name_of(item: int) -> str:
    return f"tests/test_{item // 100:02}.py::test_{item:05}"
