"""Since when what fails has failed: by the history of the project's runs."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence

from distromatrix.record.history import CaseOf
from distromatrix.record.past import Past, Seen
from distromatrix.reports.grouping import Failure, Group
from distromatrix.wording import some_of

Earlier = Mapping[CaseOf, Sequence[Seen]]
# What came of cells and cases in the runs before this one.
AskEarlier = Callable[[Iterable[CaseOf]], Earlier]
_LINES = 3
_NAMES = 3  # in one of them


def ask_nothing(asked: Iterable[CaseOf]) -> Earlier:  # noqa: ARG001
    """Where there is no history."""
    return {}


def since_lines(group: Group, ask: AskEarlier) -> tuple[str, ...]:
    """What the earlier runs of a group's failures say: a line for those of which it is the same,
    with their names where others are in the group. Unescaped."""
    earlier = ask(one for failure in group.failures for one in _asked(failure))
    said: dict[str, list[str]] = {}
    for failure in group.failures:
        said.setdefault(_describe(failure, earlier), []).append(_name(failure))
    if len(said) == 1:
        return tuple(filter(None, said))
    lines = [f"{text}: {some_of(names, _NAMES)}" for text, names in said.items() if text]
    more = len(lines) - _LINES
    return (*lines[:_LINES], *((f"and {more:,} other histories",) if more > 0 else ()))


def _asked(failure: Failure) -> tuple[CaseOf, ...]:
    return tuple((cell, failure.case.name if failure.case else "") for cell in failure.cells)


def _name(failure: Failure) -> str:
    return failure.case.name.rpartition("::")[2] if failure.case else failure.column


def _describe(failure: Failure, earlier: Earlier) -> str:
    pasts = {
        one[0]: Past.of(earlier.get(one, ()), cell=failure.case is None) for one in _asked(failure)
    }
    told = {cell: text for cell, past in pasts.items() if (text := past.describe(now=True))}
    if len(set(told.values())) < 2:
        return next(iter(told.values()), "")
    new = tuple(cell.partition("/")[0] for cell in told if not pasts[cell].red)
    longest = max(told, key=lambda cell: pasts[cell].red)
    if not pasts[longest].red:
        return told[longest]
    text = told[longest]
    return f"new on {some_of(new, _NAMES)}; elsewhere {text}" if new else text
