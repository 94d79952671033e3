"""Kinds of products: one small file each, and this registry that names them, in the order in
which what they find is written."""

from __future__ import annotations

from distromatrix.init.facts import Kind
from distromatrix.init.kinds import (
    autotools,
    cargo,
    cmake,
    go,
    imports,
    make,
    meson,
    node,
    python,
)

KINDS: tuple[Kind, ...] = tuple(
    kind.look for kind in (python, go, cargo, node, cmake, meson, autotools, imports)
)
# Asked only where no other kind found anything: a Makefile often only calls the others.
LAST: tuple[Kind, ...] = (make.look,)

__all__ = ["KINDS", "LAST"]
