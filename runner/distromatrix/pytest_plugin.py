"""pytest's plugin: options, marks and hooks. All else is imported when a session asks for it.

A session that uses nothing of this pays for what is in this file, and no more: what follows
below `distromatrix.testing` comes in where a matrix file is collected, or a test asks for a
machine.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import pytest

from distromatrix.testing import DEFAULT_FILE

if TYPE_CHECKING:
    from pathlib import Path

    from distromatrix.testing.contract import Bench

FAMILIES = ("debian", "rhel", "suse", "arch", "alpine", "void", "other")
LIBCS = ("glibc", "musl")
_OPTION = "--distromatrix"
_TESTINFRA = "testinfra.host"
_BENCH = "_distromatrix_bench"  # the fixture that all fixtures with machines ask for
_FILE = (".yaml", ".yml")


def pytest_addoption(parser: pytest.Parser) -> None:
    """The options and the setting that say which matrix is collected."""
    group = parser.getgroup("distromatrix", "distromatrix: the matrix of distributions")
    group.addoption(
        _OPTION,
        nargs="?",
        const="",
        metavar="FILE",
        help="collect the cells of a matrix file as tests, MATRIX_FILE::DISTRO/SUITE (default: "
        f"the setting `distromatrix`, then {DEFAULT_FILE} here or below the rootdir)",
    )
    group.addoption(
        f"{_OPTION}-cases",
        action="store_true",
        help="also report each case of a cell as a subtest (pytest 9 or newer)",
    )
    group.addoption(
        f"{_OPTION}-keep",
        choices=("never", "failed"),
        default="never",
        help="keep the machines of these cells after the session (default: never)",
    )
    group.addoption(
        f"{_OPTION}-set",
        action="append",
        default=[],
        metavar="NAME",
        help="collect only the cells of this set of the matrix; repeatable",
    )
    group.addoption(
        f"{_OPTION}-changed",
        nargs="?",
        const="",
        metavar="REF",
        help="leave out cells of suites whose `reads` match no file that changed since the merge "
        f"base with REF ({_OPTION}-changed=REF; default: the default branch)",
    )
    group.addoption(
        f"{_OPTION}-allow-unmet",
        action="store_true",
        help="skip cells with unmet needs instead of failing them",
    )
    group.addoption(
        f"{_OPTION}-fail-on-flaky",
        action="store_true",
        help="fail cells that passed only on a retry (retry_failed)",
    )
    parser.addini(
        "distromatrix",
        "matrix file, relative to the rootdir, whose cells are collected as tests if it lies "
        "within the arguments",
    )


@pytest.hookimpl(tryfirst=True)
def pytest_load_initial_conftests(early_config: pytest.Config, args: list[str]) -> None:
    """`pytest --distromatrix tests/` names no matrix file, and what stands after
    `--distromatrix-changed` no REF: give `tests/` back."""
    known = early_config.known_args_namespace
    for at, (word, following) in enumerate(pairwise(args)):
        own = {_OPTION: _FILE, f"{_OPTION}-changed": ("-",)}.get(word)
        if own and not following.startswith("-") and not following.endswith(own):
            args[at] = f"{word}="
            name = word.strip("-").replace("-", "_")
            if getattr(known, name) == following:
                setattr(known, name, "")
                known.file_or_dir.append(following)


def pytest_configure(config: pytest.Config) -> None:
    """Register the marks, the fixtures and, where there is a matrix, what collects it."""
    from distromatrix.testing import names as sessions
    from distromatrix.testing.machines import fixtures

    for line in _marks():
        config.addinivalue_line("markers", line)
    sessions.begin(config)
    config.pluginmanager.register(fixtures, "distromatrix-fixtures")
    if _TESTINFRA in sys.modules:
        from distromatrix.testing.machines import testinfra_register as register

        register.install()
        register.forget()
    file = _matrix_file(config)
    if config.getoption("distromatrix_cases") and not hasattr(pytest, "SubtestReport"):
        raise pytest.UsageError(
            f"{_OPTION}-cases: cases are reported as subtests, which need pytest 9; "
            f"this is pytest {pytest.__version__}"
        )
    for name in ("set", "changed"):
        if file is None and config.getoption(f"distromatrix_{name}") not in (None, []):
            text = f"{_OPTION}-{name}: this session has no matrix file ({_OPTION}=FILE)"
            raise pytest.UsageError(text)
    if file is not None:
        from distromatrix.testing.cells.session import MatrixSession

        config.pluginmanager.register(MatrixSession(config, file), "distromatrix-matrix")


def pytest_unconfigure(config: pytest.Config) -> None:
    """Another session in this process finds nothing of this one."""
    from distromatrix.testing import names as sessions

    sessions.end(config)
    if _TESTINFRA in sys.modules:
        from distromatrix.testing.machines import testinfra_register as register

        register.forget()


@pytest.hookimpl(tryfirst=True)
def pytest_sessionstart(session: pytest.Session) -> None:
    """Look at `--hosts` before workers do: what is wrong with them is told once."""
    config = session.config
    ours = _OPTION.strip("-") in str(config.getoption("hosts", ""))
    if ours and not hasattr(config, "workerinput"):
        from distromatrix.testing.machines.parametrize import check_hosts

        check_hosts(config)


@pytest.fixture(scope="session", name=_BENCH)
def bench(pytestconfig: pytest.Config) -> Bench:
    """What makes machines. Only tests whose fixtures ask for this want any: names such as
    `machine` are others', too."""
    from distromatrix.testing.bench.owner import bench_of

    return bench_of(pytestconfig)


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node: Any) -> None:
    """Tell a worker of pytest-xdist where it finds who makes machines and runs cells."""
    from distromatrix.testing.bench.owner import Owner, keeper

    owner = keeper(node.config)
    assert isinstance(owner, Owner)  # noqa: S101 - workers have no workers
    owner.let_in(node)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """Spread cells, and tests with machines, by how long they take."""
    from distromatrix.testing.bench.owner import Owner, keeper
    from distromatrix.testing.schedule.scheduling import make_scheduler

    owner = keeper(config)
    assert isinstance(owner, Owner)  # noqa: S101 - as above
    return make_scheduler(config, log, _matrix_file(config), lambda: owner.wants_machines)


@pytest.hookimpl(tryfirst=True)
def pytest_collection_finish(session: pytest.Session) -> None:
    """In a worker: tell what it collected, before pytest-xdist does."""
    if hasattr(session.config, "workerinput"):
        _tell(session)


@pytest.hookimpl(tryfirst=True)
def pytest_runtestloop(session: pytest.Session) -> None:
    """Where there are no workers: the same, once it is sure that tests will run."""
    config = session.config
    broken = session.testsfailed and not config.getoption("continue_on_collection_errors")
    if not broken and not hasattr(config, "workerinput") and not config.getoption("collectonly"):
        _tell(session)


def _tell(session: pytest.Session) -> None:
    """Tell who makes machines and runs cells what was collected, if it is for them: cells that
    will not run, too, for the results."""
    cells = tuple(cell for item in session.items if (cell := getattr(item, "cell_id", "")))
    if session.config.getoption("setuponly", False):
        cells = ()  # it shows fixtures, and runs none
    machines = any(_BENCH in getattr(item, "fixturenames", ()) for item in session.items)
    tests = session.config.pluginmanager.get_plugin("distromatrix-machines")
    machines |= tests is not None and tests.wanted_by(session.items)
    if cells or machines:
        from distromatrix.testing.bench.owner import announce

        announce(session, cells, machines=machines)


def _matrix_file(config: pytest.Config) -> Path | None:
    """The matrix file of this session: the option's, relative to the working directory as all
    arguments are; else the one that an argument names; else the setting's; else, where the option
    names none, the usual one here or below the rootdir."""
    asked: str | None = config.getoption("distromatrix")
    said: str = config.getini("distromatrix").strip()
    if "\n" in said:
        raise pytest.UsageError("the setting `distromatrix` must name one matrix file")
    here = config.invocation_params.dir
    if asked:
        return here / asked
    if named := _named(config):
        return named
    if said:
        return config.rootpath / said
    if asked is None:
        return None
    usual = here / DEFAULT_FILE
    return usual if usual.is_file() else config.rootpath / DEFAULT_FILE


def _named(config: pytest.Config) -> Path | None:
    """The matrix file that an argument names: one in a folder `matrix` that has what every matrix
    has. Raises UsageError where there are two."""
    found = {}
    for argument in config.args:
        path = config.invocation_params.dir / argument.partition("::")[0]
        if path.suffix in _FILE and path.parent.name == "matrix" and path.is_file():
            with path.open("rb") as file:
                text = file.read(1 << 20)
            if all(re.search(rb"\b%s[\"']?\s*:" % key, text) for key in (b"distros", b"suites")):
                found[path.resolve()] = path
    if len(found) > 1:
        raise pytest.UsageError(
            "only one matrix file can be collected in a session; got "
            + ", ".join(sorted(path.name for path in found.values()))
        )
    return next(iter(found.values()), None)


def _marks() -> Iterator[str]:
    from distromatrix.plan.needs import NEEDS

    for name in FAMILIES:
        yield f"{name}: (distromatrix) a cell on a distribution of the family {name}"
    for name in LIBCS:
        yield f"{name}: (distromatrix) a cell on a distribution whose C library is {name}"
    for name, need in NEEDS.items():
        yield f"{name}: (distromatrix) a cell that needs {name} ({need.description})"
    yield (
        "needs(*names): (distromatrix) the test needs a machine with these features: "
        + ", ".join(NEEDS)
    )
    yield (
        "distros(*globs, family=…, libc=…, package_manager=…, suite=…): (distromatrix) the "
        "distributions on which a test with the fixture `distro`, `machine` or `fresh_machine` "
        "runs, by names, globs and criteria; prepared as the suite defines"
    )
