"""Which scheduler pytest-xdist uses: its own, or ours where the session has something of ours.

Ours is its `worksteal`, with the items dealt out by how long they take. Every session with workers
comes here: what ours takes is imported when it is chosen."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from xdist.scheduler import LoadScheduling, WorkStealingScheduling

if TYPE_CHECKING:
    from distromatrix.testing.schedule.durations import ItemDurations

# Asked once, with the node ids, when workers have collected: how long things take, or None where
# nothing of ours is in the session.
Choose = Callable[[Sequence[str]], "ItemDurations | None"]

# A test is long, and so has its own place in the order, when it takes more than this share of
# what a worker will have to do, within these bounds (seconds).
LONG_SHARE = 1 / 16
LONG_LEAST, LONG_MOST = 0.1, 2.0
BOUND = 2  # the item that a worker runs, and the next, cannot be withdrawn


class LongestFirst(WorkStealingScheduling):  # type: ignore[misc]
    """`--dist worksteal`, begun with each worker's share instead of a slice of the collection."""

    steal_requested_from_node: Any

    def __init__(self, config: pytest.Config, log: Any, durations: ItemDurations) -> None:
        super().__init__(config, log)
        self._durations = durations
        self._dealt = False
        self._asked: set[Any] = set()  # workers that are to give back what they have

    def check_schedule(self) -> None:
        """Hand out, or move from worker to worker, what is there to be."""
        if not self._dealt and self.collection:
            self._dealt = True
            self.pending.clear()
            shares = deal(self.collection, self._durations, len(self.nodes))
            for node, share in zip(self.nodes, shares, strict=True):
                self.node2pending[node].extend(share)
                if share:
                    with suppress(OSError):
                        node.send_runtest_some(share)
        # OSError: a worker has just ended. That is told next, and what it had is dealt out then.
        with suppress(OSError):
            if all(node.shutting_down for node in self.nodes):
                self._withdraw()
            else:
                super().check_schedule()

    def _withdraw(self) -> None:
        """The session is stopped (`-x`, ...), and workers would run all that they have: take it
        back. `worksteal` itself does not. All are asked: one that has stopped does not answer."""
        for node, items in self.node2pending.items():
            if items[BOUND:] and node not in self._asked:
                self._asked.add(node)
                with suppress(OSError):
                    node.send_steal(items[BOUND:])

    def remove_pending_tests_from_node(self, node: Any, indices: Sequence[int]) -> None:
        """A worker gives back what it was asked for, or nothing of it where it is further on."""
        self._asked.discard(node)
        self.steal_requested_from_node = node
        super().remove_pending_tests_from_node(node, indices)


def deal(collection: Sequence[str], durations: ItemDurations, workers: int) -> list[list[int]]:
    """The items, by index, that each worker begins with: cells and long tests, the longest first,
    each to who has least; before each of the last two a short one, as a worker cannot give back the
    item after the one that it runs; then the other short ones, in the order of the collection,
    which pytest has chosen so that fixtures are made once."""
    seconds = [durations[node] for node in collection]
    border = min(max(sum(seconds) / workers * LONG_SHARE, LONG_LEAST), LONG_MOST)
    long: list[int] = []
    short: list[int] = []
    for item, node in enumerate(collection):
        is_long = durations.is_cell(node) or seconds[item] > border
        (long if is_long else short).append(item)
    shares: list[list[int]] = [[] for _ in range(workers)]
    loads = [0.0] * workers
    for item in sorted(long, key=lambda item: -seconds[item]):
        least = loads.index(min(loads))
        shares[least].append(item)
        loads[least] += seconds[item]
    for at, share in enumerate(shares):
        few = short[at * len(short) // workers : (at + 1) * len(short) // workers]
        for place in (-1, -3):
            if few and len(share) > -place:
                share.insert(place, few.pop(0))
        share.extend(few)
    return shares


class DistromatrixScheduling:
    """LongestFirst where the session turns out to have something of ours in it, once it is
    collected; else pytest-xdist's own LoadScheduling."""

    def __init__(self, config: pytest.Config, log: Any, choose: Choose) -> None:
        self._config, self._log, self._choose = config, log, choose
        self._used: Any = LoadScheduling(config, log)
        self._chosen = False

    def __getattr__(self, name: str) -> Any:
        return getattr(self._used, name)

    def schedule(self) -> None:
        """Hand out. The first time, choose how."""
        if not self._chosen:
            self._chosen = True
            collected = self._used.node2collection
            durations = self._choose(next(iter(collected.values()), ()))
            if durations is not None:
                ours = LongestFirst(self._config, self._log, durations)
                for node in self._used.nodes:
                    ours.add_node(node)
                for node, collection in collected.items():
                    ours.add_node_collection(node, collection)
                self._used = ours
        self._used.schedule()


def make_scheduler(
    config: pytest.Config, log: Any, file: Path | None, machines: Callable[[], bool]
) -> DistromatrixScheduling | None:
    """For pytest-xdist's hook of that name; None leaves it to pytest-xdist: `--dist` says how
    else. `file`: the matrix file of this session; `machines`: asked once workers have
    collected, whether their tests want machines."""
    if config.getvalue("dist") != "load":
        return None
    matrix = os.path.relpath(file, config.rootpath) if file is not None else ""
    cells = f"{matrix}::"

    def choose(collection: Sequence[str]) -> ItemDurations | None:
        if not (matrix and any(node.startswith(cells) for node in collection)) and not machines():
            return None
        from distromatrix.testing.schedule.durations import known, record

        record(config)
        return known(config, matrix, file)

    return DistromatrixScheduling(config, log, choose)
