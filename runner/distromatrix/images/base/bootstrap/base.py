"""What a bootstrap tool is, for the one who runs it."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, NamedTuple

from distromatrix.images.packages.base import PackageFailure, PackageManager, first
from distromatrix.load.shapes.bootstrap_options import KEYS, NO_SIGNATURES
from distromatrix.model import Bootstrap

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


class BootstrapFailure(NamedTuple):
    """What a tool's output says went wrong: `text` in the tool's own words, in one line."""

    kind: FailureKind
    text: str


class Pattern(NamedTuple):
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


@dataclass(frozen=True, slots=True, kw_only=True)
class Tool:
    """One bootstrap tool, as in a `bootstrap`'s `tool`. Pure: it says what to do, and reads what
    was printed; it runs nothing itself.

    `programs`: what must be installed (alternatives: `dnf5|dnf`), each with how it is had. `work`:
    what makes a job's target. `failures`, and after them those of the package manager `reads`:
    what it prints when it fails. `builds_tree`: it fills a folder, as root, from the distro's
    `repositories` below a mirror that the user names; else it has root's rights and a mirror by
    itself. `key_folders`: where hosts have the keys of its distributions."""

    name: str
    programs: tuple[tuple[str, str], ...]
    work: Callable[[BootstrapJob], Work]
    failures: tuple[Pattern, ...]
    reads: PackageManager | None = None
    builds_tree: bool = True
    key_folders: tuple[str, ...] = ()

    def failure(self, output: str) -> BootstrapFailure:
        """Read what the failed script printed: what the first pattern finds anywhere; else what
        the package manager reads in it; else the last line."""
        for kind, regex in (*_COMMON, *self.failures):
            if found := first(regex, output):
                return BootstrapFailure(kind, found)
        lines = [line.strip() for line in output.splitlines() if line.strip()]
        last = BootstrapFailure("other", lines[-1] if lines else "it printed nothing")
        return _as_managed(self.reads.failure(output), last) if self.reads else last


def _as_managed(read: PackageFailure, last: BootstrapFailure) -> BootstrapFailure:
    """The first of these that was found; that a package is not found says nothing where an
    index could not be had."""
    names = ", ".join(repr(name) for name in read.not_found)
    missing = f"package{'s' if len(read.not_found) > 1 else ''} {names} not found"
    found = (
        BootstrapFailure("signature", read.untrusted),
        BootstrapFailure("not-found", read.gone),
        BootstrapFailure("unreachable", read.unreachable),
        BootstrapFailure("not-found", missing if names else ""),
        BootstrapFailure("other", read.error),
    )
    return next((one for one in found if one.text), last)
