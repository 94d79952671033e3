"""Selectors: globs per path segment over cell ids. A shorter one selects all below."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from fnmatch import translate

from distromatrix.errors import NothingSelectedError
from distromatrix.model import Selection


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
    seen: dict[str, bool] = {}

    def match(part: str) -> bool:
        if part not in seen:
            seen[part] = pattern.match(part) is not None
        return seen[part]

    return match


def select(ids: Sequence[str], selection: Selection) -> dict[str, str]:
    """Of `ids` those that are left out, each with the reason.

    Raises NothingSelectedError for every selector (`--exclude` too: a misspelt one would run
    what was meant to be left out) that matches no cell at all, and if nothing is left.
    """
    wanted = [Selector(text) for text in selection.selectors]
    unwanted = [Selector(text) for text in selection.exclude]
    idle = [s.text for s in (*wanted, *unwanted) if not any(map(s.matches, ids))]
    if idle:
        raise NothingSelectedError("\n".join(_nothing(text, ids) for text in idle))
    left_out: dict[str, str] = {}
    chosen = " ".join(s.text for s in wanted)
    for cell_id in ids:
        excluded = next((s.text for s in unwanted if s.matches(cell_id)), None)
        if excluded is not None:
            left_out[cell_id] = f"excluded by {excluded}"
        elif wanted and not any(s.matches(cell_id) for s in wanted):
            left_out[cell_id] = f"not selected by {chosen}"
    if len(left_out) == len(ids):
        raise NothingSelectedError("nothing selected: what is selected is also excluded")
    return left_out


def _nothing(text: str, ids: Iterable[str]) -> str:
    from difflib import get_close_matches

    # Near are ids of the same depth: `debian-21` is no near name of `debian-12/unit`.
    depth = text.strip("/").count("/") + 1
    names = dict.fromkeys("/".join(cell_id.split("/")[:depth]) for cell_id in ids)
    near = get_close_matches(text[:200], list(names), n=3, cutoff=0.5)
    shown = text if text.isprintable() else ascii(text)[1:-1]
    hint = f"did you mean {' or '.join(near)}?" if near else "`distromatrix plan` lists all"
    return f"no cell matches {shown or repr(shown)} ({hint})"
