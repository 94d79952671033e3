"""Which programs and packages of its machine a failing command uses, by a traced run of it."""

from __future__ import annotations

from collections.abc import Iterator
from importlib.resources import files
from pathlib import Path, PurePosixPath

from distromatrix.files.below import Folder
from distromatrix.model import Facts, Phase, Plan
from distromatrix.plan.traced import OPENED, traced

_MOST = 1 << 20  # bytes of one cell's OPENED that are read
_CALLS = "?open,openat,?openat2,execve"


def tracing(plan: Plan, phase: Phase | None) -> Plan:
    """The plan, with cells that leave word of what they open in `setup` if that is the phase, else
    in `run`."""
    sieve = files("distromatrix.project").joinpath("opened.sh").read_text(encoding="utf-8")
    return traced(plan, sieve, _CALLS, phase if phase is Phase.SETUP else Phase.RUN)


def used_by(run: Path, cell: str, facts: Facts) -> frozenset[str]:
    """The programs that a cell of a traced run has executed, by their names, and the packages
    whose files it has opened; none where it was not traced. What the machine says is hostile:
    of packages only those count that its `facts` know."""
    try:
        with Folder.at(run) as folder:
            said = folder.read_bytes(f"cells/{cell}/artifacts/{OPENED}", _MOST)
    except OSError:
        return frozenset()
    return frozenset(_names(said.decode("utf-8", "replace"), facts))


def _names(said: str, facts: Facts) -> Iterator[str]:
    for line in said.splitlines():
        kind, _, rest = line.partition(" ")
        if kind == "ran" and rest:
            yield PurePosixPath(rest).name
        elif kind == "of":  # dpkg `a, b:amd64: /x`, apk `/x is owned by a-1`, xbps `a-1_1: /x (…)`
            owners = rest.rpartition(" is owned by ")[2].partition(": ")[0]
            for owner in owners.split(", "):
                name = owner.partition(":")[0]
                known = (name, name.rsplit("-", 1)[0], name.rsplit("-", 2)[0])
                yield from (one for one in known if one in facts.packages)
