"""Which scheduler pytest-xdist uses: its own, or ours where the session has something of ours.
Every session with workers comes here: what ours takes is imported when it is chosen."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import pytest
from xdist.scheduler import LoadScheduling

if TYPE_CHECKING:
    from distromatrix.testing.schedule.durations import Durations
    from distromatrix.testing.schedule.spread import Node


class Scheduling(Protocol):
    """What pytest-xdist asks of a scheduler; said here for the type checker, as its own has no
    types that one could import."""

    @property
    def nodes(self) -> list[Node]:
        """The workers that take part."""
        ...

    @property
    def collection_is_completed(self) -> bool:
        """Whether all workers that there were in the beginning have collected."""
        ...

    @property
    def tests_finished(self) -> bool:
        """Whether nothing is left that would have to be handed out."""
        ...

    @property
    def has_pending(self) -> bool:
        """Whether anything is left to be done."""
        ...

    def add_node(self, node: Node) -> None:
        """A worker is there; it will collect."""
        ...

    def add_node_collection(self, node: Node, collection: Sequence[str]) -> None:
        """A worker has collected."""
        ...

    def mark_test_complete(self, node: Node, item_index: int, duration: float = 0) -> None:
        """A worker has run an item."""
        ...

    def mark_test_pending(self, item: str) -> None:
        """That item is to be run again."""
        ...

    def remove_pending_tests_from_node(self, node: Node, indices: Sequence[int]) -> None:
        """A worker has given items back."""
        ...

    def remove_node(self, node: Node) -> str | None:
        """A worker is gone. Returns the item that it was running."""
        ...

    def schedule(self) -> None:
        """Hand out: for the first time, or to a worker that has come later."""
        ...


class Chosen(Protocol):
    """What is asked once, with the node ids, when workers have collected: how long things
    take, or None where nothing of ours is in the session."""

    def __call__(self, collection: Sequence[str]) -> Durations | None:
        """Choose."""
        ...


class DistromatrixScheduling:
    """Spread where the session turns out to have something of ours in it, once it is
    collected; else pytest-xdist's own LoadScheduling."""

    def __init__(
        self,
        config: pytest.Config,
        log: Any,
        choose: Chosen,
        cells_at_once: Callable[[], int],
    ) -> None:
        self._config, self._log = config, log
        self._choose = choose
        self._cells_at_once = cells_at_once
        self._used: Scheduling = LoadScheduling(config, log)
        self._collected: dict[Node, Sequence[str]] | None = {}

    @property
    def nodes(self) -> list[Node]:
        """The workers that take part."""
        return self._used.nodes

    @property
    def collection_is_completed(self) -> bool:
        """Whether all workers that there were in the beginning have collected."""
        return self._used.collection_is_completed

    @property
    def tests_finished(self) -> bool:
        """Whether nothing is left that would have to be handed out."""
        return self._used.tests_finished

    @property
    def has_pending(self) -> bool:
        """Whether anything is left to be done."""
        return self._used.has_pending

    def add_node(self, node: Node) -> None:
        """A worker is there."""
        self._used.add_node(node)

    def add_node_collection(self, node: Node, collection: Sequence[str]) -> None:
        """A worker has collected."""
        if self._collected is not None:
            self._collected[node] = collection
        self._used.add_node_collection(node, collection)

    def mark_test_complete(self, node: Node, item_index: int, duration: float = 0) -> None:
        """A worker has run an item."""
        self._used.mark_test_complete(node, item_index, duration)

    def mark_test_pending(self, item: str) -> None:
        """That item is to be run again."""
        self._used.mark_test_pending(item)

    def remove_pending_tests_from_node(self, node: Node, indices: Sequence[int]) -> None:
        """A worker has given items back."""
        self._used.remove_pending_tests_from_node(node, indices)

    def remove_node(self, node: Node) -> str | None:
        """A worker is gone. Returns the item that it was running."""
        return self._used.remove_node(node)

    def schedule(self) -> None:
        """Hand out. The first time, choose how."""
        if self._collected is not None:
            collected, self._collected = self._collected, None
            durations = self._choose(next(iter(collected.values()), ()))
            if durations is not None:
                from distromatrix.testing.schedule.spread import Spread

                spread = Spread(self._config, self._log, durations, self._cells_at_once())
                for node in self._used.nodes:
                    spread.add_node(node)
                for node, collection in collected.items():
                    spread.add_node_collection(node, collection)
                self._used = spread
        self._used.schedule()


def make_scheduler(
    config: pytest.Config, log: Any, file: Path | None, machines: Callable[[], bool]
) -> Scheduling | None:
    """For pytest-xdist's hook of that name; None leaves it to pytest-xdist: `--dist` says how
    else. `file`: the matrix file of this session; `machines`: asked once workers have
    collected, whether their tests want machines."""
    if config.getvalue("dist") != "load":
        return None
    matrix = os.path.relpath(file, config.rootpath) if file is not None else ""
    cells = f"{matrix}::"

    def choose(collection: Sequence[str]) -> Durations | None:
        if not (matrix and any(node.startswith(cells) for node in collection)) and not machines():
            return None
        from distromatrix.testing.schedule.durations import known, record

        record(config)
        return known(config, matrix, _root(file))

    return DistromatrixScheduling(config, log, choose, lambda: os.cpu_count() or 1)


def _root(file: Path | None) -> Path | None:
    """The project in whose runs more is known."""
    if file is None:
        return None
    from distromatrix.load import project_root

    return project_root(file)
