"""How pytest-xdist hands out a session that has cells or machines in it: the longest first.

A worker of pytest-xdist begins an item only when it knows the next one, and that one cannot be
taken from it any more. So what stands behind an item that takes long is chosen with care: the
next long one while there are many, then a short one; and where all else will be done before,
nothing: such a worker is told that no more will come. All behind the next one can be
withdrawn, and is, for workers that have nothing left.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from typing import Any, Protocol

import pytest
from xdist.report import report_collection_diff
from xdist.workermanage import parse_tx_spec_config

from distromatrix.testing.schedule.durations import Durations
from distromatrix.testing.schedule.pool import Pool, Work

BOUND = 2  # the item that a worker runs, and the next, cannot be withdrawn
QUEUE_LEAST, QUEUE_MOST = 0.1, 5.0  # seconds of short items that a worker is handed at a time


class Node(Protocol):
    """A worker, as pytest-xdist's controller has it (`WorkerController`)."""

    gateway: Any

    @property
    def shutting_down(self) -> bool:
        """Whether it has been told that no more will come, or is gone."""
        ...

    def send_runtest_some(self, indices: Sequence[int]) -> None:
        """Give it items to run after those that it has."""
        ...

    def send_steal(self, indices: Sequence[int]) -> None:
        """Ask it to give those items back: all, or none where it has begun with one."""
        ...

    def shutdown(self) -> None:
        """Tell it that no more will come."""
        ...


class Spread:
    """pytest-xdist's `Scheduling`. `cells_at_once`: more cells than this would only wait for
    each other, so other tests are handed out as long as there are any."""

    def __init__(
        self,
        config: pytest.Config,
        log: Any,
        durations: Durations,
        cells_at_once: int,
    ) -> None:
        self._config = config
        self._log = log
        self._durations = durations
        self._cells_at_once = cells_at_once
        self._expected = len(parse_tx_spec_config(config))
        self._most: int | None = config.getoption("maxschedchunk", None)
        self._collections: dict[Node, list[str]] = {}
        self._queues: dict[Node, list[int]] = {}  # sent and not yet done, in order
        self._collection: list[str] | None = None  # once it is known that all have the same
        self._work = Work(())
        self._pool = Pool(self._work, 1)
        self._asked: set[Node] = set()  # to give items back
        self._ended: set[Node] = set()  # told by us that no more will come

    # --- what pytest-xdist looks at --------------------------------------------------------

    @property
    def nodes(self) -> list[Node]:
        """The workers that take part."""
        return list(self._queues)

    @property
    def collection_is_completed(self) -> bool:
        """Whether all workers that there were in the beginning have collected."""
        return len(self._collections) >= self._expected

    @property
    def tests_finished(self) -> bool:
        """Whether nothing is left that would have to be handed out."""
        return (
            self.collection_is_completed
            and not self._pool
            and not self._asked
            and all(len(queue) < BOUND for queue in self._queues.values())
        )

    @property
    def has_pending(self) -> bool:
        """Whether anything is left to be done."""
        return bool(self._pool) or any(self._queues.values())

    # --- what it tells ---------------------------------------------------------------------

    def add_node(self, node: Node) -> None:
        """A worker is there; it will collect."""
        self._queues[node] = []

    def add_node_collection(self, node: Node, collection: Sequence[str]) -> None:
        """A worker has collected. One that comes later, for one that died, must have found the
        same as the others: else it gets nothing to do."""
        known = self._collection
        if known is not None and list(collection) != known:
            other = next(iter(self._collections), node)
            self._say(report_collection_diff(known, collection, _name(other), _name(node)))
            self._end(node)
            return
        self._collections[node] = list(collection)

    def mark_test_complete(self, node: Node, item_index: int, duration: float = 0) -> None:
        """A worker has run an item; what to expect of it was known before."""
        del duration
        self._queues[node].remove(item_index)
        self._feed()

    def mark_test_pending(self, item: str) -> None:
        """That item is to be run again."""
        assert self._collection is not None  # noqa: S101 - by the protocol
        self._pool.put([self._collection.index(item)])
        self._feed()

    def remove_pending_tests_from_node(self, node: Node, indices: Sequence[int]) -> None:
        """A worker has given items back, as it was asked to; or none, where it had begun
        with one of them."""
        given = set(indices)
        self._asked.discard(node)
        self._queues[node] = [item for item in self._queues[node] if item not in given]
        self._pool.put(indices)
        self._feed()

    def remove_node(self, node: Node) -> str | None:
        """A worker is gone: at its end, or because it crashed. Then, what it was running is
        returned, and the others get the rest."""
        queue = self._queues.pop(node)
        self._ended.discard(node)
        self._asked.discard(node)
        if not queue:
            return None
        assert self._collection is not None  # noqa: S101 - else nothing was handed out
        crashed, *rest = queue
        self._pool.put(rest)
        self._feed()
        return self._collection[crashed]

    def schedule(self) -> None:
        """Hand out: for the first time, or to a worker that has come later."""
        if self._collection is None:
            if not self._all_alike():
                return
            self._collection = next(iter(self._collections.values()))
            self._work = Work(
                [self._durations[node] for node in self._collection],
                frozenset(
                    at for at, node in enumerate(self._collection) if self._durations.is_cell(node)
                ),
            )
            self._pool = Pool(self._work, len(self._queues))
        self._feed()

    # --- what is done ----------------------------------------------------------------------

    def _all_alike(self) -> bool:
        """Whether all workers collected the same; else this becomes an error of collection."""
        (first, known), *others = self._collections.items()
        alike = True
        for node, collection in others:
            text = report_collection_diff(known, collection, _name(first), _name(node))
            if text:
                alike = False
                self._say(text)
                self._config.hook.pytest_collectreport(
                    report=pytest.CollectReport(
                        nodeid=_name(node), outcome="failed", longrepr=text, result=[]
                    )
                )
        return alike

    def _feed(self) -> None:
        """Hand out until no worker is hungry, the one that has the least first; and withdraw
        what is left over elsewhere for those that have still not enough to go on."""
        if self._stopped():
            self._withdraw()
            return
        sent: dict[Node, list[int]] = {}
        content: list[Node] = []
        while self._pool and (hungry := [n for n in self._up() if self._hungry(n)]):
            node = min(hungry, key=self._load)
            if items := self._next(node):
                sent.setdefault(node, []).extend(items)
                self._queues[node].extend(items)
            else:
                content.append(node)
                self._ended.add(node)
        for node, items in sent.items():
            with suppress(OSError):  # it has just died: pytest-xdist will say so
                node.send_runtest_some(items)
        starving = [node for node in self._up() if len(self._queues[node]) < BOUND]
        if starving and not self._asked and not self._steal():
            content += starving
        for node in content:
            self._end(node)

    def _up(self) -> list[Node]:
        """The workers that may be handed something."""
        return [
            node
            for node in self._queues
            if node in self._collections and node not in self._ended and not node.shutting_down
        ]

    def _load(self, node: Node) -> float:
        return self._work.of(self._queues[node])

    def _hungry(self, node: Node) -> bool:
        """Whether it stands still, or will before long."""
        return len(self._queues[node]) < BOUND or self._load(node) < QUEUE_LEAST

    def _next(self, node: Node) -> list[int]:
        """What a hungry worker gets, as long as there is anything; nothing where that is
        better done by others."""
        queue, pool, up = self._queues[node], self._pool, len(self._up())
        cells = self._beside(node) < self._cells_at_once
        if queue and pool.is_long(queue[-1]):
            outlasts = self._outlasts(node)
            if pool.short and (outlasts or not cells or len(pool.long) <= up):
                return pool.take_short(0, 1)
            if outlasts:
                return []
        seconds = min(max(self._work.of(pool.short) / up / 2, QUEUE_LEAST), QUEUE_MOST)
        most = -(-len(pool.short) // (2 * up))  # who knows how long they will take in truth
        return (
            pool.take_long(cells=cells)
            or pool.take_short(seconds, min(most, self._most or most))
            or pool.take_long(cells=True)
        )

    def _beside(self, node: Node) -> int:
        """How many other workers have cells to run."""
        return sum(
            not self._work.cells.isdisjoint(queue)
            for other, queue in self._queues.items()
            if other is not node
        )

    def _outlasts(self, node: Node) -> bool:
        """Whether the other workers will have done all the rest before this one is through
        with what it has."""
        others = [other for other in self._up() if other is not node]
        if not others:
            return False
        rest = self._pool.seconds + sum(map(self._load, others))
        return rest / len(others) <= self._load(node)

    def _steal(self) -> bool:
        """Ask the worker that has the most which can be withdrawn to give back half of that.
        False: there is none."""
        spare = {node: queue[BOUND:] for node, queue in self._queues.items()}
        node = max(spare, key=lambda node: self._work.of(spare[node]))
        items = spare[node]
        if not items:
            return False
        half, at = self._work.of(items) / 2, len(items) - 1
        while at > 0 and self._work.of(items[at - 1 :]) <= half:
            at -= 1
        self._ask(node, items[at:])
        return True

    def _ask(self, node: Node, items: list[int]) -> None:
        self._asked.add(node)
        with suppress(OSError):
            node.send_steal(items)

    def _end(self, node: Node) -> None:
        """Tell a worker that no more will come: it runs what it has, the last one, too."""
        self._ended.add(node)
        node.shutdown()

    def _stopped(self) -> bool:
        """Whether pytest-xdist is ending the session (`-x`, …): then it, and not we, has told
        workers so."""
        nodes = self._queues
        return all(n.shutting_down for n in nodes) and any(n not in self._ended for n in nodes)

    def _withdraw(self) -> None:
        """Workers would run all that they have been handed: take back what they can give."""
        for node, queue in self._queues.items():
            if len(queue) > BOUND and node not in self._asked:
                self._ask(node, queue[BOUND:])

    def _say(self, text: str | None) -> None:
        if self._log is not None and text:
            self._log.spread(text)


def _name(node: Node) -> str:
    return str(node.gateway.id)
