"""The hooks of a session whose tests use machines: each has its place before it begins, and
what the infrastructure does to it is an error, and no failure of the test."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable
from typing import TYPE_CHECKING, Any

import pytest

from distromatrix.errors import (
    CellSkippedError,
    DistromatrixError,
    InfrastructureError,
    InputError,
    MachineGoneError,
    SetupFailedError,
)
from distromatrix.testing import SCHEME
from distromatrix.testing.bench.joined import JoinedMachines, running_test
from distromatrix.testing.bench.owner import Worker, bench_of, keeper, test_name
from distromatrix.testing.names import HOST, SHARED, WANT

if TYPE_CHECKING:
    from distromatrix.testing.contract import MachineRequest
    from distromatrix.testing.scope import Scope

MARK = "distros"
_NAME = "distromatrix-machines"


def machine_tests(config: pytest.Config) -> MachineTests:
    """Those of a session, begun by the first who asks."""
    found: MachineTests | None = config.pluginmanager.get_plugin(_NAME)
    if found is None:
        found = MachineTests(config)
        config.pluginmanager.register(found, _NAME)
    return found


def wants_of(item: pytest.Item) -> tuple[MachineRequest, ...]:
    """The shared machines that a test will use, as far as its parameters say."""
    params = getattr(getattr(item, "callspec", None), "params", {})
    names = getattr(item, "fixturenames", ())
    wants = [params[WANT]] if WANT in params and SHARED in names else []
    backend: Any = getattr(params.get(HOST), "backend", None)
    if backend is not None and backend.NAME == SCHEME and backend.want not in wants:
        wants.append(backend.want)
    return tuple(wants)


class MachineTests:
    """Registered once tests were found that use machines; or one asks for a host by name."""

    def __init__(self, config: pytest.Config) -> None:
        self._config = config
        self._scope: Scope | None = None
        self._fault: InputError | None = None
        self.joined = JoinedMachines(
            lambda: bench_of(config), lambda: self.scope().settings, running_test
        )

    # No properties here: some versions of pytest look at every attribute of a plugin.

    def scope(self) -> Scope:
        """What names and globs stand for, read now if need be. Raises InputError."""
        from distromatrix.testing.scope import scope_of

        if self._fault is not None:
            raise self._fault
        if self._scope is None:
            try:
                self._scope = scope_of(self._config)
            except InputError as error:
                self._fault = error
                raise
        return self._scope

    def unless_faulty(
        self, wanted: Callable[[], tuple[MachineRequest, ...]]
    ) -> tuple[MachineRequest, ...]:
        """None, where the matrix itself is faulty: that is told once, when all is collected.
        Raises InputError."""
        try:
            return wanted()
        except InputError:
            if self._fault is None:
                raise
            return ()

    def wanted_by(self, items: Iterable[pytest.Item]) -> bool:
        """Whether some of them use machines; or would, were the matrix not faulty."""
        return self._fault is not None or any(wants_of(item) for item in items)

    # --- hooks -----------------------------------------------------------------------------

    def pytest_collection_finish(self) -> None:
        """End the session for a matrix that cannot be read: once, and not for each module. In
        a worker of pytest-xdist the other end does."""
        if self._fault is not None and not hasattr(self._config, "workerinput"):
            from distromatrix.testing.cells.outcomes import harmless

            raise pytest.UsageError(harmless(str(self._fault)))

    def pytest_runtest_setup(self, item: pytest.Item) -> None:
        """See that its machines are there, and wait for its place."""
        if not self._config.getoption("setuponly", False):
            for want in wants_of(item):  # PYTEST_CURRENT_TEST is not set yet
                self.joined.shared(want, test_name(item))

    def pytest_runtest_teardown(self, nextitem: pytest.Item | None) -> None:
        """In a worker: tell whether the next test takes over this one's place."""
        worker = keeper(self._config)
        if isinstance(worker, Worker):
            worker.made().next_too(nextitem is not None and bool(wants_of(nextitem)))

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_makereport(
        self, item: pytest.Item, call: pytest.CallInfo[None]
    ) -> Generator[None, pytest.TestReport, pytest.TestReport]:
        """Say in its own words what befell a machine."""
        report = yield
        if call.excinfo is not None and isinstance(call.excinfo.value, DistromatrixError):
            _judge(item, report, call.excinfo)
        return report

    def pytest_unconfigure(self) -> None:
        """Let go of machines; whoever made them ends them."""
        self.joined.close()


def _judge(
    item: pytest.Item,
    report: pytest.TestReport,
    excinfo: pytest.ExceptionInfo[BaseException],
) -> None:
    from distromatrix.collect.text import fit, printable
    from distromatrix.testing.cells.outcomes import harmless, shown_at

    error = excinfo.value
    path, line, _ = item.reportinfo()
    at = (line or 0) + 1
    if isinstance(error, CellSkippedError):
        report.outcome = "skipped"
        report.longrepr = (str(path), at, harmless(f"Skipped: {fit(str(error))}"))
        return
    in_call = report.when == "call"
    infrastructure = isinstance(error, InfrastructureError)
    products = isinstance(error, SetupFailedError)
    products |= isinstance(error, MachineGoneError) and (error.oom or error.choked) and in_call
    if in_call and not (infrastructure or products):
        return  # a test's own mistake: it is shown where it stands
    if products:
        report.when = "call"
    elif in_call:
        report.when = "setup"
    report.longrepr = shown_at(excinfo, path, at, printable(str(error)))
