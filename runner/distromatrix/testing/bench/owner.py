"""Who has the bench. The process that pytest was started in owns it: it makes the bench when
the first test asks, serves it to workers of pytest-xdist, and ends it. Workers have its address.

What costs something is imported when the first test asks.
"""

from __future__ import annotations

import os
import shlex
import signal
import sys
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from threading import RLock, current_thread, main_thread
from types import FrameType
from typing import TYPE_CHECKING, Any, NoReturn

import pytest

from distromatrix.testing.names import worker

if TYPE_CHECKING:
    from distromatrix.errors import DistromatrixError
    from distromatrix.testing.bench.direct import DirectBench
    from distromatrix.testing.bench.lease import Lease
    from distromatrix.testing.bench.remote import Server
    from distromatrix.testing.bench.rendezvous import Rendezvous
    from distromatrix.testing.contract import Bench

_NAME = "distromatrix-owner"
_ENDING = (signal.SIGTERM, signal.SIGHUP)
_DOOR = "distromatrix_door"  # in workerinput


def bench_of(config: pytest.Config) -> Bench:
    """This process's way to what makes machines and runs cells; the same each time. Raises
    DistromatrixError."""
    return keeper(config).made()


def test_name(item: pytest.Item) -> str:
    """What stands for a test at the bench: `WORKER NODEID`."""
    return f"{worker()} {item.nodeid}"


def keeper(config: pytest.Config) -> Owner | Worker:
    """What has the bench in this process, made by the first who asks."""
    found: Owner | Worker | None = config.pluginmanager.get_plugin(_NAME)
    if found is None:
        found = Worker(config) if hasattr(config, "workerinput") else Owner(config)
        config.pluginmanager.register(found, _NAME)
    return found


def announce(session: pytest.Session, cells: tuple[str, ...], *, machines: bool) -> None:
    """Tell the bench what this process has collected. Where that is not to be had the session
    ends: once, and not for each test."""
    from distromatrix.errors import DistromatrixError

    if not hasattr(session.config, "workerinput"):
        from distromatrix.testing.schedule.durations import record

        record(session.config)  # for later sessions, how long everything takes in this one
    try:
        keeper(session.config).expect(cells, machines=machines)
    except DistromatrixError as error:
        if not hasattr(session.config, "workerinput"):  # of a worker's session the owner knows
            stop(session.config, error)


class Worker:
    """In a worker of pytest-xdist: the way to the owner's bench."""

    def __init__(self, config: pytest.Config) -> None:
        from distromatrix.errors import InfrastructureError
        from distromatrix.testing.bench.lease import Lease
        from distromatrix.testing.bench.rendezvous import knock

        try:
            handed: dict[str, Any] = config.workerinput  # type: ignore[attr-defined]  # xdist's own
            self._bench = Lease(knock(handed[_DOOR]))
        except KeyError:
            raise InfrastructureError(
                "workers cannot reach pytest's main process: it could not create a socket in a "
                "temporary folder"
            ) from None
        except OSError as error:
            raise InfrastructureError(f"pytest's main process does not answer: {error}") from error

    def made(self) -> Lease:
        """The bench."""
        return self._bench

    def expect(self, cells: tuple[str, ...], *, machines: bool) -> None:
        """See Bench."""
        self._bench.expect(cells, machines=machines)

    def pytest_runtest_logfinish(self, nodeid: str) -> None:
        """Give back what a test held."""
        self._bench.done(f"{worker()} {nodeid}")

    @pytest.hookimpl(trylast=True)
    def pytest_sessionfinish(self) -> None:
        """Let go; the owner ends what is left."""
        self._bench.close()


class Owner:
    """In the process that pytest was started in."""

    def __init__(self, config: pytest.Config) -> None:
        self.wants_machines = False  # what tests that were collected say
        self._config = config
        self._lock = RLock()
        self._direct: DirectBench | None = None
        self._server: Server | None = None
        self._door: Rendezvous | None = None
        self._refused: DistromatrixError | None = None
        self._lines: tuple[str, ...] = ()  # for the end of pytest's summary
        self._ended = False
        self._terminated = 0  # by which signal
        # A kill ends what there is, as Ctrl-C does; whoever has an answer of their own keeps it.
        self._caught = [n for n in _ENDING if signal.getsignal(n) is signal.SIG_DFL]
        if current_thread() is not main_thread():
            self._caught.clear()
        for number in self._caught:
            signal.signal(number, self._terminate)

    # No properties here: some versions of pytest look at every attribute of a plugin.

    def made(self) -> DirectBench:
        """The bench, made by the first who asks. Raises DistromatrixError."""
        with self._lock:
            if self._ended:
                from distromatrix.errors import InfrastructureError

                raise InfrastructureError("the session has ended", transient=False)
            if self._direct is None:
                self._direct = _made(self._config)
            return self._direct

    def expect(self, cells: tuple[str, ...], *, machines: bool) -> None:
        """See Bench. What is raised to a worker ends the session here."""
        from distromatrix.errors import DistromatrixError

        self.wants_machines |= machines
        try:
            self.made().expect(cells, machines=machines)
        except DistromatrixError as error:
            self._refused = error
            raise

    # --- workers ---------------------------------------------------------------------------

    def let_in(self, node: Any) -> None:
        """Tell a worker that begins where to knock."""
        from distromatrix.testing.bench.rendezvous import Rendezvous

        if self._door is None:
            try:
                self._door = Rendezvous(self._serve)
            except OSError:  # most sessions need none; in another, a worker says that it lacks it
                return
        node.workerinput[_DOOR] = self._door.address

    def _serve(self, folder: Path) -> str:
        from distromatrix.testing.bench.remote import Server
        from distromatrix.testing.bench.rendezvous import sweep_doors

        with self._lock:
            if self._server is None:
                sweep_doors()
                self._server = Server(self._served, folder)
            return self._server.address

    def _served(self, name: str) -> Callable[..., object]:
        """A method of the bench as workers have it: what it refuses is noted in passing."""
        if name == "expect":
            return self.expect
        # A session that stops (`-x`, `--maxfail`) waits for what its workers have been handed, and
        # that may be long.
        dsession = self._config.pluginmanager.get_plugin("dsession")
        if name == "run_cell" and (why := getattr(dsession, "shouldstop", False)):
            from distromatrix.errors import CellSkippedError

            raise CellSkippedError(f"not started: {why}")
        found: Callable[..., object] = getattr(self.made(), name)
        return found

    @pytest.hookimpl(optionalhook=True)
    def pytest_testnodedown(self, node: Any) -> None:
        """A worker has ended, or died: what it held for tests is free."""
        if self._direct is not None:
            self._direct.worker_gone(node.gateway.id)

    @pytest.hookimpl(optionalhook=True)
    def pytest_xdist_node_collection_finished(self) -> None:
        """That worker has told what it collected. Where what it needs is not there, the session
        ends: once, and not for each test."""
        if self._refused is not None:
            stop(self._config, self._refused)
        if self._direct is not None:
            from distromatrix.testing.schedule.durations import record

            record(self._config)

    # --- the end ---------------------------------------------------------------------------

    def pytest_runtest_logfinish(self, nodeid: str) -> None:
        """Give back what a test held, where tests run in this process."""
        if self._direct is not None and self._door is None:
            self._direct.done(f"{worker()} {nodeid}")

    def pytest_keyboard_interrupt(self) -> None:
        """End it at once: workers that wait for an answer would keep the session up."""
        if self._direct is not None:
            self._direct.interrupt()
        self._end()

    @pytest.hookimpl(trylast=True)
    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        """End all that there is: workers have ended before."""
        if self._terminated:
            session.exitstatus = 128 + self._terminated
        self._end()

    def pytest_unconfigure(self) -> None:
        """The same where no session has come to its end."""
        self._end()

    def pytest_terminal_summary(self, terminalreporter: Any) -> None:
        """Where the results of cells are, and how to see them as a grid."""
        from distromatrix.collect.text import fit

        if self._lines and self._config.get_verbosity() >= 0:
            terminalreporter.section("distromatrix", bold=True)
            for line in self._lines:
                terminalreporter.write_line(fit(line))

    def _end(self) -> None:
        with self._lock:
            self._ended = True
            direct, self._direct = self._direct, None
            server, self._server = self._server, None
            door, self._door = self._door, None
        # Whatever goes wrong in one of these, the others are done: the bench above all.
        with ExitStack() as ending:
            while self._caught:
                ending.callback(signal.signal, self._caught.pop(), signal.SIG_DFL)
            if door is not None:
                ending.callback(door.close)
            if direct is not None:
                ending.callback(self._end_bench, direct)
            if server is not None:
                server.close()

    def _end_bench(self, direct: DirectBench) -> None:
        direct.end()
        self._lines = _summary(direct)

    def _terminate(self, number: int, _frame: FrameType | None) -> None:
        if self._direct is None:
            signal.signal(number, signal.SIG_DFL)
            os.kill(os.getpid(), number)
        if self._terminated and number == signal.SIGHUP:
            return  # a terminal that is closed says so several times
        self._terminated = number
        raise KeyboardInterrupt


def stop(config: pytest.Config, error: DistromatrixError) -> NoReturn:
    """End the session with that error as its one answer."""
    from distromatrix.errors import InputError
    from distromatrix.testing.cells.outcomes import harmless

    text = harmless(str(error))
    if config.pluginmanager.get_plugin("terminalreporter") is None:
        sys.stderr.write(f"{text}\n")
    wrong = isinstance(error, InputError)
    pytest.exit(text, pytest.ExitCode.USAGE_ERROR if wrong else error.exit_code)


def _summary(direct: DirectBench) -> tuple[str, ...]:
    """Where the results are, and how to see them as a grid."""
    from distromatrix.reports.commands import shown_path

    if direct.folder is None:
        return ()
    root = direct.folder.parent.parent.parent
    where = () if root == Path.cwd() else ("-C", shown_path(root))
    return (
        f"files   {shown_path(direct.folder)}",
        f"grid    {shlex.join(('distromatrix', 'report', *where, direct.folder.name))}",
        *([f"warning: {direct.warning}"] if direct.warning else ()),
    )


def _made(config: pytest.Config) -> DirectBench:
    """For the session's matrix; else the usual one below the rootdir, where it is; else for
    machines alone. Raises DistromatrixError."""
    from distromatrix.testing.bench.direct import DirectBench
    from distromatrix.testing.scope import scope_of

    scope = scope_of(config)
    return DirectBench(
        plan=scope.plan,
        settings=scope.settings,
        distros=scope.catalogue,
        command=shlex.join(("pytest", *map(str, config.invocation_params.args))),
        keep=config.getoption("distromatrix_keep"),
    )
