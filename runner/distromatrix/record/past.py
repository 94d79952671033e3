"""What earlier runs say of a cell or a case that fails now: since when, and how often."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from statistics import median

from distromatrix.model import Case

GREEN = ("passed",)
RED = ("failed", "error", "flaky")
# What came of cases: of several of the same name, what stands further left is what is remembered.
OUTCOMES = ("failed", "error", "xpassed", "flaky", "xfailed", "skipped", "passed")
_SOMETIMES = ({"passed", "failed"}, {"passed", "error"})
LATELY = 20  # runs by which flakiness is told
_FLIPS = 2  # times that it went from green to red in these, that are no accident
_FEW = 5  # runs whose median is a time
_GROWN, _SECONDS = 1.5, 0.5  # that much longer, by a factor and in seconds, is slower


def outcome_of(before: str, case: Case, *, again: bool) -> str:
    """What a case comes to (one of OUTCOMES) where another of its name came to `before` in the same
    cell ('': none did); `again`: it may have been in another of the cell's runs."""
    new = "flaky" if case.flaky else case.status
    if again and ("flaky" in (before, new) or {before, new} in _SOMETIMES):
        return "flaky"
    return min(before, new, key=OUTCOMES.index) if before else new


@dataclass(frozen=True, slots=True)
class Seen:
    """What came of a cell, or of a case of it, in a run that began at `time` (seconds since the
    epoch) at that commit ('' where it is not known)."""

    run: str
    time: float
    commit: str
    status: str
    seconds: float

    @property
    def when(self) -> str:
        """Its time here, and its commit in short."""
        try:
            at = time.strftime("%Y-%m-%d %H:%M", time.localtime(self.time))
        except (ValueError, OverflowError, OSError):
            at = "an unknown time"
        commit = self.commit[:7] if self.commit.isalnum() and self.commit.isascii() else ""
        return f"{at} ({commit})" if commit else at


@dataclass(frozen=True, slots=True)
class Past:
    """What a sequence of runs comes to, those alone that were red or green. `red`: how many of the
    last were red in a row, the first of them `since`; `green`: the last green one; `failed` of the
    `lately` last runs were red, and `flips` times one was red after a green one."""

    red: int
    since: Seen | None
    green: Seen | None
    failed: int
    lately: int
    flips: int

    @classmethod
    def of(cls, seen: Sequence[Seen], cell: bool = False) -> Past:
        """Of runs, the newest last. A `cell` is red where it failed; an error is none of its."""
        red = ("failed",) if cell else RED
        told = [one for one in seen if one.status in red or one.status in GREEN]
        last = next((n for n, one in enumerate(reversed(told)) if one.status in GREEN), len(told))
        lately = [one.status in red for one in told[-LATELY:]]
        return cls(
            red=last,
            since=told[-last] if last else None,
            green=told[-last - 1] if last < len(told) else None,
            failed=sum(lately),
            lately=len(lately),
            flips=sum(now and not before for before, now in pairwise(lately)),
        )

    @property
    def flaky(self) -> bool:
        """Whether it kept changing."""
        return self.flips >= _FLIPS

    def describe(self, *, now: bool) -> str:
        """In a few words; `now`: it fails once more in a run that is not of these."""
        count = self.red + now
        if self.flaky:
            return f"flaky: failed in {self.failed + now} of the last {self.lately + now} runs"
        if not self.lately or not count:
            return ""
        if self.since is None:
            return f"new: passed on {self.green.when}" if self.green else ""
        return f"failing for {count} runs, since {self.since.when}"


def grown(seen: Sequence[Seen]) -> tuple[float, float] | None:
    """Seconds before and now, where it has become slower: medians of the first and of the last of
    the runs in which it passed."""
    times = [one.seconds for one in seen if one.status in GREEN and one.seconds > 0]
    if len(times) < 2 * _FEW:
        return None
    before, after = median(times[:_FEW]), median(times[-_FEW:])
    return (before, after) if after > before * _GROWN and after > before + _SECONDS else None
