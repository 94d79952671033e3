"""Machines that the bench has open, as this process runs commands in them."""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import replace
from threading import Lock
from typing import TYPE_CHECKING

from distromatrix.errors import InputError
from distromatrix.plan.needs import GUESTS
from distromatrix.testing.contract import Bench, MachineRequest
from distromatrix.testing.names import worker

if TYPE_CHECKING:
    from distromatrix.engines import Engines
    from distromatrix.engines.contract import Address, Machine
    from distromatrix.load.settings import Settings


class JoinedMachines:
    """Joins each machine once, for all tests of this process. `test` tells which one asks.
    Thread-safe."""

    def __init__(
        self,
        bench: Callable[[], Bench],
        settings: Callable[[], Settings],
        test: Callable[[], str],
    ) -> None:
        self._bench = bench
        self._settings = settings
        self._test = test
        self._holder = ""  # the test that has a place at the bench
        self._held: dict[MachineRequest, Machine] = {}
        self._joined: dict[str, Machine] = {}
        self._addresses: dict[str, Address] = {}
        self._engines: Engines | None = None
        self._closing = ExitStack()
        self._lock = Lock()
        self._joining = Lock()

    def shared(self, want: MachineRequest, test: str = "") -> Machine:
        """The machine that all tests share which want the same. The test that asks (`test`, or
        the one that runs) has a place from now on. Raises DistromatrixError."""
        test = test or self._test()
        with self._lock:
            if test != self._holder:
                self._holder, self._held = test, {}
            machine = self._held.get(want)
        if machine is None:
            machine = self._join(self._bench().machine(want, test))
            with self._lock:
                if test == self._holder:
                    self._held[want] = machine
        return machine

    def fresh(self, want: MachineRequest) -> Machine:
        """A machine for the test that asks alone; `close` lets go of it, and the bench ends it
        with the test. Raises DistromatrixError."""
        return self._join_own(self._bench().fresh(want, self._test()))

    def reboot(self, machine: Machine) -> Machine:
        """Restart one of them, and join it anew. Raises InputError where it is a container,
        InfrastructureError."""
        with self._joining:
            address = self._addresses[machine.name]
        if address.engine not in GUESTS:
            raise InputError(
                f"{machine.name} is a container, which cannot restart; "
                '@pytest.mark.needs("reboot") requests a guest'
            )
        boots = self._bench().reboot(address.name, self._test())
        address = replace(address, boots=boots)
        shared = machine.name in self._joined
        machine.close()
        if shared:
            with self._lock:
                self._held = {w: m for w, m in self._held.items() if m is not machine}
            return self._join(address)
        return self._join_own(address)

    def close(self) -> None:
        """Let go of all. Never raises."""
        with self._joining:
            machines, self._joined = tuple(self._joined.values()), {}
            self._addresses = {}
            self._held, self._holder = {}, ""
            self._engines = None
            for machine in machines:
                machine.close()
            self._closing.close()

    def _join_own(self, address: Address) -> Machine:
        with self._joining:
            self._addresses[address.name] = address
            return self._opened().of(address.engine).join(address)

    def _join(self, address: Address) -> Machine:
        with self._joining:
            machine = self._joined.get(address.name)
            if machine is not None and self._addresses[address.name].boots < address.boots:
                machine.close()  # it was restarted meanwhile
                machine = None
            if machine is None:
                machine = self._opened().of(address.engine).join(address)
                self._joined[address.name], self._addresses[address.name] = machine, address
            return machine

    def _opened(self) -> Engines:
        if self._engines is None:
            from distromatrix.project.session import opened_engines

            self._engines = self._closing.enter_context(opened_engines(self._settings()))
        return self._engines


def running_test() -> str:
    """The test that runs now, as pytest tells it, in the bench's words. Raises InputError."""
    node, _, phase = os.environ.get("PYTEST_CURRENT_TEST", "").rpartition(" (")
    if not phase:
        raise InputError(
            "no test is running: use machines in tests and fixtures, not in the body of a module"
        )
    return f"{worker()} {node}"
