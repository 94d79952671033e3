"""What tests ask for, wherever they run: in the process that pytest was started in, which
makes and ends everything (`direct`), or in a worker of pytest-xdist, through a socket to that
process (`remote`)."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from distromatrix.engines.contract import Address
from distromatrix.model import CellResult, Expectation, Need


@dataclass(frozen=True, slots=True, kw_only=True)
class MachineRequest:
    """A machine as tests want it: of a distro's base image; or, where `suite` is not '', of the
    image that this suite (`unit`, or with its variant `unit/py311`) prepares, with the product,
    its user and its limits, and its `setup` done.

    `engine`: that of guests which opens it, or '' for what the suite's plan says, else for the
    user's containers. `refused`: why nothing here gives what its tests need; `versions`: of its
    kernel, which is known once it is there."""

    distro: str
    suite: str = ""
    engine: str = ""
    refused: str = ""
    versions: tuple[Need, ...] = ()

    @property
    def cell(self) -> str:
        """The cell whose machine it is, or its distro."""
        return f"{self.distro}/{self.suite}" if self.suite else self.distro

    def __str__(self) -> str:
        return f"{self.cell}-{self.engine}" if self.engine else self.cell


@dataclass(frozen=True, slots=True, kw_only=True)
class CellReport:
    """What came out of a cell, and what its failure's report names: the folder that holds its
    log and artifacts, and the command that runs it again. `expected`: what rules expect to fail
    in it; `told_by`: the cell with which the same fault of their image was told, or ''."""

    result: CellResult
    folder: Path
    again: str
    expected: tuple[Expectation, ...] = ()
    told_by: str = ""


class Bench(Protocol):
    """Makes what tests ask for. `test` stands for the one that asks: `WORKER NODEID`, the
    worker being `gw0`, …, or `main`. Safe to call from several threads. All methods but
    `done` raise DistromatrixError; a failure to make a shared machine is remembered, and raised
    for all who ask for it."""

    def expect(self, cells: tuple[str, ...], *, machines: bool) -> None:
        """After collection, before anything else: those cells may be asked for, and
        (`machines`) machines too. Every worker says the same. Raises EngineUnavailableError
        where the engine is not there."""

    def run_cell(self, cell: str, test: str) -> CellReport:
        """Run a cell, when there is a place for it, and wait for its result."""

    def machine(self, want: MachineRequest, test: str) -> Address:
        """The machine that all tests share which want the same, made by the first. The test
        has a place (cpus, memory) from now on until it is `done`, and waits for it; whoever
        has one already is given more without waiting."""

    def fresh(self, want: MachineRequest, test: str) -> Address:
        """A machine of the same image for this test alone, ended when it is `done`."""

    def reboot(self, name: str, test: str) -> int:
        """Restart the machine of that name. Returns how often that was done to it; who has
        joined it before joins it anew."""

    def done(self, test: str) -> None:
        """The test has ended. Never raises, and waits for nothing."""
