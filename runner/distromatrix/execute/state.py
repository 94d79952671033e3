"""What the loop of an execution knows of it, and what those who work for it tell the loop."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Protocol

from distromatrix.model import Cell, CellResult


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
