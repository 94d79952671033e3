"""testinfra on every distribution: hosts such as `distromatrix://debian-*?suite=unit`.

Inside pytest they are there as soon as testinfra is. Anywhere else `import
distromatrix.testing.hosts` makes them known; their machines end with the process, and where
that is killed the next run, or `distromatrix clean`, sweeps them.
"""

from __future__ import annotations

import atexit
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from threading import RLock
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl

from testinfra.backend.base import BaseBackend, CommandResult
from testinfra.host import Host

from distromatrix.engines.contract import Command
from distromatrix.errors import InputError
from distromatrix.plan.needs import GUESTS
from distromatrix.testing import DEFAULT_FILE, SCHEME
from distromatrix.testing import names as sessions
from distromatrix.testing.bench.joined import JoinedMachines
from distromatrix.testing.contract import MachineRequest
from distromatrix.testing.machines.printed import Printed
from distromatrix.testing.machines.testinfra_register import install

if TYPE_CHECKING:
    from distromatrix.engines.contract import Machine
    from distromatrix.testing.scope import Scope

_KNOWN = ("suite", "engine", "sudo", "sudo_user")


class DistromatrixBackend(BaseBackend):
    """testinfra's way into a machine. `machine`: which one, if not the shared one of its name
    and suite."""

    NAME = SCHEME

    def __init__(
        self,
        name: str,
        *args: Any,
        suite: str = "",
        engine: str = "",
        machine: Callable[[], Machine] | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(name, *args, **kwargs)
        self.want = MachineRequest(distro=name, suite=suite, engine=engine)
        self._machine = machine
        if machine is None:
            _check(self.want)

    def get_pytest_id(self) -> str:
        """`debian-12`, or `debian-12/unit`; `debian-12-qemu` where the engine was asked for."""
        return str(self.want)

    @classmethod
    def get_hosts(cls, host: str, suite: str = "", engine: str = "", **_others: Any) -> list[str]:
        """The distros that a name or a glob stands for. Raises InputError."""
        if not host:
            raise InputError(f"{SCHEME}:// needs a distro's name, or a glob such as debian-*")
        found = _around().wants(host, suite)
        for want in found:
            if engine and "*" not in host:
                _check(replace(want, engine=engine))
        return [want.distro for want in found]

    # Bytes that are no text in the machine's encoding stay what they are, on the way out of it and
    # back: a file's name may be any.

    def decode(self, data: bytes) -> str:
        """See testinfra; of any bytes."""
        return data.decode("ascii" if data.isascii() else self.encoding, "surrogateescape")

    def encode(self, data: str) -> bytes:
        """See testinfra; of what `decode` gave, too."""
        return data.encode("ascii" if data.isascii() else self.encoding, "surrogateescape")

    def run(self, command: str, *args: str, **_others: Any) -> CommandResult:
        """See testinfra: by `/bin/sh -c`, as in its other backends. Raises DistromatrixError
        where the machine is not to be had, or has died."""
        __tracebackhide__ = True
        script = self.encode(self.get_command(command, *args))
        machine = self._machine() if self._machine else _around().joined().shared(self.want)
        printed = Printed(str(self.want))
        done = machine.run(
            Command(
                script.decode("utf-8", "surrogateescape"),  # what the machine will encode so, too
                output=printed.out,
                errors=printed.err,
                strict=False,
            )
        )
        assert done.status is not None  # noqa: S101  # without a timeout it has one
        return self.result(done.status, script, bytes(printed.stdout), bytes(printed.stderr))


def host_of(
    want: MachineRequest, machine: Callable[[], Machine] | None = None, **options: Any
) -> Host:
    """testinfra's host in that very `machine`; or in the one that a mark has asked for, which is
    known by its name alone."""
    backend = DistromatrixBackend(want.distro, suite=want.suite, machine=machine, **options)
    backend.want = want
    backend.get_pytest_id = lambda: want.cell  # type: ignore[method-assign]
    host = Host(backend)
    backend.set_host(host)
    return host


def _check(want: MachineRequest) -> None:
    if "*" in want.distro:
        raise InputError(f"{want.distro} can match several hosts; use testinfra.get_hosts")
    scope = _around().scope()
    scope.distro(want.distro)
    if want.suite:
        scope.check(want, named=False)
    if want.engine:
        scope.check_engine(want)


# --- host specifications -------------------------------------------------------------------


def parse(spec: str) -> tuple[str, dict[str, Any]]:
    """A host, and what testinfra's backends are made with. Raises InputError."""
    # urlsplit stumbles over brackets, which are to be told as any other name is.
    host, _, query = spec.removeprefix(f"{SCHEME}://").partition("?")
    if set(host) & set("/#@:"):
        raise InputError(f"{spec}: expected {SCHEME}://NAME?PARAMETER=VALUE")
    found: dict[str, Any] = {"connection": SCHEME}
    for key, value in parse_qsl(query, keep_blank_values=True):
        if key not in _KNOWN:
            from distromatrix.wording import did_you_mean, listing, quoted

            hint = did_you_mean(key, _KNOWN) or f"there are {listing(_KNOWN)}"
            raise InputError(f"{spec}: no parameter {quoted(key)} ({hint})")
        if key in found:
            raise InputError(f"{spec}: {key} is given twice")
        if key == "engine" and value not in GUESTS:
            raise InputError(f"{spec}: engine is {' or '.join(GUESTS)}, or omitted for containers")
        if key != "sudo":
            found[key] = value
        elif value.lower() not in ("true", "false"):
            raise InputError(f"{spec}: sudo must be true or false")
        elif value.lower() == "true":
            found[key] = True
    if not host:
        raise InputError(f"{spec}: missing distro name or glob, such as debian-*")
    return host, found


# --- where the machines come from ----------------------------------------------------------


class _HostSession:
    """A session of pytest."""

    def __init__(self, config: Any) -> None:
        from distromatrix.testing.machines.hooks import machine_tests

        self._tests = machine_tests(config)

    def scope(self) -> Scope:
        return self._tests.scope()

    def joined(self) -> JoinedMachines:
        return self._tests.joined

    def wants(self, glob: str, suite: str) -> tuple[MachineRequest, ...]:
        return self._tests.unless_faulty(lambda: self.scope().wants([glob], suite))


class _Script:
    """A process without pytest: it has a bench of its own, until it ends."""

    def __init__(self) -> None:
        self._scope: Scope | None = None
        self._joined: JoinedMachines | None = None
        self._lock = RLock()

    def scope(self) -> Scope:
        from distromatrix.testing.scope import load_scope

        with self._lock:
            if self._scope is None:
                file = Path.cwd() / DEFAULT_FILE
                self._scope = load_scope(file if file.is_file() else None, Path.cwd())
            return self._scope

    def wants(self, glob: str, suite: str) -> tuple[MachineRequest, ...]:
        return self.scope().wants([glob], suite)

    def joined(self) -> JoinedMachines:
        from distromatrix.testing.bench.direct import DirectBench

        with self._lock:
            if self._joined is None:
                scope = self.scope()
                bench = DirectBench(
                    plan=scope.plan, settings=scope.settings, distros=scope.catalogue
                )
                self._joined = JoinedMachines(
                    lambda: bench, lambda: scope.settings, lambda: "main script"
                )
                atexit.register(bench.end)
                atexit.register(self._joined.close)
            return self._joined


_script = _Script()


def _around() -> _HostSession | _Script:
    config = sessions.current()
    return _script if config is None else _HostSession(config)


install()
