"""Which distros a new matrix begins with, and which it suggests."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from fnmatch import fnmatchcase

from distromatrix.errors import InputError
from distromatrix.model import Distro
from distromatrix.wording import did_you_mean, quoted

# Two releases of one distribution: quick to get, and old and new enough to differ.
FIRST = ("debian-12", "debian-13")
SUGGESTED = 16


def chosen(wanted: str | None, distros: Sequence[Distro]) -> tuple[str, ...]:
    """What `--distros` says, or FIRST as far as there is such: globs, each of which matches.
    Raises InputError."""
    names = [d.name for d in distros]
    if wanted is None:
        return tuple(n for n in FIRST if n in names) or tuple(names[:1])
    globs = tuple(dict.fromkeys(g for g in wanted.replace(",", " ").split()))
    faults = [
        f"--distros: no distro matches {quoted(glob)}{_hint(glob, names)}"
        for glob in globs
        if not any(fnmatchcase(name, glob) for name in names)
    ]
    if not globs:
        faults = ["--distros: names no distro (`distromatrix distros` lists all)"]
    if faults:
        raise InputError(*faults)
    return globs


def suggested(globs: Sequence[str], distros: Sequence[Distro], today: date) -> tuple[str, ...]:
    """The newest living release of each distribution that is not chosen yet, at most 16."""
    newest: dict[str, str] = {}
    for distro in distros:  # in the natural order of their names
        family, dash, release = distro.name.rpartition("-")
        ended = distro.eol is not None and distro.eol < today
        taken = any(fnmatchcase(distro.name, glob) for glob in globs)
        if not ended and not taken and (not dash or release[:1].isdigit()):
            newest[family or distro.name] = distro.name
    mine = {name.rpartition("-")[0] for name in globs}
    return tuple(name for family, name in newest.items() if family not in mine)[:SUGGESTED]


def _hint(glob: str, names: Sequence[str]) -> str:
    hint = did_you_mean(glob, names)
    return f"; {hint}" if hint else " (`distromatrix distros` lists all)"
