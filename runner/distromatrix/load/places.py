"""Where in a matrix file something was asked for."""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path

from distromatrix.load.document import Document, Steps
from distromatrix.load.read import read_document
from distromatrix.model import Cell, Distro


def package_place(file: Path, cell: Cell, distro: Distro, package: str) -> str:
    """`file:line:column` of where a matrix asks for a package of a cell, by its native name or
    by a common one; '' where the file, as it is now, does not. Never raises."""
    try:
        document = _document(file, file.stat().st_mtime_ns)
    except OSError:
        return ""
    names = {package, *(word for word, native in distro.packages.items() if package in native)}
    for steps in _lists(document, cell):
        node = document.node(steps)
        if node and isinstance(node.value, list):
            for number, one in enumerate(node.value):
                if isinstance(one.value, str) and one.value in names:
                    return document.where([*steps, number])
    return ""


@lru_cache(maxsize=2)
def _document(file: Path, _changed: int) -> Document:
    """Read once for all cells of a distro that has not the package."""
    return read_document(file)


def _lists(document: Document, cell: Cell) -> Iterator[Steps]:
    """Where lists of packages for a cell may be, the nearest to it first."""
    yield ["suites", cell.suite, "packages"]
    yield ["defaults", "packages"]
    yield ["variants", cell.variant or "", "packages"]
    rules = document.node(["rules"])
    for number in range(len(rules.value) if rules else 0):
        yield ["rules", number, "packages"]
