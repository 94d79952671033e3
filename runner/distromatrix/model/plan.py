"""A plan: the cells of a matrix, and its shards."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from distromatrix.model.distro import Distro, Repository
from distromatrix.model.matrix import Expectation, HostOrNone, Product, SuiteSettings
from distromatrix.model.result import Verdict

REPEATS = 1000  # of a cell at most


SEEDS = 2**32  # what pytest-randomly, NumPy and Go's -shuffle all take


@dataclass(frozen=True, slots=True, kw_only=True)
class Cell(SuiteSettings):
    """One entry of the matrix with all that is needed to run it. `engine` is None when it
    will not run; then `verdict` is `skipped` and `reason` says why. `packages` have their native
    names. `built`: globs of files that its setup installs; `removal`: a script that follows
    `run`."""

    id: str
    distro: str
    suite: str
    variant: str | None = None
    engine: str | None
    reason: str
    verdict: Verdict | None = None
    unmet: bool = False  # skipped for a need that nothing here meets: the run exits 1
    expect_fail: tuple[Expectation, ...] = ()  # at most one of them without cases
    setup: tuple[str, ...] = ()
    repositories: tuple[Repository, ...] = ()
    built: tuple[str, ...] = ()
    removal: str = ""


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
