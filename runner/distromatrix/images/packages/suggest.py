"""What a package that does not exist may have been meant to be."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from difflib import get_close_matches

_NEAR = 3  # names offered for one that is not there
_HINTED = 5  # names that are not there and get a hint
_CUTOFF = 0.8  # of difflib's ratio: `python3-pytset` and `python3-pytest` have 0.93


def hint(
    missing: tuple[str, ...],
    available: tuple[str, ...],
    common: Mapping[str, tuple[str, ...]],
) -> Iterator[str]:
    """Hints for names that were not found, each a part of a sentence. `available`: the native
    names that there are (a hundred thousand take some 0.2 s a missing name), `common`: the
    distro's common names and what they stand for."""
    near = []
    for name in missing[:_HINTED]:
        if found := get_close_matches(name, available, _NEAR, _CUTOFF):
            near.append(", ".join(found) + (f" (for {name})" if len(missing) > 1 else ""))
    if near:
        yield f"near: {'; '.join(near)}"
    for word in dict.fromkeys(w for name in missing[:_HINTED] for w in _common(name, common)):
        yield f"the common name `{word}` stands for {' '.join(common[word])} here"


def _common(name: str, common: Mapping[str, tuple[str, ...]]) -> list[str]:
    """The common name that another distribution's native one may have come from: its last
    word (`pytest` of `python3-pytest`), or one that it is nearly."""
    last = name.rpartition("-")[2]
    words = [last] if last in common else get_close_matches(name, common, 1, _CUTOFF)
    return [word for word in words if name not in common[word]]
