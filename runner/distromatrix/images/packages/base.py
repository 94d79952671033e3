"""What a package manager is, for the one who builds the prepared layer."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True, kw_only=True)
class Mirror:
    """A package mirror that the user set for a distro, and where below it packages lie
    (`Distro.repositories`). `archive`: it keeps a release past its end of life, so that its
    metadata may have expired."""

    url: str
    repositories: tuple[str, ...]
    archive: bool = False

    def urls(self, arch: str) -> tuple[str, ...]:
        """Its repositories, with `arch` in the place of `{arch}`."""
        base = self.url.rstrip("/")
        paths = (r.replace("{arch}", arch).strip("/") for r in self.repositories)
        return tuple(f"{base}/{path}" for path in paths)


@dataclass(frozen=True, slots=True, kw_only=True)
class PackageFailure:
    """What the tool's output says went wrong, each in the tool's own words, or empty.

    `not_found`: packages that the distribution does not have. `unreachable`: the mirror does
    not answer. `gone`: it answers, and does not have the repository. `untrusted`: what it
    gave is not signed by whom the machine trusts. `expired`: the repository whose metadata
    is too old. `error`: the tool's own error line."""

    not_found: tuple[str, ...] = ()
    unreachable: str = ""
    gone: str = ""
    untrusted: str = ""
    expired: str = ""
    error: str = ""


class PackageManager(Protocol):
    """Installs packages by their native names. All scripts are for `sh -e`, run as root."""

    @property
    def name(self) -> str:
        """As in a distro's `package_manager`."""
        ...

    def install(self, packages: tuple[str, ...]) -> str:
        """A script that refreshes the lists, installs without questions and without
        recommended extras, and leaves no lists behind."""
        ...

    def failure(self, output: str) -> PackageFailure:
        """Read what the failed script printed."""
        ...

    def search(self) -> str:
        """A script that prints what packages there are: after a failed installation, from
        the lists that it fetched, where the tool keeps them."""
        ...

    def found(self, output: str) -> tuple[str, ...]:
        """The packages' names in what `search` printed."""
        ...

    def use(self, mirror: Mirror) -> str:
        """A script after which the machine gets the distribution's packages from that mirror,
        and trusts the keys that it trusted before."""
        ...


def quoted(packages: Iterable[str]) -> str:
    """Package names as arguments of a shell command."""
    return " ".join(shlex.quote(p) for p in packages)


def write(path: str, *lines: str) -> str:
    """Shell that writes lines to a file; it expands in them what it does in double quotes."""
    return "".join(("cat >", path, " <<END\n", *(f"{line}\n" for line in lines), "END\n"))


def first(pattern: re.Pattern[str], text: str) -> str:
    """The first group of the first match, in one line, or ''."""
    found = pattern.search(text)
    return " ".join(found.group(1).split()) if found else ""


def unique(found: Iterable[str]) -> tuple[str, ...]:
    """Without repetitions, in order."""
    return tuple(dict.fromkeys(found))
