"""Which distros a new matrix begins with, and which it suggests."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date
from fnmatch import fnmatchcase

from distromatrix.errors import InputError
from distromatrix.model import Distro
from distromatrix.wording import did_you_mean, quoted, some_of

# What people really use: of each family the distributions, the next where the first is out of
# reach, with the releases that count (Ubuntu: those with long-term support).
FAMILIES = (
    ("debian-*",),
    ("ubuntu-*[02468].04",),
    ("fedora-*",),
    ("almalinux-*", "rocky-*"),
    ("opensuse-leap-*",),
    ("alpine-*",),
    ("archlinux",),
)
FEW = 2
FEW_WHY = "two releases of one distribution, to begin with"
SUGGESTED = 16


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """The distros of a new matrix. `names`: or globs; `why` these, in a line ('': the user named
    them); `away`: of those that are out of reach, why."""

    names: tuple[str, ...]
    why: str = ""
    away: Mapping[str, str] = field(default_factory=dict)


def named(wanted: str, distros: Iterable[Distro]) -> Choice:
    """What the user names: names or globs, each of which matches. Raises InputError."""
    listed = " (`distromatrix distros` lists all)"
    globs = globs_in(wanted, [d.name for d in distros], "distro", listed)
    if not globs:
        raise InputError(f"no distro is named{listed}")
    return Choice(names=globs)


def globs_in(wanted: str, names: Sequence[str], what: str, otherwise: str) -> tuple[str, ...]:
    """Names and globs that a user lists, each of which matches one of the names. Raises InputError,
    with a name that is near, or `otherwise`."""
    globs = tuple(dict.fromkeys(wanted.replace(",", " ").split()))
    unmatched = [glob for glob in globs if not _of([glob], names)]
    if unmatched:
        hints = [(glob, did_you_mean(glob, names)) for glob in unmatched]
        raise InputError(
            *(
                f"no {what} matches {quoted(glob)}{f'; {hint}' if hint else otherwise}"
                for glob, hint in hints
            )
        )
    return globs


def living(distros: Iterable[Distro], today: date) -> tuple[Distro, ...]:
    """Those that are supported upstream."""
    return tuple(d for d in distros if d.eol is None or d.eol >= today)


def candidates(supported: Iterable[Distro]) -> tuple[Distro, ...]:
    """Those of which some are proposed: stable releases of FAMILIES."""
    globs = [glob for family in FAMILIES for glob in family]
    return tuple(d for d in supported if _stable(d.name) and _of(globs, [d.name]))


def proposed(distros: Sequence[Distro], away: Mapping[str, str]) -> Choice:
    """Of each family the newest of the `distros` (candidates, in the natural order of their
    names) that is in reach; where there are not two, as `few`. `away`: those out of reach."""
    names = [d.name for d in distros]
    there = [name for name in names if name not in away]
    newest = (_newest(family, there) for family in FAMILIES)
    found = tuple(name for name in newest if name)
    if len(found) < FEW:
        two = few(distros, away)
        why = f"what is in reach here{_because(_known(names, away))}"
        return replace(two, why=why) if there else two
    missing = [glob for family in FAMILIES if not _newest(family, there) for glob in family]
    lacking = _known(_of(missing, names), away)
    of = "of each family in reach here" if lacking else "of each family"
    return Choice(names=found, why=f"the newest release {of}{_because(lacking)}")


def few(distros: Sequence[Distro], away: Mapping[str, str]) -> Choice:
    """The two newest in reach of one distribution: quick to get, and old and new enough to differ.
    Where none is, of what the catalogue knows."""
    names = [d.name for d in distros]
    there = [name for name in names if name not in away]
    pairs = (_of([glob], there or names)[-FEW:] for family in FAMILIES for glob in family)
    found = next((pair for pair in pairs if len(pair) == FEW), (there or names)[:FEW])
    why = f"no image is in reach here now{_because(_known(names, away))}"
    return Choice(names=tuple(found), why=FEW_WHY if there else why)


def wide(supported: Sequence[Distro], away: Mapping[str, str]) -> Choice:
    """All of them, in reach or not."""
    names = tuple(d.name for d in supported)
    return Choice(names=names, why="all that are supported upstream, in reach or not", away=away)


def suggested(globs: Sequence[str], distros: Iterable[Distro]) -> tuple[str, ...]:
    """The newest release of each distribution that is not chosen yet, at most 16. `distros`: what
    is supported, in the natural order of their names."""
    newest: dict[str, str] = {}
    for distro in distros:
        taken = any(fnmatchcase(distro.name, glob) for glob in globs)
        if not taken and _stable(distro.name):
            newest[_distribution(distro.name)] = distro.name
    mine = {_distribution(name) for name in globs}
    return tuple(name for family, name in newest.items() if family not in mine)[:SUGGESTED]


def _newest(family: Iterable[str], names: Sequence[str]) -> str:
    """The newest of a family's first distribution that has any, or ''."""
    return next((found[-1] for glob in family if (found := _of([glob], names))), "")


def _of(globs: Iterable[str], names: Iterable[str]) -> list[str]:
    globs = tuple(globs)
    return [name for name in names if any(fnmatchcase(name, glob) for glob in globs)]


def _distribution(name: str) -> str:
    return name.rpartition("-")[0] or name


def _stable(name: str) -> bool:
    """Whether a release has a number, or its distribution has none at all."""
    _, dash, release = name.rpartition("-")
    return not dash or release.replace(".", "").isdigit()


def _known(names: Iterable[str], away: Mapping[str, str]) -> dict[str, str]:
    return {name: away[name] for name in names if name in away}


def _because(away: Mapping[str, str]) -> str:
    whys = list(dict.fromkeys(away.values()))
    return f" ({some_of(whys, 3)})" if whys else ""
