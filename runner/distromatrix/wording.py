"""How messages about input are put: values quoted, types in plain words, near names found."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

_LONGEST = 60


def quoted(text: str) -> str:
    """A value as a message shows it: short, on one line, control characters made visible."""
    cut = text if len(text) <= _LONGEST else text[: _LONGEST - 1] + "…"
    return "`" + "".join(c if c.isprintable() else ascii(c)[1:-1] for c in cut) + "`"


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


def did_you_mean(word: str, known: Iterable[str], *, most: int = 1) -> str:
    """`did you mean …?`, or nothing where no known name is near."""
    from difflib import get_close_matches

    near = get_close_matches(word[:_LONGEST], list(known), n=most, cutoff=0.6)
    return f"did you mean {listing(near)}?" if near else ""
