"""Which cells are wanted: by selectors (globs per path segment over cell ids; a shorter one
selects all below), by tags and by the matrix's own sets."""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable, Iterable, Mapping, Sequence
from fnmatch import fnmatchcase, translate
from functools import cache

from distromatrix.errors import InputError, NothingSelectedError
from distromatrix.model import CellSet, Selection
from distromatrix.wording import near_names

NOT = "!"  # before a tag that is not wanted


class Selector:
    """One compiled selector such as `debian-*/unit`. It remembers what a segment matched:
    a plan has many cells, but few names."""

    def __init__(self, text: str) -> None:
        self.text = text
        self._segments = [_remembering(glob) for glob in text.strip("/").split("/")]

    def matches(self, cell_id: str) -> bool:
        """Whether it selects that cell."""
        parts = cell_id.split("/")
        return len(parts) >= len(self._segments) and all(
            match(part) for match, part in zip(self._segments, parts, strict=False)
        )


def _remembering(glob: str) -> Callable[[str], bool]:
    pattern = re.compile(translate(glob))
    return cache(lambda part: pattern.match(part) is not None)


def select(
    tags: Mapping[str, Sequence[str]], selection: Selection, sets: Sequence[CellSet] = ()
) -> dict[str, str]:
    """Of the cells those that are left out, each with the reason. `tags` has those of each cell,
    by its id; `sets` are the matrix's.

    Raises InputError for a set that is not among them, and NothingSelectedError for every
    selector (`--exclude` too: a misspelt one would run what was meant to be left out) and every
    tag (`!tag`, too) that matches no cell at all, and if nothing is left; but not where nothing is
    because all suites that are wanted are `untouched`.
    """
    within = _sets(selection.sets, sets)
    wanted = [Selector(text) for text in selection.selectors]
    unwanted = [Selector(text) for text in selection.exclude]
    idle = [_nothing(s.text, tags) for s in (*wanted, *unwanted) if not any(map(s.matches, tags))]
    there = dict.fromkeys(tag for of_cell in tags.values() for tag in of_cell)
    idle += [_no_tag(tag, there) for tag in selection.tags if tag.removeprefix(NOT) not in there]
    if idle:
        raise NothingSelectedError("\n".join(idle))
    left_out: dict[str, str] = {}
    chosen = " ".join(s.text for s in wanted)
    for cell_id, of_cell in tags.items():
        excluded = next((s.text for s in unwanted if s.matches(cell_id)), None)
        if excluded is not None:
            left_out[cell_id] = f"excluded by {excluded}"
        elif wanted and not any(s.matches(cell_id) for s in wanted):
            left_out[cell_id] = f"not selected by {chosen}"
        elif selection.tags and not tagged(of_cell, selection.tags):
            left_out[cell_id] = f"not selected by --tag {' '.join(selection.tags)}"
        elif within and not any(_within(one, cell_id, of_cell) for one in within):
            left_out[cell_id] = f"not in the set {' or '.join(selection.sets)}"
    if len(left_out) == len(tags):
        raise NothingSelectedError(_all_left_out(selection))
    for cell_id in tags:
        why = selection.untouched.get(cell_id.split("/")[1])
        if why is not None:
            left_out.setdefault(cell_id, why)
    return left_out


def tagged(tags: Iterable[str], wanted: Iterable[str]) -> bool:
    """Whether those are the tags of a cell that is wanted: one of them, where any is asked for,
    and none that is written with `!`."""
    there, asked = set(tags), set(wanted)
    positive = {tag for tag in asked if not tag.startswith(NOT)}
    negative = {tag.removeprefix(NOT) for tag in asked - positive}
    return not there & negative and (not positive or bool(there & positive))


def matches_any(name: str, globs: Iterable[str]) -> bool:
    """Whether one of the globs matches."""
    return any(fnmatchcase(name, glob) for glob in globs)


def _within(one: CellSet, cell_id: str, tags: Iterable[str]) -> bool:
    distro = cell_id.partition("/")[0]
    return tagged(tags, one.tags) and matches_any(distro, one.distros)


def _sets(names: Iterable[str], sets: Iterable[CellSet]) -> tuple[CellSet, ...]:
    known = {one.name: one for one in sets}
    unknown = [name for name in dict.fromkeys(names) if name not in known]
    if unknown:
        there = f"there is {', '.join(known)}" if known else "the matrix names none: `sets:`"
        raise InputError(*(f"no set {_named(name, known, there)}" for name in unknown))
    return tuple(known[name] for name in names)


def _no_tag(tag: str, known: Iterable[str]) -> str:
    there = ", ".join(known)
    there = f"there is {there}" if there else "no cell has any"
    return f"no cell has the tag {_named(tag.removeprefix(NOT), known, there)}"


def _named(name: str, known: Iterable[str], there: str) -> str:
    """A name that is not known, and those that are near, else all of them."""
    return f"{_shown(name[:80])} ({_near(name, known) or there[:200]})"


def _near(name: str, known: Iterable[str]) -> str:
    near = near_names(name, known, 3, cutoff=0.5)
    return f"did you mean {' or '.join(near)}?" if near else ""


def _all_left_out(selection: Selection) -> str:
    if not selection.tags and not selection.sets:
        return "nothing selected: what is selected is also excluded"
    kinds = {
        "": selection.selectors,
        "--exclude ": selection.exclude,
        "--tag ": selection.tags,
        "--set ": selection.sets,
    }
    words = " ".join(f"{kind}{text}" for kind, texts in kinds.items() for text in texts)
    return f"nothing selected: no cell is all of {_shown(words)}"


def _shown(text: str) -> str:
    return (text if text.isprintable() else ascii(text)[1:-1]) or repr(text)


def _nothing(text: str, ids: Mapping[str, object]) -> str:
    bare = text.strip("/")
    below = shlex.quote(f"*/{bare}")  # where the distro was left out
    if bare and any(map(Selector(f"*/{bare}").matches, ids)):
        return f"no cell matches {_shown(text)} (did you mean {_shown(below)}?)"
    # Near are ids of the same depth: `debian-21` is no near name of `debian-12/unit`.
    depth = bare.count("/") + 1
    names = dict.fromkeys("/".join(cell_id.split("/")[:depth]) for cell_id in ids)
    suites = dict.fromkeys(cell_id.split("/")[1] for cell_id in ids)
    hint = _near(text, names)
    if not hint and depth == 1 and (near := near_names(text, suites, 1)):
        hint = f"did you mean '*/{near[0]}'?"
    return f"no cell matches {_shown(text)} ({hint or '`distromatrix plan` lists all'})"
