"""Reads JUnit XML that nobody vouches for, in bounded memory.

There is no one standard; what is read here is what pytest, Maven, Gradle, go-junit-report,
gtest, CTest and others have in common: https://github.com/testmoapp/junitxml
"""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Container, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from xml.etree.ElementTree import ParseError

from defusedxml import DefusedXmlException
from defusedxml.ElementTree import DefusedXMLParser

from distromatrix.collect.errors import CollectError
from distromatrix.collect.text import one_line, printable, shorten
from distromatrix.expectations import Marker
from distromatrix.model import Case, CaseCounts, CaseStatus, Expectation, Unmatched

__all__ = ["CollectError", "JUnitReport", "gather", "parse_cases", "read_cases"]

MAX_BYTES = 64 * 1024 * 1024
NEEDS = "needs:"  # begins the message of a case that was skipped for what it needs
_MAX_DEPTH = 100
_MAX_TEXT = 16 * 1024  # characters of a failure's own text
_MAX_NAME = 1024
_MAX_MESSAGE = 4096
_MAX_KEPT = 10_000  # cases of one kind that are kept by name
_MAX_FULL = 200  # failing cases that are kept with their text

_CHUNK = 64 * 1024
_NOT_RUN = {"notrun", "disabled", "skipped", "suppressed", "ignored"}  # gtest, CTest
_OUTCOMES: Mapping[str, CaseStatus] = {"failure": "failed", "error": "error", "skipped": "skipped"}
_RANK: Mapping[str, int] = {"passed": 0, "skipped": 1, "failed": 2, "error": 2}


@dataclass(frozen=True, slots=True, kw_only=True)
class JUnitReport:
    """What a JUnit file says. `counts` is exact; `cases` is bounded: the first 10,000 failing
    cases (the first 200 with their text), as many that failed as expected, that passed against a
    rule, and of the others, in this order. `needing`: the first
    10,000 that were skipped with a message that begins with `needs:`. Where rules expect cases to
    fail: `met` those by which one did, `unmatched` the globs that no case that ran is called by."""

    cases: tuple[Case, ...]
    counts: CaseCounts
    needing: tuple[Case, ...] = ()
    met: tuple[Expectation, ...] = ()
    unmatched: tuple[Unmatched, ...] = ()

    @property
    def failing(self) -> tuple[Case, ...]:
        """The cases that failed or errored, and were not expected to."""
        return self._of("failed", "error")

    @property
    def xfailed(self) -> tuple[Case, ...]:
        """The cases that failed as expected."""
        return self._of("xfailed")

    @property
    def xpassed(self) -> tuple[Case, ...]:
        """The cases that passed, and were expected to fail."""
        return self._of("xpassed")

    def _of(self, *statuses: CaseStatus) -> tuple[Case, ...]:
        return tuple(case for case in self.cases if case.status in statuses)


def read_cases(
    source: bytes | Path,
    mask: Callable[[str], str] | None = None,
    wanted: Container[str] | None = None,
    expected: Sequence[Expectation] = (),
) -> JUnitReport:
    """The cases of a JUnit file (its content, or its path), those of certain names alone where
    some are `wanted`; all texts printable, and through `mask`; `expected`: which of them rules
    expect to fail. Raises CollectError when it is no JUnit XML, cut off, too big or hostile, and
    FileNotFoundError. Without any case `counts.total` is 0."""

    def parse(on_case: Callable[[Case], None]) -> None:
        def chosen(case: Case) -> None:
            if wanted is None or case.name in wanted:
                on_case(case)

        parse_cases(source, chosen)

    return gather(parse, mask, expected)


def gather(
    parse: Callable[[Callable[[Case], None]], None],
    mask: Callable[[str], str] | None = None,
    expected: Sequence[Expectation] = (),
) -> JUnitReport:
    """A report of the cases that `parse` calls its argument with. Raises what that raises."""
    report, marker = _Gathered(mask), Marker(expected)
    parse((lambda case: report.add(marker.mark(case))) if expected else report.add)
    cases = tuple(case for kept in report.kept.values() for case in kept)
    return JUnitReport(
        cases=cases,
        counts=CaseCounts(**report.counts),
        needing=tuple(report.needing),
        met=marker.met,
        unmatched=marker.unmatched(case.name for case in cases),
    )


def parse_cases(source: bytes | Path, on_case: Callable[[Case], None]) -> None:
    """Call `on_case` for every case of a JUnit file, in its order, while it is read: memory
    does not grow with the file. Raises what `read_cases` raises."""
    target = _Target(on_case)
    # No DTD, so no entities: neither files nor 'billion laughs'. With a target of ours no
    # tree is ever built.
    parser = DefusedXMLParser(target=target, forbid_dtd=True)
    empty = True
    try:
        for chunk in _chunks(source):
            empty = empty and not chunk.strip()
            parser.feed(chunk)
        if empty:
            raise CollectError("the JUnit file is empty")
        parser.close()
    except DefusedXmlException as error:
        reason = "it declares a DTD or entities, which test reports do not need"
        raise CollectError(f"the JUnit file is refused: {reason}") from error
    except ParseError as error:
        raise CollectError(_explain(error, depth=target.depth, started=target.started)) from error
    except (LookupError, ValueError) as error:  # an encoding that nobody knows
        raise CollectError(f"the JUnit file cannot be read: {one_line(str(error))}") from error


def _chunks(source: bytes | Path) -> Iterator[bytes]:
    if isinstance(source, bytes):
        _check_size(len(source))
        yield from (source[at : at + _CHUNK] for at in range(0, len(source), _CHUNK))
        return
    try:
        flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
        with os.fdopen(os.open(source, flags), "rb") as file:
            state = os.fstat(file.fileno())
            if not stat.S_ISREG(state.st_mode):
                raise CollectError("the JUnit file is no regular file")
            _check_size(state.st_size)
            while chunk := file.read(_CHUNK):
                yield chunk
    except FileNotFoundError:
        raise
    except OSError as error:
        raise CollectError(f"the JUnit file cannot be read: {error.strerror}") from error


def _check_size(size: int) -> None:
    if size > MAX_BYTES:
        mib = 1024 * 1024
        raise CollectError(
            f"the JUnit file is too big: {size / mib:.0f} MiB, at most {MAX_BYTES // mib} are read"
        )


def _explain(error: ParseError, *, depth: int, started: bool) -> str:
    line, column = error.position
    if error.code in (3, 5, 6) and started and depth:  # no element, unclosed token, partial char
        return f"the JUnit file is cut off in line {line}"
    what = one_line(str(error)).partition(":")[0]
    kind = "the JUnit file is not well-formed XML" if started else "the JUnit file is no XML"
    return f"{kind}: {what} (line {line}, column {column + 1})"


class _Gathered:
    """Counts all cases, keeps some."""

    def __init__(self, mask: Callable[[str], str] | None) -> None:
        self.counts = dict.fromkeys(("passed", "failed", "skipped", "xfailed", "xpassed"), 0)
        self.kept: dict[str, list[Case]] = {
            "failed": [],
            "xfailed": [],
            "xpassed": [],
            "others": [],
        }
        self.needing: list[Case] = []
        self._mask = mask

    def add(self, case: Case) -> None:
        outcome = "failed" if case.status == "error" else case.status
        self.counts[outcome] += 1
        needs = case.status == "skipped" and case.message.startswith(NEEDS)
        if needs and len(self.needing) < _MAX_KEPT:
            self.needing.append(self._kept(case, full=False))
        kept = self.kept.get(outcome, self.kept["others"])
        if len(kept) < _MAX_KEPT:
            full = outcome in ("failed", "xfailed") and len(kept) < _MAX_FULL
            kept.append(self._kept(case, full=full))

    def _kept(self, case: Case, *, full: bool) -> Case:
        mask = self._mask or str
        return replace(
            case,
            name=mask(case.name),
            message=mask(case.message if full else shorten(case.message, 200)),
            text=mask(case.text) if full else "",
            file=mask(case.file),
        )


class _Target:
    """Receives the parser's events. Names are compared without their namespace."""

    def __init__(self, on_case: Callable[[Case], None]) -> None:
        self._on_case = on_case
        self.depth = 0
        self.started = False
        self._suites: list[str] = []
        self._case: dict[str, str] | None = None
        self._status: CaseStatus = "passed"
        self._message = ""
        self._text: list[str] = []
        self._text_size = 0
        self._of_suite = False  # what failed is a suite, not one of its cases
        self._outcome_depth = 0  # > 0: inside a <failure> or the like, at that depth

    def start(self, tag: str, attributes: dict[str, str]) -> None:
        name = tag.rpartition("}")[2]
        self.depth += 1
        if self.depth == 1:
            self.started = True
            if name not in ("testsuites", "testsuite"):
                root = one_line(name, 40)
                raise CollectError(
                    f"the JUnit file is none: its root is <{root}>, not <testsuites> or <testsuite>"
                )
        if self.depth > _MAX_DEPTH:
            raise CollectError(f"the JUnit file is refused: nested deeper than {_MAX_DEPTH}")
        if self._outcome_depth:
            return
        if name == "testsuite" and self._case is None:
            self._suites.append(attributes.get("name", ""))
        elif name == "testcase" and self._case is None:
            self._begin(attributes)
        elif name in _OUTCOMES:
            if self._case is None:  # of a whole suite: its setup failed, say
                if name == "skipped":
                    return
                self._begin({"name": self._suites[-1] if self._suites else ""})
                self._of_suite = True
            self._outcome(_OUTCOMES[name], attributes)

    def data(self, text: str) -> None:
        if self._outcome_depth and self._text_size < _MAX_TEXT:
            self._text.append(text[: _MAX_TEXT - self._text_size])
            self._text_size += len(text)

    def end(self, tag: str) -> None:
        name = tag.rpartition("}")[2]
        if self._outcome_depth == self.depth:
            self._outcome_depth = 0
            if self._of_suite:
                self._finish()
        elif self._outcome_depth:
            pass
        elif name == "testcase" and self._case is not None:
            self._finish()
        elif name == "testsuite" and self._suites and self._case is None:
            self._suites.pop()
        self.depth -= 1

    def close(self) -> None:
        """Nothing is left to do."""

    def _begin(self, attributes: dict[str, str]) -> None:
        self._case = attributes
        self._status = "passed"
        if {attributes.get("status", "").lower(), attributes.get("result", "").lower()} & _NOT_RUN:
            self._status = "skipped"
        self._message = ""
        self._text, self._text_size = [], 0

    def _outcome(self, status: CaseStatus, attributes: dict[str, str]) -> None:
        self._outcome_depth = self.depth
        if _RANK[status] > _RANK[self._status]:
            self._status = status
        message = attributes.get("message") or attributes.get("type") or ""
        self._message = self._message or printable(shorten(message, _MAX_MESSAGE))

    def _finish(self) -> None:
        case, self._case = self._case or {}, None
        self._of_suite = False
        name = case.get("name") or case.get("id") or "(no name)"
        full = f"{case['classname']}::{name}" if case.get("classname") else name
        text = printable("".join(self._text)).strip("\n")
        self._on_case(
            Case(
                name=one_line(full.replace("\n", " "), _MAX_NAME) or "(no name)",
                status=self._status,
                seconds=_seconds(case.get("time", "")),
                message=_message(self._message.strip(), text),
                text=text,
                file=one_line(case.get("file", ""), _MAX_NAME),
                line=int(line)
                if (line := case.get("line", "")).isdecimal() and len(line) < 8
                else 0,
            )
        )


def _message(said: str, text: str) -> str:
    """Why a case failed, in one line. Of a file that it could not import pytest says
    `collection failure`, and why on a line of the text, marked `E`."""
    if said == "collection failure":
        marked = [line[1:].strip() for line in text.splitlines() if line.startswith("E  ")]
        return one_line(marked[-1]) if marked else said
    return said or one_line(text)


def _seconds(value: str) -> float:
    """A duration as test tools write it; what is none is 0."""
    try:
        number = float(value.replace(",", "").rstrip("s "))
    except ValueError:
        return 0.0
    return number if 0 <= number < 1e9 else 0.0
