"""What a machine is made of, and why something may fail only there."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """What is in a prepared image, as read in a machine of it: a claim of the image's, bounded and
    printable. `image`: its id; `absent`: why nothing could be read ('' where it was). `os`: of
    os-release; `commands`: those of a list, with the path that they really are; `versions`: what
    interpreters and compilers say of themselves; `packages`: versions by names, as its package
    `manager` has them (dpkg, rpm, apk, pacman, xbps or ''); `sources`: what those are built from
    that are not called like it, where the manager says so; `kernels`: those installed in it;
    `kernel`: that which it ran on. `engine`: that of the cell ('' where none is known)."""

    image: str = ""
    absent: str = ""
    engine: str = ""
    arch: str = ""
    kernel: str = ""
    libc: str = ""  # glibc | musl | ''
    libc_version: str = ""
    locale: str = ""
    timezone: str = ""
    manager: str = ""
    limits: tuple[str, ...] = ()  # the lines of `ulimit -a`
    kernels: tuple[str, ...] = ()
    os: Mapping[str, str] = field(default_factory=dict)
    commands: Mapping[str, str] = field(default_factory=dict)
    versions: Mapping[str, str] = field(default_factory=dict)
    packages: Mapping[str, str] = field(default_factory=dict)
    sources: Mapping[str, str] = field(default_factory=dict)


# The output of the failure names it, the failing command opened it, the suite names it.
Evidence = Literal["output", "opened", "suite"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Reason:
    """A difference between the machines where something fails and those where it passes: a
    correlation, no proof. `text`: one line, neither masked nor escaped; `about`: the program or
    package ('' where it only counts the rest, `count` packages); `evidence`: by what it may be the
    cause."""

    text: str
    about: str = ""
    count: int = 1
    evidence: tuple[Evidence, ...] = ()
