"""How messages about input are put: values quoted, types in plain words, near names found."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

_LONGEST = 60
_SHORTEST = 3  # of the beginning of a name


def quoted(text: str) -> str:
    """A value as a message shows it: short, on one line, control characters made visible."""
    return f"`{visible(text if len(text) <= _LONGEST else text[: _LONGEST - 1] + '…')}`"


def visible(text: str, *, kept: str = "") -> str:
    """The text with all characters that print nothing made visible, but those that are `kept`."""
    return "".join(c if c.isprintable() or c in kept else ascii(c)[1:-1] for c in text)


def kind(value: object) -> str:
    """What a value read from YAML is, in words."""
    if isinstance(value, str):
        return quoted(value) if value else "nothing"
    return "a list" if isinstance(value, list) else "a mapping"


def listing(names: Iterable[str]) -> str:
    """Names as a message lists them: `a`, `b` or `c`."""
    parts = [quoted(name) for name in names]
    return " or ".join([", ".join(parts[:-1]), parts[-1]] if len(parts) > 1 else parts)


def some_of(names: Sequence[str], most: int) -> str:
    """The first of many names, and how many more there are: `a, b and 3 more`."""
    more = len(names) - most
    return ", ".join(names[:most]) + (f" and {more:,} more" if more > 0 else "")


def counted(number: int, word: str) -> str:
    """`1 cell`, `2 cells`, `1,000 cells`."""
    return f"{number:,} {word}" + ("" if number == 1 else "s")


def did_you_mean(word: str, known: Iterable[str], *, most: int = 1) -> str:
    """`did you mean …?`, or nothing where no known name is near."""
    near = near_names(word, known, most)
    return f"did you mean {listing(near)}?" if near else ""


def near_names(word: str, known: Iterable[str], most: int, cutoff: float = 0.6) -> list[str]:
    """The known names that are near, the likeliest first: those that begin with the word, then
    the most similar. Of releases that are as near, the newest comes first, and what has no number
    (`edge`, `sid`) last."""
    from difflib import SequenceMatcher, get_close_matches

    names, word = list(known), word[:_LONGEST]
    matcher = SequenceMatcher(b=word)

    def rank(name: str) -> tuple[bool, list[int], float, list[int]]:
        release = [-int(number[:9]) for number in re.findall("[0-9]+", name)] or [1]
        matcher.set_seq1(name)
        begins = name in beginning
        return not begins, release if begins else [], -matcher.ratio(), release

    beginning = {n for n in names if len(word) >= _SHORTEST and n.startswith(word)}
    close = get_close_matches(word, names, max(1, len(names)), cutoff)
    return sorted(dict.fromkeys((*close, *beginning)), key=rank)[:most]
