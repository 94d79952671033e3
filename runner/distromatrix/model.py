"""The words of distromatrix as plain, frozen data. No behaviour beyond what follows from it.

Durations are in seconds, sizes in bytes, points in time in seconds since the epoch (UTC),
unless a field says otherwise.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date
from enum import StrEnum
from pathlib import Path
from typing import Literal

Family = Literal["debian", "rhel", "suse", "arch", "alpine", "void", "other"]
PackageManagerName = Literal["apt", "dnf", "zypper", "pacman", "apk", "xbps", "none"]
Libc = Literal["glibc", "musl"]
BootstrapTool = Literal["mmdebstrap", "dnf", "zypper", "pacman", "apk"]
HostOrNone = Literal["host", "none"]
ReportKind = Literal["junit", "tap"]
AccelWanted = Literal["auto", "kvm", "tcg"]
ProviderName = Literal["libvirt", "virtualbox", "vmware_desktop", "hyperv", "proxmox"]


class Verdict(StrEnum):
    """What is said of a cell or a run."""

    PASSED = "passed"
    FAILED = "failed"
    ERROR = "error"
    SKIPPED = "skipped"
    XFAILED = "xfailed"
    XPASSED = "xpassed"


class Phase(StrEnum):
    """Where in a cell's life something happened, in order."""

    IMAGE = "image"
    PACKAGES = "packages"
    PREPARE = "prepare"
    SETUP = "setup"
    RUN = "run"
    COLLECT = "collect"


# --- distros -------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Pull:
    """An image from a registry, by its full reference."""

    ref: str
    refresh: float = 7 * 86400.0
    kind: Literal["pull"] = "pull"


@dataclass(frozen=True, slots=True, kw_only=True)
class Bootstrap:
    """An image built from the distribution's own package mirror. `suite` is the release as
    the mirror names it ('' where the tool asks for none), `packages` what makes the base image
    (for mmdebstrap: more than its minimum)."""

    tool: BootstrapTool
    suite: str = ""
    packages: tuple[str, ...] = ()
    options: tuple[str, ...] = ()
    refresh: float = 7 * 86400.0
    kind: Literal["bootstrap"] = "bootstrap"


@dataclass(frozen=True, slots=True, kw_only=True)
class Archive:
    """A root filesystem tarball, looked for beside the distro's file and in
    `$DISTROMATRIX_ARCHIVES` (folders, separated by `:`)."""

    file: str
    sha256: str
    kind: Literal["archive"] = "archive"


ImageSource = Pull | Bootstrap | Archive


@dataclass(frozen=True, slots=True, kw_only=True)
class Guest:
    """Where a distro's guests come from. `kernel`: the package of its kernel, put on top of the
    container's root filesystem ('' where we cannot make a guest of it); `system`: the packages
    that make a whole system of that. `box` and `version`: a Vagrant box by name. `vagrantfile`:
    the user's own, absolute, and the `machine` in it. `provider`: Vagrant's, of which all but
    libvirt are passed through and untested; `keep_ready`: it is saved after its first boot, and
    each machine is a clone of that, which only libvirt's are."""

    kernel: str = ""
    system: tuple[str, ...] = ()
    box: str = ""
    version: str = ""
    vagrantfile: Path | None = None
    machine: str = ""
    provider: ProviderName = "libvirt"
    keep_ready: bool = True  # never with another provider

    @property
    def made(self) -> bool:
        """Whether Vagrant's guests are made here, of the container's image."""
        return bool(self.kernel) and self.vagrantfile is None and self.provider == "libvirt"


@dataclass(frozen=True, slots=True, kw_only=True)
class Distro:
    """One release of one Linux distribution, as its YAML file says (`like:` resolved).

    `repositories`: where its packages lie below its mirror, as its package manager says it
    (`bookworm main` for apt, else paths, in which `{arch}` stands for the architecture).
    `locked`: `image` is what `distros.lock` says, by a digest or a sha256."""

    name: str
    title: str
    family: Family
    package_manager: PackageManagerName
    libc: Libc
    image: tuple[ImageSource, ...]
    arch: tuple[str, ...] = ("x86_64", "aarch64")
    eol: date | None = None
    verified: date | None = None
    like: str | None = None
    guest: Guest | None = None
    packages: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    repositories: tuple[str, ...] = ()
    locked: bool = False
    file: Path = Path()


# --- matrix --------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Need:
    """A capability that not every machine has; `version` is a constraint such as `>=6.1`."""

    name: str
    version: str = ""

    def __str__(self) -> str:
        return f"{self.name} {self.version}".strip()


@dataclass(frozen=True, slots=True, kw_only=True)
class Prepare:
    """What is cached as an image layer on top of the packages. `files` are globs from the
    product's root; their contents are part of the layer's key."""

    run: str
    files: tuple[str, ...] = ()


DISK = 10 * 1024**3  # bytes that a cell may write
PIDS = 1024  # processes and threads of a cell at once


@dataclass(frozen=True, slots=True, kw_only=True)
class Suite:
    """A named command that tests the product, with what it needs. `distros`: globs of those it
    runs on; `not_gating`: why its verdict does not count, '' where it does; `skip_status`: with
    this exit status `run` says that there was nothing to test."""

    name: str
    run: str
    packages: tuple[str, ...] = ()
    prepare: Prepare | None = None
    setup: str | None = None
    restore: str | None = None
    debug: str | None = None
    shell: str = "sh"
    timeout: float = 1800.0
    env: Mapping[str, str] = field(default_factory=dict)
    reads: tuple[str, ...] = ()
    needs: tuple[Need, ...] = ()
    privileges: tuple[str, ...] = ()
    cases: bool = False
    report: ReportKind = "junit"
    retry_failed: int = 0
    user: str = "root"
    cpus: float = 1.0
    memory: int = 2 * 1024**3
    disk: int = DISK
    pids: int = PIDS
    network: bool = True
    distros: tuple[str, ...] = ("*",)
    tags: tuple[str, ...] = ()
    not_gating: str = ""
    skip_status: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Variant:
    """A named set of environment variables and packages that multiplies the suites it names, on
    the distros that its globs match. `not_gating`: as of a suite; None: what the suite says."""

    name: str
    suites: tuple[str, ...] = ("*",)
    distros: tuple[str, ...] = ("*",)
    env: Mapping[str, str] = field(default_factory=dict)
    packages: tuple[str, ...] = ()
    tags: tuple[str, ...] = ()
    not_gating: str | None = None


# How a cell fails: its `setup` or `run` (or a case), the suite's timeout or memory, its report
# that is not there or holds no case.
FailureKind = Literal["setup", "run", "timeout", "memory", "report"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Expectation:
    """What a rule expects to fail (`expect: fail`), and why. With `cases`, globs over their
    names, exactly these; else the cell as a whole, if it fails in one of `kinds`. `statuses`: the
    exit statuses that it covers (none: any, and beside cases any below 126)."""

    reason: str
    cases: tuple[str, ...] = ()
    kinds: tuple[FailureKind, ...] = ("run",)
    statuses: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """What holds for the cells that all its globs match. Of `skip` and of `expect` without
    `cases`, and of `retry_failed` and `not_gating` (as of a variant), the first match counts;
    additions, and `expect` with `cases`, add up. `where` is `file:line:column`."""

    distro: str = "*"
    suite: str = "*"
    variant: str | None = None
    skip: str | None = None
    expect: Literal["fail"] | None = None
    cases: tuple[str, ...] = ()
    phase: tuple[FailureKind, ...] = ("run",)
    expect_status: tuple[int, ...] = ()
    reason: str = ""
    until: date | None = None
    env: Mapping[str, str] = field(default_factory=dict)
    packages: tuple[str, ...] = ()
    setup: str | None = None
    retry_failed: int | None = None
    tags: tuple[str, ...] = ()
    not_gating: str | None = None
    where: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class CellSet:
    """A name for the cells that have certain `tags` (as Selection has them; none: all) and are
    on distros that the globs match."""

    name: str
    tags: tuple[str, ...] = ()
    distros: tuple[str, ...] = ("*",)


@dataclass(frozen=True, slots=True, kw_only=True)
class Product:
    """What is tested: an absolute folder; `git`: its `.git` comes along."""

    path: Path
    git: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Matrix:
    """A loaded and checked matrix file. `ca_bundle` is `host`, `none` or a path. `runners`:
    the labels of CI's runners by engine, architecture or `ENGINE/ARCH`.
    `warnings` are lines for the user (an expired distro, a lapsed rule, …)."""

    file: Path
    root: Path
    product: Product
    distros: tuple[Distro, ...]
    suites: tuple[Suite, ...]
    variants: tuple[Variant, ...] = ()
    rules: tuple[Rule, ...] = ()
    sets: tuple[CellSet, ...] = ()
    env: Mapping[str, str] = field(default_factory=dict)
    pass_env: tuple[str, ...] = ()
    ca_bundle: str = "none"
    index: HostOrNone = "none"
    runners: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class HostFacts:
    """What the plan must know of this host; plain data, gathered before. `today` decides
    which rules have lapsed; `engine` is the user's engine of containers, `kernel` the version
    of the kernel that its containers share; `guests`: the engines of guests, each with why it
    cannot be used here ('' where it can). `cgroup`: the version of
    this host's, 1 or 2, or ''."""

    arch: str
    cpus: int
    memory: int
    today: date
    kernel: str = ""
    cgroup: str = ""
    engine: str = "docker"
    guests: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Selection:
    """Which cells of the matrix are wanted: all that every kind of choice leaves.

    `selectors`, `exclude`: globs by path segment; `tags`: one of these, and none of those that
    are written `!tag`; `sets`: in one of the matrix's sets of these names. None means all."""

    selectors: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()
    tags: tuple[str, ...] = ()
    sets: tuple[str, ...] = ()
    timeout: float | None = None  # instead of every suite's own


REPEATS = 1000  # of a cell at most
RETRIES = 10  # of a cell that failed, at most
SEEDS = 2**32  # what pytest-randomly, NumPy and Go's -shuffle all take

# --- plan ----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Cell:
    """One entry of the matrix with all that is needed to run it. `engine` is None when it
    will not run; then `verdict` is `skipped` and `reason` says why."""

    id: str
    distro: str
    suite: str
    variant: str | None = None
    engine: str | None
    reason: str
    verdict: Verdict | None = None
    unmet: bool = False  # skipped for a need that nothing here meets: the run exits 1
    tags: tuple[str, ...] = ()
    not_gating: str = ""  # why its verdict does not count
    skip_status: int | None = None  # with this exit status it skips itself
    expect_fail: tuple[Expectation, ...] = ()  # at most one of them without cases
    run: str
    setup: tuple[str, ...] = ()
    restore: str | None = None
    debug: str | None = None
    shell: str = "sh"  # that its scripts are for
    packages: tuple[str, ...] = ()  # native names
    prepare: Prepare | None = None
    env: Mapping[str, str] = field(default_factory=dict)
    timeout: float = 1800.0
    user: str = "root"
    cpus: float = 1.0
    memory: int = 2 * 1024**3
    disk: int = DISK  # bytes that its machine may come to hold beside its image and the product
    pids: int = PIDS
    network: bool = True
    needs: tuple[Need, ...] = ()
    privileges: tuple[str, ...] = ()
    cases: bool = False
    report: ReportKind = "junit"  # what its standard output is, too, where it is tap
    retry_failed: int = 0  # how often it is run again where it failed


@dataclass(frozen=True, slots=True, kw_only=True)
class Excluded:
    """A cell that the selection left out."""

    id: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """The cells, each with the engine chosen for it and the reason; pure data that can be
    stored and read back (`--resume`). `repeat`: how often each is run; `seed`: they are begun
    in an order shuffled by it, from 0 to SEEDS - 1. `guests`: as in HostFacts. `arch`: of
    the machines that it is for. `runners`: the labels of the runner that CI gives to the cells
    of an engine."""

    matrix: Path
    root: Path
    product: Product
    cells: tuple[Cell, ...]
    excluded: tuple[Excluded, ...] = ()
    distros: tuple[Distro, ...] = ()
    pass_env: tuple[str, ...] = ()
    ca_bundle: str = "none"
    index: HostOrNone = "none"
    warnings: tuple[str, ...] = ()
    repeat: int = 1
    seed: int | None = None
    guests: Mapping[str, str] = field(default_factory=dict)
    arch: str = ""
    runners: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    def distro(self, name: str) -> Distro:
        """The distro of that name. Raises KeyError."""
        for distro in self.distros:
            if distro.name == name:
                return distro
        raise KeyError(name)


SHARDS = 256  # at most: a workflow of GitHub's has no more jobs in a matrix


@dataclass(frozen=True, slots=True)
class Shard:
    """One of the parts that a plan is cut into, counted from 1: `3/10`."""

    number: int
    of: int

    def __str__(self) -> str:
        return f"{self.number}/{self.of}"

    @classmethod
    def parse(cls, text: str) -> Shard:
        """Raises ValueError, whose text says what is expected."""
        number, slash, of = text.partition("/")
        if slash and all(part.isascii() and part.isdigit() for part in (number, of)):
            shard = cls(int(number[:9]), int(of[:9]))
            if 1 <= shard.number <= shard.of <= SHARDS:
                return shard
        raise ValueError(
            f"expected K/N, a shard from 1 to N of at most {SHARDS}, such as `3/10`; "
            f"got {text[:40]!r}"
        )


# --- results -------------------------------------------------------------------------------

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
        return self.passed + self.failed + self.skipped + self.xfailed + self.xpassed

    @property
    def red(self) -> int:
        """Those that failed, expected or not."""
        return self.failed + self.xfailed

    def __add__(self, other: CaseCounts) -> CaseCounts:
        return CaseCounts(
            passed=self.passed + other.passed,
            failed=self.failed + other.failed,
            skipped=self.skipped + other.skipped,
            xfailed=self.xfailed + other.xfailed,
            xpassed=self.xpassed + other.xpassed,
        )


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

    source: str  # pull | bootstrap | archive
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


# How single cases are run again: by pytest alone, by a suite that was told which they are
# (`cases: true`), or the whole suite, of which only they count.
Rerun = Literal["pytest", "listed", "whole"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Fallback:
    """Cases that a cell's own machine could not serve, run again in a guest of the same distro.
    `reason` is why there, `cases` those that did run, by their ids (as in CaseNeeds); `verdict`
    and what follows is that guest's, `said` why."""

    engine: str
    reason: str
    how: Rerun
    cases: tuple[str, ...]
    verdict: Verdict
    phase: Phase | None = None
    seconds: float = 0.0
    said: str = ""
    counts: CaseCounts | None = None
    image: ImageUsed | None = None
    attempts: int = 1
    kept: Kept | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class CellRun:
    """One of several runs of a cell (`--repeat`), or of those that it had again after it failed
    (`retry_failed`), counted from 1."""

    repeat: int
    verdict: Verdict
    phase: Phase | None = None
    seconds: float = 0.0
    reason: str = ""
    cases: CaseCounts | None = None
    attempts: int = 1
    kept: Kept | None = None
    fallback: tuple[Fallback, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Flaky:
    """A case that passed in some runs of a cell and failed in others, or where `case` is '' the
    cell itself. `first`: the first run in which it failed, `message` why it did there."""

    case: str
    passed: int
    failed: int
    first: int
    message: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class CellResult:
    """What came out of one cell. `reason` is one line; `tail` the last lines of its output,
    `debug` those of its `debug` hook, already masked and made printable; `failing` the cases that
    failed and were not expected to (bounded); `hints` what may mend it; `warnings` what went wrong
    beside its verdict. `blame`: of an `error`, whose fault it is where it is not the
    infrastructure's.

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
    verdict: Verdict
    phase: Phase | None = None
    engine: str | None = None
    seconds: float = 0.0
    reason: str = ""
    blame: Blame = ""
    image: ImageUsed | None = None
    cases: CaseCounts | None = None
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
    attempts: int = 1
    kept: Kept | None = None
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
