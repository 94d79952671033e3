"""A matrix: what its file says, and what is chosen of it on which host."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from datetime import date
from pathlib import Path
from typing import Any, Literal

from distromatrix.model.distro import Distro, Repository

HostOrNone = Literal["host", "none"]


ReportKind = Literal["junit", "tap"]


AccelWanted = Literal["auto", "kvm", "tcg"]


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


@dataclass(frozen=True, slots=True, kw_only=True)
class MachineLimits:
    """What is given to a machine. `disk`: the bytes that it may come to hold beside its image and
    the product; `pids`: its processes and threads at once."""

    user: str = "root"
    cpus: float = 1.0
    memory: int = 2 * 1024**3
    disk: int = 10 * 1024**3
    pids: int = 1024
    network: bool = True
    privileges: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class SuiteSettings(MachineLimits):
    """What a suite says, and all its cells do. `shell`: that its scripts are for; `report`: what
    its standard output is, too, where it is tap; `cases`: it can be told single cases;
    `setup_in_container`: where its machine is a guest, a container of the same image runs `setup`;
    `retry_failed`: how often it is run again where it failed; `not_gating`: why its verdict does
    not count, '' where it does; `skip_status`: with this exit status `run` says that there was
    nothing to test; `caches`: by name, folders of its machines that are kept between runs."""

    run: str
    packages: tuple[str, ...] = ()
    prepare: Prepare | None = None
    restore: str | None = None
    debug: str | None = None
    setup_in_container: bool = False
    shell: str = "sh"
    timeout: float = 1800.0
    env: Mapping[str, str] = field(default_factory=dict)
    needs: tuple[Need, ...] = ()
    cases: bool = False
    report: ReportKind = "junit"
    retry_failed: int = 0
    tags: tuple[str, ...] = ()
    not_gating: str = ""
    skip_status: int | None = None
    caches: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Suite(SuiteSettings):
    """A named command that tests the product, with what it needs. `reads`: globs of the files of
    the product that a change must touch to matter to it (none: any file); `distros`: globs of
    those it runs on; `repositories`: by name those that distros know, and its own. `packages` may
    name files of the product (`./…`): `upgrade` from what the distribution has, and `remove`."""

    name: str
    setup: str | None = None
    reads: tuple[str, ...] = ()
    distros: tuple[str, ...] = ("*",)
    repositories: tuple[str | Repository, ...] = ()
    upgrade: bool = False
    remove: bool = False


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
    repositories: tuple[str | Repository, ...] = ()
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
    """What is tested: an absolute folder; `git`: its `.git` comes along; `built`: globs of files
    that do, too, where git ignores them."""

    path: Path
    git: bool = False
    built: tuple[str, ...] = ()


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
    are written `!tag`; `sets`: in one of the matrix's sets of these names. None means all.
    `untouched`: suites that are left out, each with the reason."""

    selectors: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()
    tags: tuple[str, ...] = ()
    sets: tuple[str, ...] = ()
    timeout: float | None = None  # instead of every suite's own
    untouched: Mapping[str, str] = field(default_factory=dict)


RETRIES = 10  # of a cell that failed, at most


def fields_of(kind: type[Any], one: object) -> dict[str, Any]:
    """What a dataclass, or one that is derived from it, has in its fields."""
    return {field.name: getattr(one, field.name) for field in fields(kind)}
