"""What reading another format gives."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import chain, count
from typing import Any, TypeVar

from distromatrix.errors import Fault, InputError
from distromatrix.files.below import Folder
from distromatrix.load.document import shown

MAX_BYTES = 1 << 20

Suite = TypeVar("Suite")


@dataclass(frozen=True, slots=True, kw_only=True)
class ImportedSuite:
    """A suite: its keys as a matrix file would have them (all scalars text, lists and mappings of
    these), and where it comes from, as messages show it. `rules`: distros' names, each as far as
    it goes (`ubuntu-24` is ubuntu-24.04, too), and what a rule of the matrix says there."""

    keys: Mapping[str, Any]
    file: str
    line: int
    rules: tuple[tuple[tuple[str, ...], Mapping[str, Any]], ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Imported:
    """The suites by their names, which are valid ones. `left_out`: `FILE:LINE: what, and why`,
    for what becomes no suite. `family`: of the distros that they are for; '': of all."""

    suites: Mapping[str, ImportedSuite]
    left_out: tuple[str, ...] = ()
    family: str = ""


def named_apart(
    found: Iterable[tuple[str, Suite]], otherwise: str = "test", others: Iterable[str] = ()
) -> dict[str, Suite]:
    """Each suite by a name that is allowed, and no other's: what it is called elsewhere, with `-`
    for what a name cannot have; `otherwise` where nothing is left of that. `others` are taken."""
    suites: dict[str, Suite] = {}
    others = tuple(others)
    for said, suite in found:
        base = re.sub(r"[^a-z0-9._-]+|[.]{2,}", "-", said.lower()).strip("-._")[:55] or otherwise
        numbered = (f"{base}-{number}" for number in count(2))
        taken = {*suites, *others, "import"}
        suites[next(name for name in chain([base], numbered) if name not in taken)] = suite
    return suites


def read_text(folder: Folder, path: str) -> str:
    """A file of the product, bounded, links not followed. Raises InputError where it cannot be
    read, or holds control characters."""
    try:
        text = folder.read_bytes(path, MAX_BYTES).decode("utf-8-sig", "replace")
    except OSError as error:
        said = f"cannot be read: {error.strerror}"
        raise InputError(Fault(place(folder, path), 0, 0, said)) from None
    if bad := re.search(r"[^\t\n\r\x20-\x7e\x80-\U0010ffff]|[\x80-\x9f]", text):
        line = text.count("\n", 0, bad.start()) + 1
        said = f"control character U+{ord(bad[0]):04X} is not allowed"
        raise InputError(Fault(place(folder, path), line, 1, said))
    return text


def place(folder: Folder, path: str) -> str:
    """A path below a folder as messages show it."""
    return shown(folder.path / path)
