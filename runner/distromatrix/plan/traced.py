"""Which files a suite opens: having strace write them down, and the `reads` that follow from
those of the product. Pure."""

from __future__ import annotations

import shlex
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import PurePosixPath

from distromatrix.model import Cell, Phase, Plan
from distromatrix.plan.scripts import passed_to, under

OPENED = "distromatrix-opened"  # among a cell's artifacts: a path of the product a line
_STRACE = "strace"  # of that name in all families
# What it writes names a file as the kernel knows it (-y); what was opened only to be written is
# not read. `?` is for architectures that lack a call.
_OPENS = "?open,openat,?openat2"
_READ = r'sed -n "/O_WRONLY/!s|.* = [0-9]*<$PWD/\(.*\)>\$|\1|p" | sort -u'


def traced(plan: Plan, sieve: str = _READ, calls: str = _OPENS, phase: Phase | None = None) -> Plan:
    """The plan, with cells that also leave OPENED: what the script `sieve` makes of the `calls` in
    all their scripts, or in those of a phase."""

    def change(cell: Cell) -> Cell:
        absent = cell.distro not in unmanaged and _STRACE not in cell.packages
        tools = (_STRACE,) if absent else ()

        def under_strace(script: str, of: Phase) -> str:
            if phase not in (None, of):
                return under(cell.shell, script)
            return passed_to(f"exec {call} sh -e -c", "sh", under(cell.shell, script)) + "\n"

        return replace(  # noqa: S604 - the name of a shell
            cell,
            packages=(*cell.packages, *tools),
            shell="sh",
            setup=tuple(under_strace(script, Phase.SETUP) for script in cell.setup),
            run=under_strace(cell.run, Phase.RUN),
        )

    out = shlex.quote(f'|{{ {sieve}\n}} >>"$DISTROMATRIX_ARTIFACTS/{OPENED}"')
    # Where nothing can be installed, the image may have it.
    unmanaged = {one.name for one in plan.distros if one.package_manager == "none"}
    call = f"{_STRACE} -f -qq -y -e trace={calls} -e signal=none -o {out}"
    return replace(plan, cells=tuple(map(change, plan.cells)))


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
