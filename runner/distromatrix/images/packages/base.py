"""What a package manager is, for the one who builds the prepared layer."""

from __future__ import annotations

import hashlib
import re
import shlex
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import IO, Literal

from distromatrix.images.packages.lookup import Lookup
from distromatrix.model import Repository


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
        return tuple(f"{base}/{path}".rstrip("/") for path in paths)


@dataclass(frozen=True, slots=True, kw_only=True)
class Addition:
    """A repository for a machine to have beside those that it has: `name`, that its files go by,
    and `key`, the path of the public key there, '' where nothing is signed."""

    name: str
    repository: Repository
    key: str = ""

    def urls(self, arch: str) -> tuple[str, ...]:
        """What is below its own URL, with `arch` in the place of `{arch}`."""
        own = self.repository
        return Mirror(url=own.url, repositories=own.paths or ("",)).urls(arch)


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


FaultKind = Literal["unreachable", "gone", "untrusted", "expired"]


def one_a_line(output: str) -> tuple[str, ...]:
    """The names in an output that has nothing else."""
    return tuple(output.split())


def sha256_of(file: IO[bytes]) -> str:
    """The sha256 of an open file, in hexadecimal digits."""
    return hashlib.file_digest(file, "sha256").hexdigest()  # type: ignore[arg-type]


@dataclass(frozen=True, slots=True, kw_only=True)
class Download:
    """Files that an installation needs, so that those of them that are here already can be put
    into the machine. `wants`: a script that prints `DIGEST PATH`, a line each, and all else on
    stderr: where in the machine the tool looks for a file, and the digest that what it is has by
    what the distribution has signed. `gets`: a script that downloads those that are not there."""

    wants: str
    gets: str


@dataclass(frozen=True, slots=True, kw_only=True)
class PackageManager:
    """Installs packages by their native names. All scripts are for `sh -e`, run as root.

    `name`: as in a distro's `package_manager`. `script`: installs `{packages}`: it refreshes the
    lists, asks nothing, takes no recommended extras, and leaves no lists behind. `not_found`,
    `faults`, `error`: patterns of what it prints when it fails, which give what `PackageFailure`
    has. `search`: a script that prints what packages there are: after a failed installation, from
    the lists that it fetched, where the tool keeps them; `found`: the names in what that printed.
    `use`: a script after which the machine gets the distribution's packages from a mirror, and
    trusts the keys that it trusted before. `add`: one after which it has a repository more, which
    says what it has by `paths` and `enable` (or by its `url`); `keys`: where a machine has public
    keys, with `{name}`, that of the addition, or `{file}`, of the key's file (None, as `add`:
    nothing can be added). `downloads`: how it gets files apart from installing
    them, indexes before packages, and `rest`: what is then left of `script`; `digest`: of a file,
    as `downloads` say it. Without `downloads` nothing is kept for the next one. `lookup`: how it
    finds a package by what that holds (None: it cannot)."""

    name: str
    script: str
    not_found: re.Pattern[str]
    faults: tuple[tuple[FaultKind, re.Pattern[str]], ...]
    error: re.Pattern[str]
    search: str
    use: Callable[[Mirror], str]
    add: Callable[[Addition], str] | None = None
    keys: str = ""
    found: Callable[[str], tuple[str, ...]] = one_a_line
    downloads: tuple[Download, ...] = ()
    rest: str = ""
    digest: Callable[[IO[bytes]], str] = sha256_of
    lookup: Lookup | None = None

    def install(self, packages: tuple[str, ...]) -> str:
        """A script that installs them."""
        return filled(self.script, packages)

    def failure(self, output: str) -> PackageFailure:
        """Read what the failed script printed. That a mirror does not answer, or does not have a
        repository, says nothing where a fault that stands before it was found."""
        found: dict[FaultKind, str] = {}
        for kind, pattern in self.faults:
            told = not found or kind in ("untrusted", "expired")
            if told and (text := first(pattern, output)):
                found[kind] = text
        names = (next(filter(None, m.groups())) for m in self.not_found.finditer(output))
        return PackageFailure(not_found=unique(names), error=first(self.error, output), **found)


def filled(script: str, packages: tuple[str, ...]) -> str:
    """A script with its `{packages}`."""
    return script.replace("{packages}", " ".join(map(shlex.quote, packages)))


def write(path: str, *lines: str) -> str:
    """Shell that writes lines to a file; it expands in them what it does in double quotes."""
    return "".join(("cat >", path, " <<END\n", *(f"{line}\n" for line in lines), "END\n"))


def append(path: str, *lines: str) -> str:
    """As `write`, after what the file has."""
    return write(f">{path}", *lines)


def first(pattern: re.Pattern[str], text: str) -> str:
    """The first group of the first match that has anything, in one line, or ''."""
    found = pattern.search(text)
    return " ".join(next(filter(None, found.groups()), "").split()) if found else ""


def unique(found: Iterable[str]) -> tuple[str, ...]:
    """Without repetitions, in order."""
    return tuple(dict.fromkeys(found))
