"""Which files of the product a suite opens: having strace write them down, and the `reads` that
follow from that. Pure."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import PurePosixPath
from typing import Any

from distromatrix.model import Cell, Plan
from distromatrix.plan.scripts import passed_to, under

OPENED = "distromatrix-opened"  # among a cell's artifacts: a path of the product a line
_STRACE = "strace"  # of that name in all families
# What it writes names a file as the kernel knows it (-y); what was opened only to be written is
# not read. `?` is for architectures that lack a call.
_FILTER = (
    r'sed -n "/O_WRONLY/!s|.* = [0-9]*<$PWD/\(.*\)>\$|\1|p" | sort -u'
    f' >>"$DISTROMATRIX_ARTIFACTS/{OPENED}"'
)
_CALL = f"exec {_STRACE} -f -qq -y -e trace=?open,openat,?openat2 -e signal=none -o '|{_FILTER}'"


def traced(plan: Plan) -> Plan:
    """The plan, with cells that also leave OPENED."""

    return replace(plan, cells=tuple(replace(cell, **_changes(cell)) for cell in plan.cells))


def _changes(cell: Cell) -> dict[str, Any]:
    def traced(script: str) -> str:
        return passed_to(f"{_CALL} sh -e -c", "sh", under(cell.shell, script))

    return {
        "packages": tuple(dict.fromkeys((*cell.packages, _STRACE))),
        "shell": "sh",
        "setup": tuple(map(traced, cell.setup)),
        "run": traced(cell.run),
    }


def reads_for(opened: Iterable[str], files: Iterable[str]) -> tuple[str, ...]:
    """Globs that match the files `opened`, of all `files` of a product: a folder of which half
    or more was opened as a whole, the files of a suffix where all of a folder's were, else each
    by name."""
    return tuple(_globs("", {*map(PurePosixPath, opened)}, {*map(PurePosixPath, files)}))


def _globs(
    above: str, opened: set[PurePosixPath], files: set[PurePosixPath], depth: int = 0
) -> Iterator[str]:
    files = files | opened
    if above and 2 * len(opened) >= len(files):
        yield f"{above}**"
        return
    here: dict[str, set[str]] = defaultdict(set)
    below: dict[str, set[PurePosixPath]] = defaultdict(set)
    for path in opened:
        if len(path.parts) == depth + 1:
            here[path.suffix].add(path.name)
        else:
            below[path.parts[depth]].add(path)
    for suffix, names in sorted(here.items()):
        alike = {p for p in files if len(p.parts) == depth + 1 and p.suffix == suffix}
        if suffix and len(names) > 1 and len(names) == len(alike):
            yield f"{above}*{suffix}"
        else:
            yield from (above + name.replace("*", "?") for name in sorted(names))
    for folder, those in sorted(below.items()):
        inside = {p for p in files if len(p.parts) > depth + 1 and p.parts[depth] == folder}
        yield from _globs(f"{above}{folder.replace('*', '?')}/", those, inside, depth + 1)
