"""What a JUnit file says, event by event: its cases, and whether it agrees with itself.

There is no one standard; what is read here is what pytest, Maven, Gradle, go-junit-report,
gtest, CTest and others have in common: https://github.com/testmoapp/junitxml
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from distromatrix.collect.errors import CollectError
from distromatrix.collect.outcomes import NOTHING_SAID, RANK, Said, count_of, said_in, seconds_of
from distromatrix.collect.report_text import restored
from distromatrix.collect.text import one_line, printable, shorten
from distromatrix.model import Case, CaseStatus

MAX_NAME = 1024
MAX_DEPTH = 100
_ADDED = 3  # levels that a report may have more once it is stored among others
_MAX_TEXT = 16 * 1024  # characters of a failure's own text
_MAX_MESSAGE = 4096
_MAX_WARNINGS = 3  # of a kind

_SUITES = ("testsuites", "testsuite")
_OUTCOMES: Mapping[str, CaseStatus] = {"failure": "failed", "error": "error", "skipped": "skipped"}
# Attempts of a case that was tried again, as Surefire and nextest write them: it passed in the
# end (flaky…), or never did (rerun…, beside a <failure> or <error>).
_FLAKY = ("flakyfailure", "flakyerror")
_RERUN = ("rerunfailure", "rerunerror")
_OUTPUT = ("system-out", "system-err", "properties")  # nothing in there is an outcome
# What a <skipped> says beside the failures of a case that may have some: Node's `todo`, Catch2.
_MAY_FAIL = re.compile(r"todo|TEST_CASE tagged with !(mayfail|shouldfail)")
# An <error> that is none: PHPUnit of a test that asserts nothing (`failOnRisky` is its status's).
_NO_ERROR = r"PHPUnit\Framework\RiskyTestError"
# Qt 5 counts each message of a test as one of the suite's errors, and writes it as a comment.
_QT_MESSAGE = re.compile(r'type="(q?warn|system|qdebug|qfatal|skip|q?info|qcritical)"')


@dataclass(slots=True)
class _Scope:
    """A suite, or all of them: what its attributes say of failures, and what lies in it shows."""

    name: str = ""
    root: bool = False
    counts: dict[str, int] = field(default_factory=dict)  # failures, errors; where they say more
    said: Said = NOTHING_SAID
    shown: int = 0  # cases that failed, and failures of a case beyond its first
    attempts: int = 0  # failures that a tool may count though they fail nothing

    def contradiction(self) -> str:
        """Where its attributes tell of failures that nothing in it shows."""
        name = one_line(restored(self.name), 100)
        what = f'suite "{name}"' if name else "the root" if self.root else "a suite"
        if RANK[self.said.status] > RANK["skipped"] and not self.shown:
            return f"{what} says {one_line(restored(self.said.word))}, its cases show no failure"
        claimed = sum(self.counts.values())
        # Mocha's own reporter says of each failure that it is one and an error, too.
        both = set(self.counts.values()) == {self.shown} and len(self.counts) == 2
        if claimed <= self.shown + self.attempts or both:
            return ""
        counts = " ".join(f'{key}="{count}"' for key, count in self.counts.items())
        return f"attributes of {what} say {claimed} failed ({counts}), its cases show {self.shown}"


@dataclass(slots=True)
class _Open:
    """A case that is being read."""

    attributes: Mapping[str, str]
    said: Said
    status: CaseStatus = "passed"
    message: str = ""
    text: list[str] = field(default_factory=list)
    size: int = 0
    failures: int = 0
    flaky: int = 0
    reruns: int = 0
    may_fail: bool = False
    of_suite: bool = False  # what failed is a suite, not one of its cases


class JUnitCases:
    """Receives the parser's events. Names are compared without their namespace and case.

    `contradiction` (the first) and `warnings` are complete once it was closed; `depth` and
    `started` say how far it came, `deepest` how far it may.
    """

    def __init__(self, on_case: Callable[[Case], None]) -> None:
        self._on_case = on_case
        self.depth = 0
        self.deepest = MAX_DEPTH + _ADDED
        self.started = False
        self.contradiction = ""
        self.warnings: list[str] = []
        self._unknown: dict[str, int] = {}
        self._scopes: list[_Scope] = []
        self._cases: list[_Open] = []
        self._outcome = 0  # > 0: inside a <failure> or the like, at that depth
        self._output = 0  # > 0: inside of output, at that depth

    def start(self, tag: str, attributes: dict[str, str]) -> None:
        """An element begins. Raises CollectError."""
        name = _plain(tag)
        if not self.depth:
            self.started = True
            if name not in _SUITES:
                root = one_line(tag.rpartition("}")[2], 40)
                raise CollectError(
                    f"the JUnit file is none: its root is <{root}>, not <testsuites> or <testsuite>"
                )
        if self.depth == self.deepest:
            raise CollectError(f"the JUnit file is refused: nested deeper than {MAX_DEPTH}")
        self.depth += 1
        if self._output:
            return
        if name in _OUTPUT:
            self._output = self.depth
        elif self._outcome:
            return
        elif name in _SUITES:
            self._begin_suite(attributes)
        elif name == "testcase":
            self._begin(attributes)
        elif name in _OUTCOMES:
            self._begin_outcome(_OUTCOMES[name], attributes)
        elif name in _FLAKY or name in _RERUN:
            self._begin_attempt(name in _FLAKY, attributes)

    def data(self, text: str) -> None:
        """Text, or a piece of it."""
        if self._outcome and not self._output:
            case = self._cases[-1]
            if case.size < _MAX_TEXT:
                case.text.append(text[: _MAX_TEXT - case.size])
                case.size += len(text)

    def comment(self, text: str) -> None:
        """A comment."""
        if self._scopes and _QT_MESSAGE.search(text):
            self._scopes[-1].attempts += 1

    def end(self, tag: str) -> None:
        """An element ends."""
        name = _plain(tag)
        if self._output:
            if self._output == self.depth:
                self._output = 0
        elif self._outcome:
            if self._outcome == self.depth:
                self._outcome = 0
                if self._cases[-1].of_suite:
                    self._finish()
        elif name == "testcase":
            self._finish()
        elif name in _SUITES:
            self._end_suite()
        self.depth -= 1

    def close(self) -> None:
        """At its end."""
        for word, count in self._unknown.items():
            cases = "1 case" if count == 1 else f"{count:,} cases"
            self.warnings.append(
                f"the JUnit file says {word} of {cases}: no outcome that is known here, "
                "so it is not taken for a failure"
            )

    def _begin_suite(self, attributes: Mapping[str, str]) -> None:
        lower = _lower(attributes)
        scope = _Scope(lower.get("name", ""), root=self.depth == 1, said=said_in(lower))
        for key in ("errors", "failures"):
            count = count_of(value := lower.get(key, ""))
            if count:
                scope.counts[key] = count
            elif count is None and value.strip() and len(self.warnings) < _MAX_WARNINGS:
                no_count = f'{key}="{one_line(restored(value), 40)}"'
                self.warnings.append(f"the JUnit file says {no_count}, which is not a number")
        self._scopes.append(scope)

    def _end_suite(self) -> None:
        scope = self._scopes.pop()
        if contradiction := scope.contradiction():
            self.contradiction = self.contradiction or contradiction
        if self._scopes:
            self._scopes[-1].shown += scope.shown
            self._scopes[-1].attempts += scope.attempts

    def _begin(self, attributes: Mapping[str, str]) -> None:
        lower = _lower(attributes)
        said = said_in(lower)
        if said.unknown:
            word = one_line(restored(said.unknown), 60)
            if word in self._unknown or len(self._unknown) < _MAX_WARNINGS:
                self._unknown[word] = self._unknown.get(word, 0) + 1
        self._cases.append(_Open(lower, said, said.status))

    def _begin_outcome(self, status: CaseStatus, attributes: Mapping[str, str]) -> None:
        if not self._cases:  # of a whole suite: its setup failed, say
            if status == "skipped":
                return
            self._cases.append(_Open({"name": self._scopes[-1].name}, NOTHING_SAID, of_suite=True))
        case = self._cases[-1]
        self._outcome = self.depth
        if status == "skipped":
            types = (attributes.get("type", ""), attributes.get("message", ""))
            case.may_fail |= any(map(_MAY_FAIL.fullmatch, types))
        elif attributes.get("type") == _NO_ERROR:
            self._scopes[-1].attempts += 1
            status = "skipped"
        case.failures += status != "skipped"
        if RANK[status] > RANK[case.status] or (case.failures == 1 and status != "skipped"):
            case.status = status
        case.message = case.message or _message_of(attributes)

    def _begin_attempt(self, flaky: bool, attributes: Mapping[str, str]) -> None:
        if not self._cases:
            return
        case = self._cases[-1]
        case.flaky += flaky
        case.reruns += not flaky
        self._outcome = self.depth
        case.message = case.message or _message_of(attributes)

    def _finish(self) -> None:
        case = self._cases.pop()
        status = case.status
        if case.reruns and not case.failures and RANK[status] < RANK["failed"]:
            status = "failed"  # all its attempts did
        scope = self._scopes[-1]
        if case.may_fail and RANK[case.said.status] < RANK["failed"]:
            status, scope.attempts, case.failures = "skipped", scope.attempts + case.failures, 0
        failed = status in ("failed", "error")
        scope.shown += max(case.failures, failed)
        scope.attempts += case.flaky + case.reruns + case.said.tolerated
        said = case.said.word if case.said.status == status != "passed" else ""
        message = case.message or (one_line(restored(said)) if said else "")
        self._on_case(_case(case, status, message, flaky=bool(case.flaky) and status == "passed"))


def _case(case: _Open, status: CaseStatus, message: str, *, flaky: bool) -> Case:
    said = case.attributes
    name = said.get("name") or said.get("id") or "(no name)"
    full = f"{said['classname']}::{name}" if said.get("classname") else name
    text = printable(restored("".join(case.text))).strip("\n") if case.text else ""
    line = said.get("line", "")
    return Case(
        name=one_line(restored(full).replace("\n", " "), MAX_NAME) or "(no name)",
        status=status,
        seconds=seconds_of(said.get("time", "")),
        message=_message(message.strip(), text) if message or text else "",
        text=text,
        file=one_line(file, MAX_NAME) if (file := said.get("file")) else "",
        line=int(line) if line.isascii() and line.isdecimal() and len(line) < 8 else 0,
        flaky=flaky,
    )


def _plain(tag: str) -> str:
    return tag.rpartition("}")[2].lower()


def _lower(attributes: Mapping[str, str]) -> dict[str, str]:
    return {name.lower(): value for name, value in attributes.items()}


def _message_of(attributes: Mapping[str, str]) -> str:
    message = attributes.get("message") or attributes.get("type") or ""
    return printable(restored(shorten(message, _MAX_MESSAGE)))


def _message(said: str, text: str) -> str:
    """Why a case failed, in one line. Of a file that it could not import pytest says
    `collection failure`, and why on a line of the text, marked `E`."""
    if said == "collection failure":
        marked = [line[1:].strip() for line in text.splitlines() if line.startswith("E  ")]
        return one_line(marked[-1]) if marked else said
    return said or one_line(text)
