"""A product's tests that open machines themselves, with our fixtures or our hosts of testinfra.

They belong to no cell: where a cell's own pytest collects them, they are skipped with a reason,
by the same file that knows the mark `needs` (see case_needs).
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from mmap import ACCESS_READ, mmap
from pathlib import Path

FIXTURES = ("machine", "fresh_machine", "distro")
_MARKS = (b"mark.distros", b"distromatrix://")
_IN_ALL = (b"machine", b"distro")  # one of them is in each mark and each name
_WINDOW = 600  # bytes in which the names of a function's parameters are looked for
_USED = (
    (b"def test", re.compile(rb"def test\w*\s*\(([^)]*)\)")),
    (
        b"fixture",
        re.compile(rb"fixture\b[^\n]*\n(?:\s*@[^\n]*\n)*\s*(?:async )?def \w+\(([^)]*)\)"),
    ),
    (b"usefixtures(", re.compile(rb"usefixtures\(([^)]*)\)")),
)
_PARAMETER = re.compile(rb"\s*[\"']?(\w+)[\"']?\s*(?::[^=]*)?$")


def used_fixtures(snapshot: Path) -> frozenset[str] | None:
    """Which of our fixtures the tests of a product (a snapshot's tar) ask for that it has not
    itself; None where they ask for nothing of ours at all. What is found too much does no harm:
    a fixture that the product does have goes before ours."""
    with snapshot.open("rb") as file, mmap(file.fileno(), 0, access=ACCESS_READ) as everything:
        # Each look may take a second, and of most products these two say that there is nothing.
        if all(everything.find(word) < 0 for word in _IN_ALL):
            return None
        marked = any(everything.find(word) >= 0 for word in _MARKS)
        asked = {name for name in FIXTURES if everything.find(name.encode()) >= 0}
        if asked:
            asked &= set(_asked_for(everything))
        found = frozenset(name for name in asked if not _defined(everything, name.encode()))
    return found if found or marked else None


def _defined(everything: mmap, name: bytes) -> bool:
    ways = (b"def %s(", b'name="%s"', b"name='%s'")
    return any(everything.find(way % name) >= 0 for way in ways)


def _asked_for(everything: mmap) -> Iterator[str]:
    """The names of all parameters of tests and fixtures. No pattern is matched with the whole: a
    product may be gigabytes large."""
    for word, pattern in _USED:
        at = everything.find(word)
        while at >= 0:
            if found := pattern.match(everything[at : at + _WINDOW]):
                for part in found[1].split(b","):
                    if name := _PARAMETER.match(part):
                        yield name[1].decode()
            at = everything.find(word, at + len(word))
