"""The words and numbers with which test tools say how a case came out, beside JUnit's elements.

Words are compared without case, spaces, dashes and underscores.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from distromatrix.model import CaseStatus

# In `status`, `result`, `outcome` and `state` of a case or a suite: GoogleTest (run, notrun;
# completed, skipped, suppressed), CTest (run, fail, notrun, disabled), NUnit (Success, Failure,
# Inconclusive), xUnit.net (Pass, Fail, Skip), Robot Framework (PASS, NOT RUN), Qt 5 (pass, xpass),
# behave (untested, undefined), Allure (broken), Bazel (interrupted), Mocha (pending).
_WORDS: Mapping[CaseStatus, str] = {
    "failed": "failed fail failure failures failing xpass unexpectedpass notok nok ko timeout "
    "timedout interrupted aborted cancelled canceled unsuccessful undefined",
    "error": "error errored errors err broken crash crashed exception fatal killed",
    "skipped": "skipped skip notrun disabled suppressed ignored ignore pending todo notexecuted "
    "untested inconclusive excluded notapplicable xfail xfailed expectedfailure bfail",
    "passed": "passed pass ok success successful succeeded run completed complete done executed "
    "fixed flaky bpass xpassed true",
}
_STATUS: Mapping[str, CaseStatus] = {
    word: status for status, words in _WORDS.items() for word in words.split()
}
_KEYS = ("status", "result", "outcome", "state")
# What such an attribute of a case says when its value is false: NUnit 2.
_FALSE: Mapping[str, CaseStatus] = {"success": "failed", "passed": "failed", "executed": "skipped"}
_SAYING = frozenset((*_KEYS, *_FALSE))
_NO = ("false", "no", "0")
# A failure that its tool lets pass and counts all the same: Qt 5 of blacklisted tests.
_TOLERATED = {"bfail", "xfail", "xfailed", "expectedfailure"}
RANK: Mapping[str, int] = {"passed": 0, "skipped": 1, "failed": 2, "error": 2}


@dataclass(frozen=True, slots=True)
class Said:
    """What the attributes of a case or suite say. `word`: the attribute with it, as written;
    `tolerated`: of a failure that does not count; `unknown`: a word that says nothing to us."""

    status: CaseStatus = "passed"
    word: str = ""
    tolerated: bool = False
    unknown: str = ""


NOTHING_SAID = Said()


def said_in(attributes: Mapping[str, str]) -> Said:
    """The worst of what the attributes (their names in lower case) say."""
    if _SAYING.isdisjoint(attributes):  # as of most cases of most tools
        return NOTHING_SAID
    known, unknown = NOTHING_SAID, ""
    for said in _each(attributes):
        unknown = unknown or said.unknown
        if not said.unknown and (not known.word or RANK[said.status] > RANK[known.status]):
            known = said
    return known if known.word or not unknown else Said(unknown=unknown)


def _each(attributes: Mapping[str, str]) -> Iterator[Said]:
    for key in _KEYS:
        word = attributes.get(key, "")
        plain = re.sub(r"[\s_-]+", "", word[:100]).lower()
        if not plain:
            continue
        if (status := _STATUS.get(plain)) is None:
            yield Said(unknown=f'{key}="{word}"')
        else:
            yield Said(status, f'{key}="{word}"', plain in _TOLERATED)
    for key, status in _FALSE.items():
        word = attributes.get(key, "")
        if word.strip().lower() in _NO:
            yield Said(status, f'{key}="{word}"')


# 1,234 · 1.234 · 1 234 · 1'234, with the spaces that typesetting knows
_GROUPS = re.compile(r"[1-9]\d{0,2}([.,' _\u00a0\u2009\u202f]\d{3})+", re.ASCII)
_SPACES = re.compile(r"(?<=\d)[' _\u00a0\u2009\u202f](?=\d)", re.ASCII)
_NUMBER = re.compile(
    r"(?P<number>[\d.,]+)(?P<exponent>e[+-]?\d{1,3})?\s*(?P<unit>ms|s|sec|secs|seconds)?",
    re.ASCII | re.IGNORECASE,
)
_LONGEST = 40  # characters of a number


def count_of(text: str) -> int | None:
    """How many, as test tools write it, in any country; None for what is not a number."""
    text = text.strip()
    if len(text) > _LONGEST:
        return None
    if _GROUPS.fullmatch(text):
        text = re.sub(r"\D", "", text)
    text = re.sub(r"[.,]0+$", "", text)
    return int(text) if text.isascii() and text.isdigit() else None


def seconds_of(text: str) -> float:
    """A duration, as test tools write it: `1,234.5`, `1.234,5`, `0,12`, `3 s`, `12ms`; what is
    none is 0. Of a comma alone, `1,234`, the digits behind it are a fraction: a whole number of
    thousands of seconds is rarer."""
    text = text.strip()
    match = _NUMBER.fullmatch(_SPACES.sub("", text)) if len(text) <= _LONGEST else None
    if match is None:
        return 0.0
    number, exponent = match["number"], match["exponent"] or ""
    mark = max(".,", key=number.rfind)  # the later one is the decimal mark, if there is one
    whole, fraction = number, ""
    if number.count(mark) == 1:
        whole, _, fraction = number.rpartition(mark)
    try:
        value = float(f"{re.sub('[.,]', '', whole) or 0}.{fraction or 0}{exponent}")
    except ValueError:
        return 0.0
    value = value / 1000 if (match["unit"] or "").lower() == "ms" else value
    return value if 0 <= value < 1e9 else 0.0
