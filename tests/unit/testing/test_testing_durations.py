"""What is known of how long things take, and what is guessed."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from distromatrix.model import CellResult, Verdict
from distromatrix.record import history
from distromatrix.record.history import History, RunStamp
from distromatrix.testing.schedule import durations
from distromatrix.testing.schedule.durations import (
    A_CELL,
    A_TEST,
    KEPT,
    KEY,
    ItemDurations,
    known,
    store,
)
from given import FEW_PLUGINS

pytest_plugins = ["pytester"]
pytestmark = pytest.mark.usefixtures("quick")
MATRIX = "matrix/default.yaml"


class Cache:
    """As pytest's: a file of JSON for each key; what cannot be read is the default."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def get(self, key: str, default: Any) -> Any:
        try:
            return json.loads((self.folder / key).read_text())
        except (OSError, ValueError):
            return default

    def set(self, key: str, value: Any) -> None:
        (self.folder / key).parent.mkdir(parents=True, exist_ok=True)
        (self.folder / key).write_text(json.dumps(value))


@pytest.fixture
def config(tmp_path: Path) -> Any:
    return SimpleNamespace(cache=Cache(tmp_path))


def test_what_was_measured_is_known_in_the_next_session(config: Any) -> None:
    store(config, {"t.py::a": 1.5})
    assert known(config)["t.py::a"] == 1.5


def test_a_session_that_ran_only_a_part_keeps_the_rest(config: Any) -> None:
    store(config, {"t.py::a": 1.5, "t.py::b": 2.5})
    store(config, {"t.py::b": 3.5})
    assert known(config).measured == {"t.py::a": 1.5, "t.py::b": 3.5}


def test_what_has_not_been_seen_for_long_goes(config: Any) -> None:
    store(config, {"t.py::gone": 1, "t.py::a": 1}, today=1000)
    store(config, {"t.py::a": 2}, today=1000 + KEPT - 1)
    assert set(known(config).measured) == {"t.py::gone", "t.py::a"}
    store(config, {"t.py::a": 3}, today=1000 + KEPT)
    assert set(known(config).measured) == {"t.py::a"}


def test_their_number_is_bounded_and_those_seen_last_stay(
    config: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(durations, "MOST", 10)
    store(config, {f"old.py::{i}": 1.0 for i in range(8)}, today=1000)
    store(config, {f"new.py::{i}": 1.0 for i in range(8)}, today=1001)
    names = set(known(config).measured)
    assert len(names) == 10
    assert {f"new.py::{i}" for i in range(8)} < names


@pytest.mark.parametrize(
    "text",
    [
        "no JSON",
        "[]",
        "null",
        "[" * 100_000,
        '{"version": 2, "seconds": {"t.py::a": [1, 1000]}}',
        '{"version": 1}',
        '{"version": 1, "seconds": []}',
        '{"version": 1, "seconds": {"t.py::a": 1}}',
        '{"version": 1, "seconds": {"t.py::a": [1]}}',
        '{"version": 1, "seconds": {"t.py::a": ["1", 1000]}}',
        '{"version": 1, "seconds": {"t.py::a": [NaN, 1000]}}',
        '{"version": 1, "seconds": {"t.py::a": [-1, 1000]}}',
        '{"version": 1, "seconds": {"t.py::a": [1, true]}}',
        '{"version": 1, "seconds": {"t.py::a": [true, 1000]}}',
        '{"version": 1, "seconds": {"t.py::a": [Infinity, 1000]}}',
    ],
)
def test_a_broken_cache_is_an_empty_one_and_mended_by_the_next_session(
    config: Any, tmp_path: Path, text: str
) -> None:
    (tmp_path / KEY).parent.mkdir()
    (tmp_path / KEY).write_text(text)
    assert known(config).measured == {}
    store(config, {"t.py::b": 1.0})
    assert known(config).measured == {"t.py::b": 1.0}


def test_entries_beside_a_broken_one_stay(config: Any, tmp_path: Path) -> None:
    (tmp_path / KEY).parent.mkdir()
    entries = {"a": [1, 1000], "b": "broken", "c": [2.5, 1000]}
    (tmp_path / KEY).write_text(json.dumps({"version": 1, "seconds": entries}))
    assert known(config).measured == {"a": 1.0, "c": 2.5}


def test_without_a_cache_nothing_is_known_and_nothing_kept() -> None:
    config: Any = SimpleNamespace()  # as with `-p no:cacheprovider`
    store(config, {"t.py::a": 1.0})
    assert known(config)["t.py::a"] == A_TEST


CELLS = {
    f"{MATRIX}::a/unit": 10.0,
    f"{MATRIX}::b/unit": 20.0,
    f"{MATRIX}::c/unit": 90.0,
    f"{MATRIX}::a/lint": 1.0,
    f"{MATRIX}::a/unit/py311": 40.0,
}
TESTS = {"t.py::one[a]": 1.0, "t.py::one[b]": 3.0, "t.py::two": 9.0, "u.py::x": 0.2}


@pytest.mark.parametrize(
    ("measured", "node", "seconds"),
    [
        (CELLS, f"{MATRIX}::b/unit", 20.0),
        (CELLS, f"{MATRIX}::d/unit", 20.0),  # the same suite on other distros
        (CELLS, f"{MATRIX}::b/unit/py311", 40.0),  # and variant
        (CELLS, f"{MATRIX}::b/unit/py312", 30.0),  # that suite, in whatever variant
        (CELLS, f"{MATRIX}::b/other", 20.0),  # the cells
        ({}, f"{MATRIX}::b/unit", A_CELL),
        (TESTS, f"{MATRIX}::b/unit", A_CELL),
        (TESTS, "t.py::two", 9.0),
        (TESTS, "t.py::one[c]", 2.0),  # the same function
        (TESTS, "t.py::three", 3.0),  # its file
        (TESTS, "v.py::y", 2.0),  # the tests
        (CELLS, "v.py::y", A_TEST),  # a cell says nothing of a test
    ],
)
def test_what_is_unknown_is_like_what_is_most_like_it(
    measured: Mapping[str, float], node: str, seconds: float
) -> None:
    assert ItemDurations(measured, MATRIX)[node] == seconds


def test_runs_say_how_long_cells_take_that_no_session_has_run(
    config: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(history, "history_file", lambda root: tmp_path / "h.sqlite3")
    for number in range(3):
        cells = (("a/unit", 1.0), ("b/unit", 2.0 + number))
        results = [CellResult(id=i, verdict=Verdict.PASSED, seconds=s) for i, s in cells]
        History.of(tmp_path, tmp_path / MATRIX).add(RunStamp(f"r{number}", 1.0), results)
    store(config, {f"{MATRIX}::a/unit": 5.0})
    found = known(config, MATRIX, tmp_path / MATRIX)
    assert found.measured == {f"{MATRIX}::a/unit": 5.0, f"{MATRIX}::b/unit": 3.0}


# --- measuring, in real sessions ---------------------------------------------------------------

PRODUCT = """
import pytest, time

@pytest.fixture
def slow():
    time.sleep(0.05)
    yield
    time.sleep(0.05)

def test_with_fixture(slow): time.sleep(0.05)
def test_fails(): assert 0
@pytest.mark.xfail
def test_expected(): assert 0
@pytest.mark.skip
def test_skipped(): pass
"""
RECORD = """
from distromatrix.model import CellResult, Verdict
from distromatrix.record import history
from distromatrix.record.history import History, RunStamp
from distromatrix.testing.schedule import durations

def pytest_configure(config):
    if not hasattr(config, "workerinput"):
        durations.record(config)
        durations.record(config)
"""


@pytest.mark.parametrize("options", [(), ("-n2",)])
def test_a_session_measures_what_came_to_its_end(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch, options: tuple[str, ...]
) -> None:
    monkeypatch.setenv("PYTEST_ADDOPTS", FEW_PLUGINS)
    pytester.makepyfile(test_it=PRODUCT)
    pytester.makeconftest(RECORD)
    pytester.runpytest_subprocess(*options).assert_outcomes(
        passed=1, failed=1, xfailed=1, skipped=1
    )
    kept = json.loads((pytester.path / ".pytest_cache/v" / KEY).read_text())["seconds"]
    assert set(kept) == {f"test_it.py::test_{n}" for n in ("with_fixture", "fails", "expected")}
    assert 0.15 <= kept["test_it.py::test_with_fixture"][0] < 10


@pytest.mark.parametrize("options", [("-p", "no:cacheprovider"), ("--collect-only",)])
def test_a_session_that_keeps_nothing_writes_nothing(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch, options: tuple[str, ...]
) -> None:
    monkeypatch.setenv("PYTEST_ADDOPTS", FEW_PLUGINS)
    pytester.makepyfile(test_it="def test_it(): pass")
    pytester.makeconftest(RECORD)
    assert pytester.runpytest_subprocess(*options).ret == 0
    assert not (pytester.path / ".pytest_cache/v" / KEY).exists()
