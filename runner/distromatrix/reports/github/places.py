"""Where in the product's source a failed case points."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import PurePosixPath

from distromatrix.model import Case

# The product in a machine; a path below any other folder of it is none of the product's.
_IN_MACHINE = "/distromatrix/product/"
_LINES = 400  # of a failure's text that are looked at, from its end
# `tests/test_x.py:12: AssertionError`, `src/lib.rs:7:5`, `main_test.go:30: …`; and Python's own
_PLACES = (
    re.compile(r"""(?<![\w./:@-])(?P<file>[\w./@+-]{1,300}\.\w{1,10}):(?P<line>\d{1,7})\b"""),
    re.compile(r"""File "(?P<file>[^"\n]{1,300})", line (?P<line>\d{1,7})\b"""),
)


def place_of(case: Case, in_product: Callable[[str], bool]) -> tuple[str, int]:
    """The file, relative to the product, and the line (from 1; 0: unknown) that a failure was
    seen at last: of what its text names, else of what the test tool says. ('', 0) where none of
    these is a file that `in_product` knows."""
    for file, line in _named(case):
        path = _inside(file)
        if path and in_product(path):
            return path, line
    return "", 0


def _named(case: Case) -> Iterator[tuple[str, int]]:
    for line in reversed(case.text.splitlines()[-_LINES:]):
        hits = [hit for pattern in _PLACES for hit in pattern.finditer(line[:1000])]
        for hit in sorted(hits, key=lambda hit: -hit.start()):
            yield hit["file"], int(hit["line"])
    if case.file:
        yield case.file, case.line


def _inside(file: str) -> str:
    """A path as the product's machine names it, relative to the product; '' for one that leads
    out of it."""
    path = PurePosixPath(file.removeprefix(_IN_MACHINE))
    if path.is_absolute() or ".." in path.parts:
        return ""
    return str(path)
