"""What a bootstrap tool is, for the one who runs it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, Protocol

from distromatrix.images.packages import PackageFailure, PackageManager
from distromatrix.model import Bootstrap

# Options of ours in a bootstrap's `options`; all others are the tool's own.
KEYS = "--keys="
NO_SIGNATURES = "--no-signatures"

FailureKind = Literal["unreachable", "not-found", "expired", "signature", "full", "other"]


class OutOfReachError(Exception):
    """A source cannot be had here: the next one may be tried. `str()` says why and what to
    do, in one line."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BootstrapJob:
    """One image to build. `repositories` are URLs; `keys` the files that its signatures are
    checked with (none: they are not); `folder` is the job's own, `alone` says that it has a
    mount namespace of its own, and so may mount."""

    source: Bootstrap
    mirror: str
    repositories: tuple[str, ...]
    arch: str
    keys: tuple[Path, ...]
    folder: Path
    alone: bool = False

    @property
    def root(self) -> Path:
        """The tree that is built."""
        return self.folder / "root"

    @property
    def target(self) -> Path:
        """The tar file that is wanted."""
        return self.folder / "rootfs.tar"

    @property
    def options(self) -> tuple[str, ...]:
        """The tool's own options."""
        ours = (KEYS, NO_SIGNATURES)
        return tuple(o for o in self.source.options if not o.startswith(ours))


@dataclass(frozen=True, slots=True, kw_only=True)
class Work:
    """How a tool does a job: `files` (path below the job's folder -> content) are written
    first, then `script` runs under `sh -e` in that folder and leaves the job's target."""

    script: str
    files: Mapping[str, str | bytes] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class BootstrapFailure:
    """What a tool's output says went wrong: `text` in the tool's own words, in one line."""

    kind: FailureKind
    text: str


class Tool(Protocol):
    """One bootstrap tool. Pure: it says what to do, and reads what was printed; it runs nothing
    itself."""

    @property
    def name(self) -> str:
        """As in a `bootstrap`'s `tool`."""
        ...

    @property
    def programs(self) -> tuple[tuple[str, str], ...]:
        """What must be installed (alternatives: `dnf5|dnf`), each with how it is had."""
        ...

    @property
    def builds_tree(self) -> bool:
        """It fills a folder, as root, from the distro's `repositories` below a mirror that the
        user names. False: it has root's rights and a mirror by itself."""
        ...

    @property
    def key_folders(self) -> tuple[str, ...]:
        """Where hosts have the keys of its distributions."""
        ...

    def work(self, job: BootstrapJob) -> Work:
        """What makes the job's target."""
        ...

    def failure(self, output: str) -> BootstrapFailure:
        """Read what the failed script printed."""
        ...


@dataclass(frozen=True, slots=True)
class Pattern:
    """A line by which a failure is known; its first group is the text."""

    kind: FailureKind
    regex: re.Pattern[str]


def pattern(kind: FailureKind, regex: str) -> Pattern:
    """A pattern that is looked for line by line."""
    return Pattern(kind, re.compile(regex, re.MULTILINE))


# Whoever says it, and the finishing script's own word for a fault.
_COMMON = (
    pattern("full", r"^(.*No space left on device.*)$"),
    pattern("other", r"^distromatrix: (.*)$"),
)


def read_failure(
    output: str, own: tuple[Pattern, ...], manager: PackageManager | None = None
) -> BootstrapFailure:
    """What the first pattern (of `own`, in the order given) finds anywhere; else what the
    package manager of that name reads in it; else the last line."""
    for one in (*_COMMON, *own):
        if found := one.regex.search(output):
            return BootstrapFailure(kind=one.kind, text=" ".join(found.group(1).split()))
    lines = [line.strip() for line in output.splitlines() if line.strip()]
    last = BootstrapFailure(kind="other", text=lines[-1] if lines else "it printed nothing")
    return _as_managed(manager.failure(output), last) if manager else last


def _as_managed(read: PackageFailure, last: BootstrapFailure) -> BootstrapFailure:
    """The first of these that was found; that a package is not found says nothing where an
    index could not be had."""
    names = ", ".join(repr(name) for name in read.not_found)
    missing = f"package{'s' if len(read.not_found) > 1 else ''} {names} not found"
    found: tuple[tuple[FailureKind, str], ...] = (
        ("signature", read.untrusted),
        ("not-found", read.gone),
        ("unreachable", read.unreachable),
        ("not-found", missing if names else ""),
        ("other", read.error),
    )
    return next((BootstrapFailure(kind=kind, text=text) for kind, text in found if text), last)
