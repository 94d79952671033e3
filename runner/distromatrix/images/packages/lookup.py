"""How a package manager finds the packages that hold something, in the distribution's own index."""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from distromatrix.plan.held import Held

GUESSED = "guessed"
_SAID = re.compile(r"^(\d{1,4}) ([A-Za-z0-9/][\x21-\x7e]{0,1000})$", re.MULTILINE)
_PACKAGE = re.compile(r"/?[A-Za-z0-9][A-Za-z0-9@.+_:/()~-]{0,200}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Lookup:
    """`asks`: what to look for instead of one thing, the best first, of which none holds a blank.
    `script`: prints `NUMBER PACKAGE,…` for what is found; in it stand for all that is looked for
    `{each}`, a line `look NUMBER ASK…` for each, `{all}`, all asks as alternatives of a regular
    expression, and `{count}`. A line GUESSED of what it prints says that it went by packages' names
    alone."""

    asks: Callable[[Held], Sequence[str]]
    script: str

    def ask(self, wanted: Sequence[Held]) -> str:
        """A script for `sh -e` that looks for these."""
        asks = [tuple(self.asks(one)) for one in wanted]
        each = "\n".join(f"look {n} {shlex.join(these)}" for n, these in enumerate(asks))
        whole = shlex.quote("|".join(ask for these in asks for ask in these))
        script = self.script.replace("{count}", str(len(wanted))).replace("{all}", whole)
        return script.replace("{each}", each)


def answers(said: str, wanted: Sequence[Held]) -> dict[Held, str]:
    """The package for each thing that one was found for: of several that hold it one that holds
    another, too, else that of the shortest name. `said`: what the script printed."""
    found: dict[int, set[str]] = {}
    for number, names in _SAID.findall(said):
        if int(number) < len(wanted):
            plain = (name.strip() for name in names.split(","))
            found.setdefault(int(number), set()).update(filter(_PACKAGE.fullmatch, plain))
    chosen: dict[Held, str] = {}
    for number, names in sorted(found.items(), key=lambda item: len(item[1])):
        if names:
            again = names & set(chosen.values())
            chosen[wanted[number]] = min(again or names, key=lambda name: (len(name), name))
    return chosen


def modules_of(held: Held) -> tuple[str, ...]:
    """pkg-config's modules that something may belong to, where an index has nothing better."""
    if held.kind == "pkgconfig":
        return (held.name,)
    stem = held.name.rpartition("/")[2].removesuffix(".h")
    return tuple(dict.fromkeys((stem, f"lib{stem}", stem.lower())))


def escaped(name: str) -> str:
    """A name in an extended regular expression."""
    return re.sub(r"[.+]", r"\\\g<0>", name)


def paths_of(held: Held, libraries: str) -> tuple[str, ...]:
    """Extended regular expressions for files, without the first slash, that are what is looked
    for. `libraries`: one for the folders of libraries."""
    name, lower = escaped(held.name), escaped(held.name.lower())
    match held.kind:
        case "pkgconfig":
            return (rf"({libraries}|usr/share)/pkgconfig/{name}\.pc",)
        case "cmake":
            at = rf"({libraries}|usr/share)(/cmake)?(/[^/ ]+)?(/cmake)?"
            return (rf"{at}/({name}Config|{lower}-config)\.cmake",)
        case "lib":
            return (rf"{libraries}/lib{name}\.(so|a)",)
        case "header":
            return (rf"usr/include(/[^/ ]*-gnu[^/ ]*)?/{name}",)
        case _:
            return (rf"(usr/)?s?bin/{name}",)


def capabilities_of(held: Held) -> tuple[str, ...]:
    """What packages of RPM's provide, and paths."""
    match held.kind:
        case "pkgconfig":
            return (f"pkgconfig({held.name})",)
        case "cmake":
            modules = modules_of(held)
            names = dict.fromkeys((held.name, held.name.lower()))
            return (*(f"cmake({n})" for n in names), *(f"pkgconfig({m})" for m in modules))
        case "lib":
            more = (f"pkgconfig({m})" for m in modules_of(held))
            return (f"/usr/lib64/lib{held.name}.so", f"/usr/lib/lib{held.name}.so", *more)
        case "header":
            more = (f"pkgconfig({m})" for m in modules_of(held))
            return (f"/usr/include/{held.name}", *more)
        case _:
            return (f"/usr/bin/{held.name}", f"/usr/sbin/{held.name}")
