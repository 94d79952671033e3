"""What a package manager is, for the one who builds the prepared layer."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True, kw_only=True)
class PackageFailure:
    """What the tool's output says went wrong. `not_found`: packages that the distribution
    does not have. `unreachable`: the mirror, with the tool's reason, or ''. `expired`: the
    repository whose metadata is too old, or ''. `error`: the tool's own error line, or ''."""

    not_found: tuple[str, ...] = ()
    unreachable: str = ""
    expired: str = ""
    error: str = ""


class PackageManager(Protocol):
    """Installs packages by their native names."""

    @property
    def name(self) -> str:
        """As in a distro's `package_manager`."""
        ...

    def install(self, packages: tuple[str, ...]) -> str:
        """A script for `sh -e`, to be run as root: refresh the lists, install without
        questions and without recommended extras, leave no lists behind."""
        ...

    def failure(self, output: str) -> PackageFailure:
        """Read what the failed script printed."""
        ...


def quoted(packages: Iterable[str]) -> str:
    """Package names as arguments of a shell command."""
    return " ".join(shlex.quote(p) for p in packages)


def first(pattern: re.Pattern[str], text: str) -> str:
    """The first group of the first match, in one line, or ''."""
    found = pattern.search(text)
    return " ".join(found.group(1).split()) if found else ""


def unique(found: Iterable[str]) -> tuple[str, ...]:
    """Without repetitions, in order."""
    return tuple(dict.fromkeys(found))
