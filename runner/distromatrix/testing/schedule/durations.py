"""How long each test and each cell took in earlier sessions, and what to expect of the others.

Kept in pytest's own cache (`--cache-clear` forgets them, and without `cacheprovider` there are
none), written by the process that pytest was started in, at its session's end.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from statistics import median
from typing import Any

import pytest

KEY = "distromatrix/durations"
NAME = "distromatrix-durations"  # of the plugin that records them
KEPT = 90  # days that one is kept after it was last seen
MOST = 20_000  # are kept: 2 MB
A_CELL, A_TEST = 30.0, 0.05  # seconds, where nothing at all is known
_DAY = 86400


class ItemDurations:
    """Seconds by node id, measured or guessed. `matrix`: what the node ids of cells begin
    with (`matrix/default.yaml`), '' where there are none."""

    def __init__(self, measured: Mapping[str, float], matrix: str = "") -> None:
        self.measured = measured
        self._cells = f"{matrix}::" if matrix else ""
        self._alike: dict[str, list[float]] = {}
        for node, seconds in measured.items():
            for kind in self._kinds(node):
                self._alike.setdefault(kind, []).append(seconds)
        self._typical: dict[str, float] = {}

    def is_cell(self, node: str) -> bool:
        """Whether that is a cell's node id."""
        return bool(self._cells) and node.startswith(self._cells)

    def __getitem__(self, node: str) -> float:
        """What it took, or else the median of those that are most like it: of a cell, the
        same suite on other distros, else all cells; of a test, the same function with other
        parameters, else its file, else all tests."""
        if node in self.measured:
            return self.measured[node]
        for kind in self._kinds(node):
            if kind in self._alike:
                if kind not in self._typical:
                    self._typical[kind] = median(self._alike[kind])
                return self._typical[kind]
        return A_CELL if self.is_cell(node) else A_TEST

    def _kinds(self, node: str) -> tuple[str, ...]:
        """What it is like, the closest first."""
        if self.is_cell(node):
            _, _, suite = node.removeprefix(self._cells).partition("/")
            return f"variant {suite}", f"suite {suite.partition('/')[0]}", "cell"
        return f"test {node.partition('[')[0]}", f"file {node.partition('::')[0]}", "test"


def known(config: pytest.Config, matrix: str = "", file: Path | None = None) -> ItemDurations:
    """What earlier sessions measured; and of cells that none did, what runs of that matrix file (of
    `distromatrix run`, too) did."""
    measured = {node: seconds for node, (seconds, _) in _read(config).items()}
    if matrix and file is not None:
        from distromatrix.load import project_root
        from distromatrix.record.history import History

        for cell, seconds in History.of(project_root(file), file).durations().cells.items():
            measured.setdefault(f"{matrix}::{cell}", median(seconds))
    return ItemDurations(measured, matrix)


def record(config: pytest.Config) -> None:
    """From now on, in this process, measure for later sessions; once is enough."""
    if _cache(config) is not None and not config.pluginmanager.hasplugin(NAME):
        config.pluginmanager.register(Recorder(config), NAME)


class Recorder:
    """The hooks that measure. A test counts once it has come to its end, with its fixtures,
    and where it was run again, with all its attempts; one that was skipped does not."""

    def __init__(self, config: pytest.Config) -> None:
        self._config = config
        self._begun: dict[str, float] = {}
        self._ended: set[str] = set()
        self._skipped: set[str] = set()

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Add up the phases; a subtest's time is in its test's already."""
        if hasattr(report, "context"):
            return
        node = report.nodeid
        self._begun[node] = self._begun.get(node, 0.0) + report.duration
        if report.skipped and not hasattr(report, "wasxfail"):
            self._skipped.add(node)
        if report.when == "teardown":
            self._ended.add(node)

    @pytest.hookimpl(trylast=True)
    def pytest_sessionfinish(self) -> None:
        """Join them to what was known."""
        counted = self._ended - self._skipped
        if counted:
            store(self._config, {node: self._begun[node] for node in counted})


def store(config: pytest.Config, measured: Mapping[str, float], today: int | None = None) -> None:
    """Keep what was measured. What this session did not run stays as it was, until it has not
    been seen for long; of too many, those seen last stay. `today`: days since the epoch."""
    cache = _cache(config)
    if cache is None:
        return
    day = int(time.time() // _DAY) if today is None else today
    merged = _read(config) | {node: (seconds, day) for node, seconds in measured.items()}
    fresh = [(n, s, seen) for n, (s, seen) in merged.items() if seen > day - KEPT]
    fresh.sort(key=lambda entry: -entry[2])
    kept = {node: [round(seconds, 4), seen] for node, seconds, seen in fresh[:MOST]}
    cache.set(KEY, {"version": 1, "seconds": kept})


def _cache(config: pytest.Config) -> pytest.Cache | None:
    return getattr(config, "cache", None)


def _read(config: pytest.Config) -> dict[str, tuple[float, int]]:
    """What is in the cache, without what is no such entry: anyone can write there."""
    cache = _cache(config)
    if cache is None:
        return {}
    try:
        found = cache.get(KEY, None)
    except RecursionError:  # JSON that is nested too deep
        return {}
    if not isinstance(found, dict) or found.get("version") != 1:
        return {}
    entries = found.get("seconds")
    return dict(_sound(entries.items())) if isinstance(entries, dict) else {}


def _sound(entries: Iterable[tuple[str, Any]]) -> Iterable[tuple[str, tuple[float, int]]]:
    for node, entry in entries:
        if isinstance(entry, list) and len(entry) == 2:
            seconds, day = entry
            if _is_seconds(seconds) and type(day) is int:
                yield node, (float(seconds), day)


def _is_seconds(value: Any) -> bool:
    return type(value) in (int, float) and 0 <= value < 1e7
