"""What it takes to carry out a plan."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from distromatrix.engines.contract import Engine
from distromatrix.engines.silence import SILENT_AFTER
from distromatrix.execute.cell.opening import Opening
from distromatrix.model import CellResult, Plan
from distromatrix.record.events import Event
from distromatrix.record.folder import RunFolder


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """How to carry out a plan. `jobs` None: as many as the engine's cpus carry. `seconds`: how
    long each cell is expected to take, where anything is known of that."""

    jobs: int | None = None
    fail_fast: bool = False
    retries: int = 1
    keep: str = "never"  # never | failed | always
    export: str = "never"  # never | failed
    export_size: int = 1024**3  # bytes of one machine's file, at most
    with_secrets: bool = False  # export machines that were handed secrets, too
    allow_unmet: bool = False
    fail_on_flaky: bool = False
    silent_after: float = SILENT_AFTER  # seconds without output that are told of
    command: str = ""
    seconds: Mapping[str, float] = field(default_factory=dict)
    done: tuple[CellResult, ...] = ()  # of the run that is resumed
    repeated: tuple[tuple[int, CellResult], ...] = ()  # runs of cells that are not all done
    only: tuple[str, ...] = ()  # the cases that suites with `cases: true` are told to run


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """A plan with all that it takes to carry it out."""

    plan: Plan
    opening: Opening
    folder: RunFolder
    emit: Callable[[Event], None]
    options: Options

    @property
    def engine(self) -> Engine:
        """That of containers, which has all images."""
        return self.opening.engines.containers
