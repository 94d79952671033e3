"""What separates two sets of machines in one program: makes and versions, compared as upstream
counts them, else as the package manager does."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cmp_to_key
from typing import Any

_NOISE = re.compile(r"(?:[+~](?:git|dfsg|ds|deb|repack|svn|snap|nmu|b\d)|\.dfsg).*")
_REALLY = re.compile(r"^.*[+~]really\W*")  # what comes before it is no version of it
_EPOCH = re.compile(r"^\d+:")


@dataclass(frozen=True, slots=True)
class Version:
    """Of one machine: the `make` of a program ('' where it has none), and its version as its
    package `manager` has it ('' where none has)."""

    make: str
    version: str = ""
    manager: str = ""

    @property
    def upstream(self) -> str:
        """Without what the distribution adds."""
        text = _EPOCH.sub("", self.version)
        if self.manager in ("dpkg", "rpm", "apk", "pacman"):
            text = text.rpartition("-")[0] or text
        elif self.manager == "xbps":
            text = text.rpartition("_")[0] or text
        return _NOISE.sub("", _REALLY.sub("", text))


def difference(here: Iterable[Version], there: Iterable[Version]) -> tuple[str, int] | None:
    """How all machines `here` differ from all `there`, as one says it, and how much less likely a
    reason it is because their versions are not on two sides of a line, or only the
    distributions' parts of them differ; None where they do not differ."""
    bad, good = _makes(here), _makes(there)
    shared = bad.keys() & good.keys()
    at: dict[str, int] = {}
    ordered, whole = True, set()
    for make in shared:
        low = {v.upstream for v in bad[make]}
        high = {v.upstream for v in good[make]}
        manager, managers = "", {v.manager for v in (*bad[make], *good[make])}
        if low & high:
            low = {_EPOCH.sub("", v.version) for v in bad[make]}
            high = {_EPOCH.sub("", v.version) for v in good[make]}
            if low & high or len(managers) > 1:
                return None
            whole.add(make)
            manager = managers.pop()
        at[make] = side = _side(low, high, manager)
        ordered = ordered and side != 0
    bare = shared if len(bad) == len(good) == 1 else set()
    passing = {make: -side for make, side in at.items()}
    first, second = _said(bad, at, whole), _said(good, passing, whole, bare, passes=True)
    doubt = 10 * (not ordered) + 15 * bool(whole)
    return f"{first} here, {second} where it passes", doubt


def _makes(machines: Iterable[Version]) -> dict[str, set[Version]]:
    found: dict[str, set[Version]] = defaultdict(set)
    for one in machines:
        found[one.make].add(one)
    return found


def _side(low: set[str], high: set[str], manager: str) -> int:
    """-1 where all of `low` are less than all of `high`, 1 where they are greater, else 0."""
    first, second = in_order(low, manager), in_order(high, manager)
    if not first or not second:
        return 0
    key = _key(manager)
    if key(first[-1]) < key(second[0]):
        return -1
    return 1 if key(first[0]) > key(second[-1]) else 0


def in_order(versions: Iterable[str], manager: str = "") -> list[str]:
    """Versions, the lowest first; [] where that cannot be said of all."""
    from univers.versions import InvalidVersion

    try:
        return sorted(versions, key=_key(manager))
    except (InvalidVersion, ValueError, TypeError, AttributeError):
        return []


def _key(manager: str) -> Any:
    from univers import versions

    kinds = {"rpm": versions.RpmVersion, "apk": versions.AlpineLinuxVersion}
    kinds["pacman"] = versions.ArchLinuxVersion
    kind = kinds.get(manager, versions.DebianVersion)  # dpkg's order takes what upstream says

    def compare(one: str, other: str) -> int:
        first, second = kind(one), kind(other)
        return -1 if first < second else int(second < first)

    return cmp_to_key(compare)


def _said(
    makes: dict[str, set[Version]],
    at: dict[str, int],
    whole: set[str],
    bare: Iterable[str] = (),
    *,
    passes: bool = False,
) -> str:
    """The makes of one side with their versions: `coreutils ≤ 9.0`. `bare`: without the name;
    `passes`: the side where it passes, where one version stands for all that are greater."""
    parts = []
    for make, found in sorted(makes.items()):
        if not make:
            parts.append("none")
            continue
        full = make in whole
        texts = {_EPOCH.sub("", v.version) if full else v.upstream for v in found} - {""}
        manager = next(iter(found)).manager if full else ""
        several = in_order(texts, manager) or sorted(texts)
        side = at.get(make, 0)  # 1: all of these are greater than those of the other side
        if not several or (len(several) == 1 and not (passes and side == 1)):
            number = "".join(several)
        elif side:
            number = f"≥ {several[0]}" if side == 1 else f"≤ {several[-1]}"
        else:
            number = "–".join((several[0], several[-1])) if len(several) > 3 else ", ".join(several)
        parts.append(number if make in bare else f"{make} {number}".strip())
    return ", ".join(parts)
