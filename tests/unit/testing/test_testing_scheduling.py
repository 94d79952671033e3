"""Which scheduler a session gets, with real workers of pytest-xdist."""

from __future__ import annotations

import json

import pytest

from distromatrix.testing.schedule.durations import KEY
from given import FEW_PLUGINS

pytest_plugins = ["pytester"]
pytestmark = pytest.mark.usefixtures("quick")
CONFTEST = """
import pathlib, pytest
from distromatrix.testing.schedule.scheduling import make_scheduler

class Line(pytest.Item):
    def runtest(self): pass

class Lines(pytest.File):
    def collect(self):
        for name in self.path.read_text().split():
            yield Line.from_parent(self, name=name)

def pytest_collect_file(file_path, parent):
    if file_path.suffix == ".lines":
        return Lines.from_parent(parent, path=file_path)

@pytest.hookimpl(tryfirst=True)
def pytest_xdist_make_scheduler(config, log):
    found = make_scheduler(config, log, pathlib.Path("m/it.lines").absolute(), lambda: MACHINES)
    print("MADE", found)
    config._found = found
    return found

def pytest_terminal_summary(terminalreporter, config):
    used = getattr(getattr(config, "_found", None), "_used", None)
    terminalreporter.write_line(f"used: {type(used).__name__}")
"""
TESTS = """
import pytest

@pytest.mark.parametrize("n", range(200))
def test_many(n): pass
"""


@pytest.fixture
def product(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> pytest.Pytester:
    monkeypatch.setenv("PYTEST_ADDOPTS", FEW_PLUGINS)
    pytester.makepyfile(test_it=TESTS)
    pytester.makeconftest(CONFTEST.replace("MACHINES", "False"))
    pytester.mkdir("m").joinpath("it.lines").write_text("a/unit b/unit c/unit/v")
    return pytester


def kept(product: pytest.Pytester) -> set[str]:
    file = product.path / ".pytest_cache/v" / KEY
    return set(json.loads(file.read_text())["seconds"]) if file.exists() else set()


def run(product: pytest.Pytester, *args: str) -> pytest.RunResult:
    return product.runpytest_subprocess("-p", "xdist", *args)


def test_a_session_with_cells_is_spread_and_measured(product: pytest.Pytester) -> None:
    for _ in range(2):
        done = run(product, "-n3")
        done.assert_outcomes(passed=203)
        done.stdout.fnmatch_lines(["used: LongestFirst"])
    assert len(kept(product)) == 203
    assert "m/it.lines::c/unit/v" in kept(product)


def test_a_session_with_machines_is_spread(product: pytest.Pytester) -> None:
    product.makeconftest(CONFTEST.replace("MACHINES", "True"))
    done = run(product, "-n2", "test_it.py")
    done.assert_outcomes(passed=200)
    done.stdout.fnmatch_lines(["used: LongestFirst"])
    assert len(kept(product)) == 200


def test_a_session_without_either_has_pytest_xdists_own(product: pytest.Pytester) -> None:
    done = run(product, "-n2", "test_it.py")
    done.assert_outcomes(passed=200)
    done.stdout.fnmatch_lines(["used: LoadScheduling"])
    assert not kept(product)


@pytest.mark.parametrize(
    "dist",
    [
        "worksteal",
        *(pytest.param(f"load{by}", marks=pytest.mark.slow) for by in ("scope", "file", "group")),
    ],
)
def test_who_says_how_to_spread_gets_that(product: pytest.Pytester, dist: str) -> None:
    done = run(product, "-n2", "--dist", dist)
    done.assert_outcomes(passed=203)
    done.stdout.fnmatch_lines(["used: NoneType"])


def test_different_collections_are_pytest_xdists_error(product: pytest.Pytester) -> None:
    product.makepyfile(
        test_it="""
        import os, pytest

        @pytest.mark.parametrize("n", [os.environ.get("PYTEST_XDIST_WORKER")])
        def test_many(n): pass
        """
    )
    done = run(product, "-n2")
    done.stdout.fnmatch_lines(["*Different tests were collected between gw[01] and gw[01]*"])
    assert done.ret != 0


def test_a_worker_that_is_killed_is_replaced_and_fails_one_test(product: pytest.Pytester) -> None:
    product.makepyfile(
        test_it=TESTS.replace(": pass", ":\n    if n == 77: import os; os.kill(os.getpid(), 9)")
    )
    done = run(product, "-n2")
    done.assert_outcomes(passed=202, failed=1)
    done.stdout.fnmatch_lines(["*crashed while running*test_many[[]77]*"])


def test_no_worker_is_replaced_where_none_may_be(product: pytest.Pytester) -> None:
    product.makepyfile(
        test_it=TESTS.replace(": pass", ":\n    if n == 77: import os; os.kill(os.getpid(), 9)")
    )
    done = run(product, "-n2", "--max-worker-restart=0")
    assert done.ret != 0
    done.stdout.fnmatch_lines(["*crashed and worker restarting disabled*"])


@pytest.mark.parametrize("option", ["-x", pytest.param("--maxfail=1", marks=pytest.mark.slow)])
def test_the_first_failure_stops_all(product: pytest.Pytester, option: str) -> None:
    text = ":\n    import time; time.sleep(1); assert n"
    product.makepyfile(test_it=TESTS.replace(": pass", text))
    done = run(product, "-n2", option)
    outcomes = done.parseoutcomes()
    assert outcomes["failed"] == 1
    assert outcomes["passed"] < 20
    done.stdout.fnmatch_lines(["*stopping after 1 failures*"])
