"""A project of two distros and two suites, and the command as a user calls it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

MATRIX = """\
product: .
distros: [one, two]
suites:
  good: {run: echo fine}
  bad: {run: 'echo broken; test $DISTROMATRIX_DISTRO = one'}
"""
DISTRO = """\
title: A distro
family: other
package_manager: none
libc: glibc
eol: 2020-01-01
image: [{pull: docker.io/library/NAME:1}]
"""


@dataclass(frozen=True)
class Said:
    code: int
    out: str
    err: str


Cli = Callable[..., Said]


def runs(project: Path) -> list[Path]:
    return [p for p in (project / ".distromatrix/runs").glob("*") if not p.is_symlink()]
