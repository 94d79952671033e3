"""What came of cells and runs."""

from __future__ import annotations

from dataclasses import astuple, dataclass, fields
from enum import StrEnum
from pathlib import Path
from typing import Literal

from distromatrix.model.matrix import FailureKind


class Verdict(StrEnum):
    """What is said of a cell or a run."""

    PASSED = "passed"
    FAILED = "failed"
    ERROR = "error"
    SKIPPED = "skipped"
    XFAILED = "xfailed"
    XPASSED = "xpassed"


# What they mean to all that asks; a new one belongs to those of these that it fits.
RAN = (Verdict.PASSED, Verdict.FAILED, Verdict.XFAILED, Verdict.XPASSED)  # to its end
GREEN = (Verdict.PASSED, Verdict.XPASSED)  # the suite passed
RED = (Verdict.FAILED, Verdict.XFAILED)  # the suite failed
BAD = (Verdict.FAILED, Verdict.ERROR, Verdict.XPASSED)  # a run with it fails


class Phase(StrEnum):
    """Where in a cell's life something happened, in order."""

    IMAGE = "image"
    PACKAGES = "packages"
    PREPARE = "prepare"
    SETUP = "setup"
    RUN = "run"
    COLLECT = "collect"


CaseStatus = Literal["passed", "failed", "error", "skipped", "xfailed", "xpassed"]


Blame = Literal["", "matrix"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One test inside a cell, as the product's own test tool reports it. `text` is its
    failure's own text, bounded; `engine` where it ran elsewhere than its cell; `file` and `line`
    where the tool says it is written ('' and 0 where it does not). `flaky`: it passed after it
    had failed, and `message` and `text` are those of that failure. `expected`: why a rule expects
    it to fail, of one that is `xfailed` or `xpassed`; a report itself knows neither."""

    name: str  # classname::name, or name alone
    status: CaseStatus
    seconds: float = 0.0
    message: str = ""
    text: str = ""
    engine: str = ""
    file: str = ""
    line: int = 0
    flaky: bool = False
    expected: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class CaseNeeds:
    """A case that was skipped because it needs more than its machine has. `test` is its id as
    pytest takes it on its command line in the product's root, or its name in the suite's JUnit
    file (`classname::name`); `needs` as the test says them."""

    test: str
    needs: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class CaseCounts:
    """How many cases a cell reported, by outcome (`failed` includes JUnit's errors). Each is
    counted once: `failed` and `passed` are those of which no rule says otherwise."""

    passed: int = 0
    failed: int = 0
    skipped: int = 0
    xfailed: int = 0
    xpassed: int = 0

    @property
    def total(self) -> int:
        """All of them."""
        return sum(astuple(self))

    @property
    def red(self) -> int:
        """Those that failed, expected or not."""
        return self.failed + self.xfailed

    def __add__(self, other: CaseCounts) -> CaseCounts:
        names = [field.name for field in fields(self)]
        return CaseCounts(**{name: getattr(self, name) + getattr(other, name) for name in names})


@dataclass(frozen=True, slots=True, kw_only=True)
class Unmatched:
    """A glob of a rule (`cases`), with the rule's reason, that matched no case that ran; `near`:
    a name that it may have meant, or ''."""

    glob: str
    reason: str = ""
    near: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageUsed:
    """Which image a cell ran on: the kind of source, the base image's id, and whether
    `distros.lock` fixed it."""

    source: str  # pull | bootstrap | archive | containerfile
    id: str
    locked: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Kept:
    """A machine that stays after the run, with the commands that enter and remove it, and
    where in it the suite left things for us (Machine.out)."""

    name: str
    enter: str
    remove: str
    out: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Exported:
    """A machine that was written to a file of so many bytes, by its path in the run's folder, for
    who wants to open it elsewhere."""

    file: str
    size: int


# How single cases are run again: by pytest alone, by a suite that was told which they are
# (`cases: true`), or the whole suite, of which only they count.
Rerun = Literal["pytest", "listed", "whole"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What came of a cell, or of some of its cases, in a machine, or in all that it had: `reason`
    is one line; `attempts`: how often it was begun until the infrastructure let it end; `host`: on
    which of a cluster it ran."""

    verdict: Verdict
    phase: Phase | None = None
    seconds: float = 0.0
    reason: str = ""
    image: ImageUsed | None = None
    cases: CaseCounts | None = None
    attempts: int = 1
    kept: Kept | None = None
    exported: Exported | None = None
    host: str = ""

    @property
    def left_out(self) -> bool:
        """Whether it was skipped before it began, and not by itself."""
        return self.verdict is Verdict.SKIPPED and self.phase is None


@dataclass(frozen=True, slots=True, kw_only=True)
class Fallback(Outcome):
    """What came of cases that a cell's own machine could not serve, and that were run again in a
    guest of the same distro: `why` there, and which `tests` did run, by their ids (as in
    CaseNeeds)."""

    engine: str
    why: str
    how: Rerun
    tests: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class CellRun(Outcome):
    """One of several runs of a cell (`--repeat`), or of those that it had again after it failed
    (`retry_failed`), counted from 1."""

    repeat: int
    fallback: tuple[Fallback, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Flaky:
    """A case that passed in some runs of a cell and failed in others, neither where it was skipped
    or absent; or where `case` is '' the cell itself. `first`: the first run in which it failed,
    `message` why it did there."""

    case: str
    passed: int
    failed: int
    first: int
    message: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class CellResult(Outcome):
    """What came out of one cell. `tail` are the last lines of its output, `debug` those of its
    `debug` hook, already masked and made printable; `failing` the cases that failed and were not
    expected to (bounded); `hints` what may mend it; `warnings` what went wrong beside its verdict.
    `blame`: of an `error`, whose fault it is where it is not the infrastructure's.

    `xfailed` and `xpassed`: the cases that rules expect to fail (bounded), and `unmatched` the
    globs of these rules that no case that ran is called by; `failed_by`: how it failed, expected
    or not, and `statuses` the exit statuses that were not 0.

    Of a cell that was run several times: `runs` are those, `seconds` and `cases` their sums,
    `failing` the cases that passed in none of them, `flaky` those that did both.

    Of a cell that failed and was run again: `retries` are those further runs, `seconds` the sum
    of all, `cases` and `failing` what all say together, `flaky` what failed first and then
    passed.

    `not_gating`: as in the plan, from where it is always taken. A cell that has skipped itself
    (`skip_status`) is in the phase `run`; one that was not run is in none."""

    id: str
    engine: str | None = None
    blame: Blame = ""
    failing: tuple[Case, ...] = ()
    xfailed: tuple[Case, ...] = ()
    xpassed: tuple[Case, ...] = ()
    unmatched: tuple[Unmatched, ...] = ()
    failed_by: tuple[FailureKind, ...] = ()
    statuses: tuple[int, ...] = ()
    needing: tuple[CaseNeeds, ...] = ()  # cases that did not run at all; `unmet` is set, too
    tail: tuple[str, ...] = ()
    debug: tuple[str, ...] = ()
    hints: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    unmet: bool = False
    not_gating: str = ""
    runs: tuple[CellRun, ...] = ()
    retries: tuple[CellRun, ...] = ()
    flaky: tuple[Flaky, ...] = ()
    fallback: tuple[Fallback, ...] = ()  # of all its runs, those in one engine as one


@dataclass(frozen=True, slots=True, kw_only=True)
class RunResult:
    """One execution of a plan. `exit_code` is what the process ends with."""

    run: str
    folder: Path
    verdict: Verdict
    exit_code: int
    cells: tuple[CellResult, ...]
    seconds: float = 0.0
    interrupted: str = ""  # SIGHUP | SIGINT | SIGTERM, or empty
