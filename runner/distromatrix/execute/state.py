"""What the loop of an execution knows of it, and what those who work for it tell the loop."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

from distromatrix.collect.log import Masker
from distromatrix.model import Cell, CellResult, Facts


@dataclass(slots=True)
class State:
    """What the loop knows; the workers only read it."""

    results: dict[str, CellResult] = field(default_factory=dict)
    open: dict[str, Cell] = field(default_factory=dict)  # cells that have no result yet
    interrupted: str = ""
    stopping: str = ""  # why no more cells are begun
    gone: str = ""  # why the engine of containers, and so all, is given up
    gone_guests: dict[str, str] = field(default_factory=dict)  # engine of guests -> the same


class Loop(Protocol):
    """Whom the workers tell, from any thread."""

    def finish(self, result: CellResult, repeat: int = 0) -> None:
        """A cell has its result, or one of its runs has."""

    def lost(self, why: str) -> None:
        """The engine of containers is gone."""

    def broke(self, error: BaseException) -> None:
        """Something of ours is broken: the run cannot go on."""


class Team(Protocol):
    """Who does the work: threads here (`Workers`), or the hosts of a cluster."""

    masker: Masker
    at_once: int  # cells, at most

    @property
    def facts(self) -> Mapping[str, Facts]:
        """What is known of the machines of cells, by the cells' ids."""

    def begin(self) -> None:
        """Have everything run."""

    def ask(self, cell: str) -> None:
        """A cell is wanted now, where only those are begun."""

    def was_asked(self, cell: str) -> bool:
        """Whether it is: always, where all are begun."""

    def cancel_images(self) -> object:
        """Give up images that are being made, as no more cells are to be begun."""

    def error(self, cell: Cell, error: Exception, attempts: int = 0, name: str = "") -> CellResult:
        """The result of a cell that an error ended."""

    def end(self) -> None:
        """Close all that is open; after an interruption within seconds."""
