"""What an execution tells the world, in order, as plain data.

The executor emits these, the journal writes each as one JSON line, and every report is made
from them alone; nothing else flows from the executor to a report. `time` is in seconds since
the epoch (UTC).

Where cells are run several times (`--repeat`), `repeat` says which run of the cell it is,
counted from 1; it is 0 where there is only one.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from time import time
from typing import Literal

from distromatrix.model import CellResult, Phase, Verdict


@dataclass(frozen=True, slots=True, kw_only=True)
class _Timed:
    time: float = field(default_factory=time)


@dataclass(frozen=True, slots=True, kw_only=True)
class _OfCell(_Timed):
    cell: str
    repeat: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class RunStarted(_Timed):
    """First event of a run. The plan itself is in `plan.json` of the run's folder. On
    `--resume` the journal holds one of these for each start."""

    run: str
    cells: tuple[str, ...]  # ids that will run now, in order
    jobs: int
    engine: str  # e.g. "docker 20.10.24 (API 1.41)"
    command: str = ""  # the command line that began it, for 'run that again'
    repeat: int = 1  # how often each cell is run
    seed: int | None = None  # what their order was shuffled by
    expected: Mapping[str, float] = field(default_factory=dict)  # seconds by id, where known
    type: Literal["run-started"] = "run-started"


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageProgress(_Timed):
    """An image is being had for a distro: `text` is one line (`pulling …`, `bootstrapping …`,
    `installing packages`, `ready in 12 s (base image)`: one that begins with `ready` ends it)."""

    distro: str
    text: str
    type: Literal["image-progress"] = "image-progress"


@dataclass(frozen=True, slots=True, kw_only=True)
class CellStarted(_OfCell):
    """A cell's work begins (again, when `attempt` > 1)."""

    attempt: int = 1
    type: Literal["cell-started"] = "cell-started"


@dataclass(frozen=True, slots=True, kw_only=True)
class CellProgress(_OfCell):
    """What is done for a cell's guest, in a few words, before the first phase or within one:
    `making its disk`, `booting it under emulation`, `restored`."""

    text: str
    type: Literal["cell-progress"] = "cell-progress"


@dataclass(frozen=True, slots=True, kw_only=True)
class CellPhase(_OfCell):
    """A cell enters a phase."""

    phase: Phase
    type: Literal["cell-phase"] = "cell-phase"


@dataclass(frozen=True, slots=True, kw_only=True)
class CellFallback(_OfCell):
    """Some cases of a cell, as many as `cases`, are run again in a guest, and why."""

    engine: str
    cases: int
    reason: str
    type: Literal["cell-fallback"] = "cell-fallback"


@dataclass(frozen=True, slots=True, kw_only=True)
class CellRetried(_OfCell):
    """A cell failed (`reason`) and is run again: for the time `retry`, counted from 1, of at
    most `of`."""

    retry: int
    of: int
    reason: str
    type: Literal["cell-retried"] = "cell-retried"


@dataclass(frozen=True, slots=True, kw_only=True)
class CellOutput(_OfCell):
    """The last line that a cell printed, printable and masked, at most a few a second.
    For the live board only: not written to the journal."""

    line: str
    type: Literal["cell-output"] = "cell-output"


@dataclass(frozen=True, slots=True, kw_only=True)
class CellSilent(_OfCell):
    """A cell has printed nothing for `seconds`; `line` is the last that it printed, `command`
    what runs in its machine, both printable, masked, '' where there is none. Comes again and
    again while the silence lasts. For the live reports only: not written to the journal."""

    seconds: float
    line: str = ""
    command: str = ""
    type: Literal["cell-silent"] = "cell-silent"


@dataclass(frozen=True, slots=True, kw_only=True)
class RepeatFinished(_Timed):
    """One of several runs of a cell has come to its end; CellFinished follows the last one."""

    result: CellResult
    repeat: int
    log: str = ""
    type: Literal["repeat-finished"] = "repeat-finished"


@dataclass(frozen=True, slots=True, kw_only=True)
class CellFinished(_Timed):
    """A cell has its verdict. `log` is the path of its log relative to the run's folder."""

    result: CellResult
    log: str = ""
    type: Literal["cell-finished"] = "cell-finished"


@dataclass(frozen=True, slots=True, kw_only=True)
class Warned(_Timed):
    """One line that the user should see."""

    text: str
    type: Literal["warned"] = "warned"


@dataclass(frozen=True, slots=True, kw_only=True)
class RunFinished(_Timed):
    """Last event of a run that came to its end (also an interrupted one)."""

    verdict: Verdict
    exit_code: int
    seconds: float
    interrupted: str = ""
    type: Literal["run-finished"] = "run-finished"


Event = (
    RunStarted
    | ImageProgress
    | CellStarted
    | CellProgress
    | CellPhase
    | CellFallback
    | CellRetried
    | CellOutput
    | CellSilent
    | RepeatFinished
    | CellFinished
    | Warned
    | RunFinished
)
