"""Packages that are named by what they hold: `pkgconfig(zlib)`, `header(zlib.h)?`."""

from __future__ import annotations

import re
from typing import NamedTuple

KINDS = ("pkgconfig", "cmake", "lib", "header", "command")
_NAME = r"[A-Za-z0-9][A-Za-z0-9_+-]{0,40}([./:][A-Za-z0-9_+-]{1,40}){0,6}"
HELD = rf"({'|'.join(KINDS)})\(({_NAME})\)(\??)"
_HELD = re.compile(HELD)


class Held(NamedTuple):
    """`kind`: one of KINDS; `name`: of a module of pkg-config's, a package of CMake's, a library
    (without `lib` before it), a header or a program. `optional`: to be left out where there is
    none."""

    kind: str
    name: str
    optional: bool

    def __str__(self) -> str:
        return f"{self.kind}({self.name})"


def held_in(package: str) -> Held | None:
    """What a package is named by; None where it is its own name."""
    found = _HELD.fullmatch(package)
    return Held(found[1], found[2], found[4] == "?") if found else None
