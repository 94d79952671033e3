"""What a product's Python files say of us: whether their tests use the mark `needs`, ask for our
fixtures, or have fixtures of those names themselves. Found when a file is read, as a set of bits,
so that one that has not changed is not read again for it."""

from __future__ import annotations

import re
from collections.abc import Iterator

from distromatrix.plan.needs import NEEDS

MOST = 2 * 1024**2  # bytes of a file that is looked at
FIXTURES = ("machine", "fresh_machine", "distro")

USES_MARK = 1  # the mark `needs`, or a skip whose message begins so
USES_HOSTS = 2  # the mark `distros`, or hosts of testinfra
_ASKS, _HAS = 2, 5  # the first bits for fixtures, in their order

_MARK = re.compile(rb"\bmark\.needs\b|[\"']needs:\s*(?:" + "|".join(NEEDS).encode() + rb")\b")
_MARKS = (b"mark.distros", b"distromatrix://")
# Most files have none of these. Plain words: the patterns take thirty times as long.
_ANY = (b"mark.needs", b"needs:", b"machine", b"distro")
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


def python_says(content: bytes) -> int:
    """The bits of one file."""
    if not any(word in content for word in _ANY):
        return 0
    found = USES_MARK if _MARK.search(content) else 0
    if any(mark in content for mark in _MARKS):
        found |= USES_HOSTS
    if named := [n for n, name in enumerate(FIXTURES) if name.encode() in content]:
        asked = set(_asked_for(content))
        for number in named:
            name = FIXTURES[number]
            found |= (name in asked) << (_ASKS + number)
            found |= _has(content, name.encode()) << (_HAS + number)
    return found


def used_fixtures(says: int) -> frozenset[str] | None:
    """Which of our fixtures the tests of a product (the bits of all its files) ask for that it has
    not itself; None where they ask for nothing of ours at all. What is found too much does no
    harm: a fixture that the product does have goes before ours."""
    asked = says >> _ASKS & ~(says >> _HAS)
    found = frozenset(name for number, name in enumerate(FIXTURES) if asked >> number & 1)
    return found if found or says & USES_HOSTS else None


def _has(content: bytes, name: bytes) -> bool:
    ways = (b"def %s(", b'name="%s"', b"name='%s'")
    return any(way % name in content for way in ways)


def _asked_for(content: bytes) -> Iterator[str]:
    """The names of all parameters of tests and fixtures."""
    for word, pattern in _USED:
        at = content.find(word)
        while at >= 0:
            if found := pattern.match(content[at : at + _WINDOW]):
                for part in found[1].split(b","):
                    if name := _PARAMETER.match(part):
                        yield name[1].decode()
            at = content.find(word, at + len(word))
