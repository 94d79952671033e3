"""What rules expect to fail, held against what did: first case by case, then for the cell. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from fnmatch import translate

from distromatrix.model import (
    Case,
    CaseCounts,
    CaseStatus,
    Expectation,
    FailureKind,
    Phase,
    Unmatched,
    Verdict,
)

CRASHED = 126  # from this exit status on it is no failing test: not found, no program, a signal
_NAMED = 3  # cases in a reason
_WORDS = 5_000  # that a glob's are compared with
_LOOKED_UP = 20  # globs that near names are looked for


def literal(glob: str) -> str | None:
    """The one name that a glob matches; None where it may match others."""
    plain = re.sub(r"\[([*?[])\]", r"\1", glob)
    return None if re.search(r"[*?[]", re.sub(r"\[[*?[]\]", "", glob)) else plain


class Marker:
    """Gives each case of a report the status that the rules make of it, and remembers which
    rules a case has met, and which globs a case that ran."""

    def __init__(self, expected: Iterable[Expectation]) -> None:
        expected = tuple(expected)
        self._named = tuple(one for one in expected if one.cases)
        whole = (one for one in expected if not one.cases and "run" in one.kinds)
        self._whole = None if self._named else next(whole, None)
        self._exact: dict[str, list[tuple[Expectation, str]]] = {}
        self._globs: list[tuple[re.Pattern[str], Expectation, str]] = []
        for one in self._named:
            for glob in one.cases:
                if (name := literal(glob)) is not None:
                    self._exact.setdefault(name, []).append((one, glob))
                else:
                    self._globs.append((re.compile(translate(glob)), one, glob))
        # One look tells most names apart that none of the globs matches.
        self._any = re.compile("|".join(pattern.pattern for pattern, _, _ in self._globs) or "(?!)")
        self._met: dict[Expectation, None] = {}
        self._ran: set[tuple[Expectation, str]] = set()

    def mark(self, case: Case) -> Case:
        """The case as the rules see it: `xfailed` or `xpassed` with the reason, or as it was.
        One that failed before it passed is no reason to take a rule back."""
        failed = case.status in ("failed", "error") or case.flaky
        if case.status == "skipped":
            return case
        if self._whole is not None:
            if not failed:
                return case
            self._met[self._whole] = None
            return replace(case, status="xfailed", expected=self._whole.reason)
        found = self._matching(case.name)
        if not found:
            return case
        self._ran.update(found)
        if failed:
            self._met |= {one: None for one, _ in found}
        status: CaseStatus = "xfailed" if failed else "xpassed"
        return replace(case, status=status, expected=found[0][0].reason)

    def _matching(self, name: str) -> list[tuple[Expectation, str]]:
        found = list(self._exact.get(name, ()))
        if self._globs and self._any.match(name):
            found += [(one, glob) for pattern, one, glob in self._globs if pattern.match(name)]
        return found

    @property
    def met(self) -> tuple[Expectation, ...]:
        """The rules by which a case failed as expected."""
        return tuple(one for one in self._met)

    def unmatched(self, names: Iterable[str]) -> tuple[Unmatched, ...]:
        """The globs that matched no case that ran, each with the name that is near among
        `names`."""
        left = [(one, g) for one in self._named for g in one.cases if (one, g) not in self._ran]
        words = _words(names) if left else {}
        return tuple(
            Unmatched(glob=g, reason=one.reason, near=_near(g, words) if n < _LOOKED_UP else "")
            for n, (one, g) in enumerate(left)
        )


def _words(names: Iterable[str]) -> dict[str, str]:
    """The words of names, each with the first name that it is in."""
    found: dict[str, str] = {}
    for name in names:
        for word in re.findall(r"\w+", name.casefold()):
            if len(found) < _WORDS:
                found.setdefault(word, name)
    return found


def _near(glob: str, words: dict[str, str]) -> str:
    """The name that has the word most like the longest of the glob's."""
    from difflib import get_close_matches

    asked = max(re.findall(r"\w+", glob.casefold()), key=len, default="")
    near = get_close_matches(asked, words, n=1, cutoff=0.7)
    return words[near[0]] if near else ""


@dataclass(frozen=True, slots=True, kw_only=True)
class CellEnd:
    """How a cell ended. `kinds`: how it failed, in which `phase`, and `reason`, in words, without
    regard to what was expected; `status`: the exit status, where the command ended by itself."""

    kinds: tuple[FailureKind, ...]
    phase: Phase | None
    reason: str
    status: int | None
    counts: CaseCounts


def judge_expected(
    ended: CellEnd,
    expected: tuple[Expectation, ...],
    met: tuple[Expectation, ...],
    xpassed: tuple[Case, ...],
) -> tuple[Verdict, Phase | None, str]:
    """The verdict on a cell some of which is expected to fail, and why. `met`: the rules by which
    a case failed as expected; `xpassed`: cases that passed against one."""
    whole = next((one for one in expected if not one.cases), None)
    came = whole is not None and not {*whole.kinds}.isdisjoint(ended.kinds)
    if any(not _covers(kind, ended, whole, met) for kind in ended.kinds):
        return Verdict.FAILED, ended.phase, _said_of_failure(ended, whole, met, xpassed)
    reasons = []
    if xpassed:
        reasons.append(said_of_cases(ended.counts.xpassed, xpassed))
    if whole is not None and not came:
        what = (
            f"did not fail in {_listed(whole.kinds)}, as expected"
            if ended.kinds
            else ("passed, but was expected to fail")
        )
        reasons.append(f"{what}: {whole.reason}")
    if reasons:
        return Verdict.XPASSED, Phase.RUN, "; ".join(reasons)
    if not ended.kinds:
        return Verdict.PASSED, None, ""
    known = said_of_rules((*met, *([whole] if whole and came else [])))
    return Verdict.XFAILED, ended.phase, f"{known} ({ended.reason})"


def _covers(
    kind: FailureKind, ended: CellEnd, whole: Expectation | None, met: tuple[Expectation, ...]
) -> bool:
    """Whether a rule expects that kind of failure: every failing case, and the exit status."""
    by_whole = whole if whole is not None and kind in whole.kinds else None
    if kind not in ("run", "setup"):
        return by_whole is not None
    if kind == "run" and ended.counts.failed:
        return False
    covering = [*(met if kind == "run" else ()), *([by_whole] if by_whole else [])]
    if not ended.status:
        return bool(covering)
    return any(_allows(one, ended.status) for one in covering)


def _allows(one: Expectation, status: int) -> bool:
    if one.statuses:
        return status in one.statuses
    return not one.cases or status < CRASHED


def _said_of_failure(
    ended: CellEnd,
    whole: Expectation | None,
    met: tuple[Expectation, ...],
    xpassed: tuple[Case, ...],
) -> str:
    reason = ended.reason
    known = said_of_rules((*met, *([whole] if whole else [])))
    if known and not ended.counts.failed:
        reason += f", which no rule expects; expected is: {known}"
    if xpassed:
        reason += f"; {said_of_cases(ended.counts.xpassed, xpassed)}"
    return reason


def said_of_rules(rules: Iterable[Expectation]) -> str:
    """Why they expect something to fail."""
    return "; ".join(dict.fromkeys(one.reason for one in rules))


def said_of_cases(number: int, xpassed: tuple[Case, ...]) -> str:
    """What is said of so many cases that passed, though rules expect them to fail."""
    names = ", ".join(case.name for case in xpassed[:_NAMED])
    more = f" and {number - _NAMED:,} more" if number > _NAMED else ""
    why = "; ".join(dict.fromkeys(case.expected for case in xpassed[:_NAMED]))
    were = "was" if number == 1 else "were"
    return f"passed, but {were} expected to fail: {names}{more} ({why})"


def _listed(kinds: tuple[FailureKind, ...]) -> str:
    return " and ".join(f"`{kind}`" for kind in kinds)


def unmatched_lines(unmatched: Iterable[Unmatched]) -> Iterator[str]:
    """What is said of globs of rules that matched no case that ran."""
    for one in unmatched:
        near = f"; did you mean `{one.near}`?" if one.near else ""
        yield f"a rule expects cases `{one.glob}` to fail, and none that ran is called so{near}"
