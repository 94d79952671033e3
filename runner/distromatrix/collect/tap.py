"""Reads TAP, versions 12 to 14, as it comes, in bounded memory, and as strictly as a report is
read: whatever is missing, doubled or out of its place is a fault. https://testanything.org
"""

from __future__ import annotations

import codecs
import re
import shutil
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from distromatrix.collect.errors import CollectError
from distromatrix.collect.report_writer import ReportWriter
from distromatrix.collect.text import one_line, printable, shorten
from distromatrix.model import Case, CaseStatus

_MAX_LINE = 64 * 1024  # characters; the rest of a line is left out
_MAX_TEXT = 16 * 1024  # characters of what is said of a test
_MAX_NAME = 1024
_MAX_LEVELS = 50  # subtests in subtests

_TEST = re.compile(
    r"(?P<failed>not[ \t]+)?ok\b(?:[ \t]+(?P<number>\d{1,9})\b)?(?:[ \t]+-)?(?P<rest>.*)"
)
_PLAN = re.compile(r"1\.\.(?P<last>\d{1,9})[ \t]*+(?:#[ \t]*+(?P<said>.*+))?$")
_DIRECTIVE = re.compile(
    r"(?:^|[ \t])#[ \t]*+(?P<word>TODO\b|SKIP\w*+)[ \t:-]*+(?P<reason>.*+)$", re.I
)
_BAIL = re.compile(r"Bail out!(?P<reason>.*)", re.I)
_VERSION = re.compile(r"TAP version (\d{1,3})$", re.I)
_KNOWN = (12, 13, 14)
_TAGS: Mapping[CaseStatus, str] = {"failed": "failure", "skipped": "skipped"}
_MESSAGE = re.compile(r"""^[ \t]*+(?:message|error):[ \t]*+(?![|>])["']?(?P<said>.*+)$""", re.M)
_BLOCK = re.compile(r"^[ \t]*+(?:message|error):[ \t]*+[|>][+-]?[ \t]*+\n\s*+(?P<said>.*+)$", re.M)
_DURATION = re.compile(r"^[ \t]*+duration_ms:[ \t]*+(?P<ms>\d{1,12}(?:\.\d{1,9})?)[ \t]*+$", re.M)


@dataclass(slots=True)
class _Test:
    """A test of the top level, whose diagnostics may still come."""

    name: str
    status: CaseStatus
    message: str = ""
    lines: list[str] = field(default_factory=list)
    size: int = 0

    def add(self, line: str) -> None:
        if self.size < _MAX_TEXT:
            self.lines.append(shorten(line, _MAX_TEXT - self.size))
            self.size += len(line) + 1

    def case(self) -> Case:
        text = "\n".join(self.lines)
        message = self.message
        if self.status == "failed":
            message = ""
            if said := _MESSAGE.search(text):
                message = said["said"].rstrip()
                message = message[:-1] if message.endswith(("'", '"')) else message
            elif said := _BLOCK.search(text):
                message = said["said"]
            message = message or one_line(text) or "not ok"
        duration = _DURATION.search(text)
        return Case(
            name=self.name,
            status=self.status,
            seconds=float(duration["ms"]) / 1000 if duration else 0.0,
            message=one_line(message, _MAX_NAME),
            text=text if self.status == "failed" else "",
        )


@dataclass(slots=True)
class _Level:
    """A stream, or a subtest's within one, by how far it is indented."""

    indent: int
    seen: int = 0
    failed: int = 0  # of these, and are no TODO
    plan: int | None = None
    skipped: bool = False  # all of it
    ended: bool = False  # its plan came at its end
    fault: str = ""

    def wrong(self, fault: str) -> None:
        self.fault = self.fault or fault

    def close(self) -> str:
        """Why it is bad, '' where it is good."""
        if self.plan is not None and self.plan != self.seen:
            came = f"only {self.seen}" if self.seen < self.plan else str(self.seen)
            self.wrong(f"{self.plan} tests were planned, {came} came")
        return self.fault or (f"{self.failed} of its tests failed" if self.failed else "")


class TapReader:
    """Takes a suite's standard output, and calls `on_case` for every test of it, in order; a
    subtest counts by the line of its parent. Lines that are no TAP are none of its business.

    Once `finish` was called, `fault` says in one line why the whole is not to be relied on, and
    `begun` whether there was any TAP.
    """

    def __init__(self, on_case: Callable[[Case], None]) -> None:
        self._on_case = on_case
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._left = ""
        self._line = 0
        self._levels = [_Level(indent=0)]
        self._below = ""  # what is bad in subtests whose parent's line is yet to come
        self._inner = _Test("", "passed")  # and what was said in them
        self._test: _Test | None = None
        self._yaml: int | None = None  # the indent of the diagnostics that are open
        self._bailed = False
        self.fault = ""
        self.begun = False

    def feed(self, data: bytes) -> None:
        """The next bytes of the output."""
        *lines, left = (self._left + self._decoder.decode(data)).split("\n")
        self._left = left[:_MAX_LINE]
        for line in lines:
            self._take(line)

    def finish(self) -> None:
        """The output has ended."""
        self.feed(b"\n" if self._left else b"")
        self._settle()
        top = self._levels[0]
        if self._yaml is not None:
            top.wrong(f"it is cut off within what is said of test {top.seen}")
        below = self._leave(0) or self._below
        if top.plan is None:
            top.wrong(f"it is cut off, or lacks a plan: {top.seen} tests came")
        top.close()
        if below:
            top.wrong(f"a subtest is bad, and its parent's line did not come: {below}")
        if top.plan == 0 and not top.skipped:
            top.wrong("its plan is 1..0, and does not say `# SKIP`: no test ran")
        if self.begun and not self.fault:
            self.fault = top.fault and f"the TAP is not to be relied on: {top.fault}"

    def _take(self, raw: str) -> None:
        self._line += 1
        line = printable(raw[:_MAX_LINE]).rstrip().expandtabs(4)
        body = line.lstrip(" ")
        indent = len(line) - len(body)
        if self._bailed or not body or self._in_yaml(line, body, indent):
            return
        if match := _BAIL.match(body):
            self.begun = self._bailed = True
            reason = one_line(match["reason"]) or "no reason is given"
            self.fault = f"the TAP was broken off: Bail out! {reason}"
        elif (match := _TEST.fullmatch(body)) and match["rest"][:1] in ("", " ", "-", "#"):
            self._on_test(match, self._enter(indent), line)
        elif match := _PLAN.match(body):
            self._on_plan(match, self._enter(indent))
        elif not indent and (match := _VERSION.match(body)):
            self.begun = True
            if int(match[1]) not in _KNOWN:
                self._levels[0].wrong(f"it is of version {match[1]}: 12, 13 and 14 are known")
        elif body.startswith("#") and not body.startswith("# Subtest"):
            self._say(body[1:].removeprefix(" "), indent)

    def _in_yaml(self, line: str, body: str, indent: int) -> bool:
        """Whether a line belongs to diagnostics in YAML, which lie further in than their test."""
        if self._yaml is None:
            last = self._levels[-1]
            if body != "---" or indent <= last.indent or not last.seen:
                return False
            self._yaml = indent
        elif indent < self._yaml:  # it was not ended: this is a line like any other
            self._yaml = None
            return False
        elif body == "..." and indent == self._yaml:
            self._yaml = None
        else:
            self._say(line[self._yaml :], self._yaml)
        return True

    def _say(self, line: str, indent: int) -> None:
        inner = indent > 0 and (len(self._levels) > 1 or self._test is None)
        test = self._inner if inner else self._test
        if test is not None:
            test.add(line)

    def _enter(self, indent: int) -> _Level:
        """The level of a test or plan at that indent. Those further in have ended with it."""
        self.begun = True
        self._below = self._below or self._leave(indent)
        if self._levels[-1].indent < indent and len(self._levels) < _MAX_LEVELS:
            self._levels.append(_Level(indent=indent))
        return self._levels[-1]

    def _leave(self, indent: int) -> str:
        bad = ""
        while self._levels[-1].indent > indent:
            bad = self._levels.pop().close() or bad
        return bad

    def _on_test(self, match: re.Match[str], level: _Level, line: str) -> None:
        level.seen += 1
        number = int(match["number"] or level.seen)
        if number != level.seen:
            level.wrong(f"test {number} came where {level.seen} was due (line {self._line})")
        if level.ended:
            level.wrong(f"test {number} came after the plan that ended it (line {self._line})")
        directive = _DIRECTIVE.search(match["rest"])
        word = directive["word"].upper()[:4] if directive else ""
        below, self._below = self._below, ""
        if below and not match["failed"] and not word:
            level.wrong(f"test {number} is ok, but its subtest is not: {below} (line {self._line})")
        failed = bool(match["failed"]) and word != "TODO"
        level.failed += failed
        if level.indent:
            if match["failed"]:
                self._inner.add(line)
            return
        self._settle()
        status: CaseStatus = "failed" if failed else "passed"
        if not failed and (word == "SKIP" or match["failed"]):
            status = "skipped"
        rest = match["rest"][: directive.start() if directive else None]
        name = re.sub(r"\\([\\#])", r"\1", rest).strip(" -") or f"test {number}"
        said = f"{word} {directive['reason']}".strip() if directive else ""
        self._test = _Test(
            one_line(name, _MAX_NAME),
            status,
            said.removeprefix("SKIP ") if word == "SKIP" else said,
            self._inner.lines,
            self._inner.size,
        )
        self._inner = _Test("", "passed")

    def _on_plan(self, match: re.Match[str], level: _Level) -> None:
        if level.plan is not None:
            level.wrong(f"a second plan came (line {self._line}): is it the output of several?")
            return
        level.plan, level.ended = int(match["last"]), level.seen > 0
        said = re.match(r"SKIP\w*[ \t:-]*(.*)", match["said"] or "", re.I)
        level.skipped = said is not None
        if said and level.plan == 0 and not level.indent:
            reason = one_line(said[1])
            self._on_case(Case(name="(all)", status="skipped", message=reason or "no reason given"))

    def _settle(self) -> None:
        if self._test is not None:
            self._on_case(self._test.case())
        self._test = None


class TapReport:
    """The TAP of one suite, kept as a JUnit file."""

    def __init__(self) -> None:
        self._file = tempfile.SpooledTemporaryFile(max_size=1024**2)  # noqa: SIM115 - see `close`
        self._writer = ReportWriter(self._file, several=False)
        self._writer.start("testsuite", {"name": "TAP"})
        self._reader = TapReader(self._write)
        self._too_big = ""

    def feed(self, data: bytes) -> None:
        """The next bytes of the suite's standard output."""
        if not self._too_big:
            try:
                self._reader.feed(data)
            except CollectError as error:
                self._too_big = str(error)

    def save(self, path: Path) -> str:
        """Write the JUnit file, and let go of all. Why it is not to be relied on, '' where it
        is. Raises FileNotFoundError, and writes nothing, where there was no TAP."""
        with self._file:
            try:
                self._reader.finish()
                self._writer.end("testsuite")
            except CollectError as error:
                self._too_big = str(error)
            if not self._reader.begun:
                raise FileNotFoundError(path)
            if not self._too_big:
                self._file.seek(0)
                with path.open("xb") as out:
                    shutil.copyfileobj(self._file, out)
        return self._too_big.replace("the JUnit file", "the TAP") or self._reader.fault

    def _write(self, case: Case) -> None:
        time = {"time": f"{case.seconds:.3f}"} if case.seconds else {}
        self._writer.start("testcase", {"name": case.name, **time})
        if case.status in _TAGS:
            self._writer.start(_TAGS[case.status], {"message": case.message})
            self._writer.data(case.text)
            self._writer.end(_TAGS[case.status])
        self._writer.end("testcase")
