"""Machines for tests that ask for them: one that all share, or a fresh one for each."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from threading import Lock
from typing import Generic, TypeVar

from distromatrix.collect.log import LastLines, Masker
from distromatrix.engines.answer import ask
from distromatrix.engines.contract import Address, Engine, Machine, Stage
from distromatrix.errors import (
    DistromatrixError,
    InfrastructureError,
    MachineGoneError,
    SetupFailedError,
)
from distromatrix.execute.cell.disk_watch import DiskWatch
from distromatrix.execute.cell.opening import Opening, suite_command
from distromatrix.execute.cell.setup import open_outside_runs
from distromatrix.execute.queue.order import image_of
from distromatrix.execute.threads import Threads, in_background
from distromatrix.images import Prepared
from distromatrix.model import Cell, Distro

K = TypeVar("K")
T = TypeVar("T")

SETUP_LINES = 40
CLOSE_WITHIN = 10.0  # seconds


class Once(Generic[K, T]):
    """What is made once for each key, by the first who asks; the others wait. A failure is
    remembered, and raised for all. Thread-safe."""

    def __init__(self) -> None:
        self._futures: dict[K, Future[T]] = {}
        self._lock = Lock()

    def get(self, key: K, make: Callable[[], T]) -> T:
        """That of the key. Raises what `make` has raised."""
        with self._lock:
            first = key not in self._futures
            future = self._futures.setdefault(key, Future())
        if first:
            try:
                future.set_result(make())
            except BaseException as error:  # noqa: BLE001 - raised below, and for all who ask
                future.set_exception(error)
        return future.result()

    def made(self) -> list[T]:
        """All that are there by now."""
        with self._lock:
            futures = list(self._futures.values())
        return [f.result() for f in futures if f.done() and f.exception() is None]


class Machines:
    """Makes machines and ends them. Thread-safe. What could not be made once is not tried
    again: the failure is remembered, and raised for all who ask for the same. `folder`: for what
    is on its way into guests; `tell` is told what is done about them.

    A shared machine that has died is not made anew: tests that come later would run in
    another state than those before, and nobody would know. They fail, and say why.
    """

    def __init__(self, opening: Opening, folder: Path, tell: Callable[[str], None]) -> None:
        self._opening = opening
        self._folder, self._tell = folder, tell
        self._masker = Masker(opening.hidden)
        self._shared: Once[str, Machine] = Once()
        self._prepared: Once[Hashable, Prepared] = Once()
        self._stage: Once[str, Stage] = Once()
        self._fresh: dict[str, Machine] = {}
        self._boots: dict[str, int] = {}
        self._lock = Lock()
        self._ended = False
        self._closers = Threads(2, "close", lambda _: None)
        self._disks = DiskWatch()

    def shared(self, key: str, distro: Distro, cell: Cell) -> Address:
        """The one machine of that key, made by the first who asks: of the cell's image, with
        the product where the cell has a suite. Raises DistromatrixError."""
        self._check()
        machine = self._shared.get(key, lambda: self._open(distro, cell))
        return self._address(machine, cell)

    def fresh(self, distro: Distro, cell: Cell) -> Address:
        """A new machine, until it is given back. Raises DistromatrixError."""
        self._check()
        machine = self._open(distro, cell)
        with self._lock:
            self._fresh[machine.name] = machine
            ended = self._ended
        if ended:
            machine.close()
            raise InfrastructureError("the session has ended", transient=False)
        return self._address(machine, cell)

    def reboot(self, name: str) -> int:
        """Restart a machine that is open. How often that was done by now. Raises
        InfrastructureError."""
        machine = self._named(name)
        machine.reboot()
        with self._lock:
            self._boots[name] = self._boots.get(name, 0) + 1
            return self._boots[name]

    def kernel(self, name: str) -> str:
        """The version of the kernel that a machine runs, as `uname -r` says it. Raises
        InfrastructureError."""
        return ask(self._named(name), "uname -r")

    def _named(self, name: str) -> Machine:
        self._check()
        with self._lock:
            found = self._fresh.get(name)
        for machine in self._shared.made():
            if machine.name == name:
                found = machine
        if found is None:
            raise MachineGoneError(f"{name} is gone")
        return found

    def give_back(self, name: str) -> None:
        """End a fresh machine, in the background. Never raises."""
        with self._lock:
            machine = self._fresh.pop(name, None)
        if machine is not None:
            self._closers.submit(machine.close)

    def end(self) -> None:
        """End all of them. May be called twice; never raises."""
        with self._lock:
            already, self._ended = self._ended, True
            machines = list(self._fresh.values())
            self._fresh.clear()
        if already:
            return
        self._opening.images.cancel()
        machines += self._shared.made()
        for thread in [in_background(machine.close) for machine in machines]:
            thread.join(CLOSE_WITHIN)
        self._closers.drain(CLOSE_WITHIN)
        self._closers.end()
        for stage in self._stage.made():
            with suppress(DistromatrixError):
                stage.close()

    def _check(self) -> None:
        if self._ended:
            raise InfrastructureError("the session has ended", transient=False)

    def _open(self, distro: Distro, cell: Cell) -> Machine:
        opening = self._opening
        prepared = self._prepared.get(
            (distro.name, image_of(cell)), lambda: opening.prepare(distro, cell)
        )
        machine = open_outside_runs(
            opening,
            cell,
            distro,
            prepared,
            stage=lambda where: self._staged(prepared, where),
            folder=self._folder,
            run=self._set_up,
            tell=lambda text: self._tell(f"{cell.id}: {text}"),
        )
        self._disks.add(machine, cell.disk)
        with self._lock:
            ended = self._ended
        if ended:  # whoever ended all did not see this one
            machine.close()
            self._check()
        return machine

    def _staged(self, prepared: Prepared, engine: Engine) -> Stage:
        return self._stage.get(engine.name, lambda: self._opening.stage(engine, prepared))

    def _set_up(self, machine: Machine, cell: Cell) -> None:
        env = self._environment(machine, cell)
        for script in cell.setup:
            lines = LastLines(self._masker)
            command = suite_command(cell, script, machine, env, output=lines.write)
            with self._disks.over(machine, cell.disk):
                done = machine.run(command)
            if done.status != 0:
                how = "timed out" if done.timed_out else f"exit status {done.status}"
                said = "".join(f"\n  {line}" for line in lines.last(SETUP_LINES))
                raise SetupFailedError(f"the setup of {cell.id} failed: {how}{said}")

    def _environment(self, machine: Machine, cell: Cell) -> dict[str, str]:
        if cell.suite:
            return self._opening.environment(cell, machine)
        return {**self._opening.handed.env, **cell.env}

    def _address(self, machine: Machine, cell: Cell) -> Address:
        env = self._environment(machine, cell)
        with self._lock:
            boots = self._boots.get(machine.name, 0)
        address = machine.address
        env = {**address.env, **env}
        return replace(address, env=env, engine=cell.engine or "", boots=boots)
