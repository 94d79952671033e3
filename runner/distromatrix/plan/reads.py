"""Which suites a change does not touch, by the files that each says it reads. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence

from distromatrix.model import Suite

_GLOB_PARTS = re.compile(r"(\*\*/|\*\*|\*|\?)")
_WILD = {"*": "[^/]*", "?": "[^/]", "**/": "(?:[^/]+/)*", "**": ".+"}


def path_glob(glob: str) -> re.Pattern[str]:
    """What matches the whole of a path: `**/` any folders, `*` within a segment."""
    parts = _GLOB_PARTS.split(glob)
    return re.compile("".join(_WILD.get(p) or re.escape(p) for p in parts), re.DOTALL)


def told_apart(globs: Iterable[str]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The globs of what is wanted, and those, which follow a `!`, of what is not."""
    globs = tuple(globs)
    wanted = tuple(glob for glob in globs if glob[0] != "!")
    return wanted, tuple(glob[1:] for glob in globs if glob[0] == "!")


def read_by(suite: Suite) -> tuple[str, ...]:
    """The globs of what a suite that has `reads` reads."""
    return (*suite.reads, *told_apart(suite.prepare.files if suite.prepare else ())[0])


def untouched(
    suites: Sequence[Suite], changed: Iterable[str], since: str
) -> tuple[Mapping[str, str], str]:
    """The suites that read none of the files of the product that `changed`, each with the reason;
    and a file that none of them mentions, for which all of them run, or ''. A suite reads what
    its `reads` and its `prepare` name; one without `reads` reads everything. `since` says what
    the files were compared with."""
    reads = {s.name: [*map(path_glob, read_by(s))] for s in suites if s.reads}
    touched: set[str] = set()
    for path in changed:
        reading = {n for n, globs in reads.items() if any(g.fullmatch(path) for g in globs)}
        if not reading:
            return {}, path
        touched |= reading
    why = f"nothing that it reads changed since {since}"
    return {name: why for name in reads if name not in touched}, ""
