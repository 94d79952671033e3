"""The reports that a suite left, however many files they are: read, and stored as one."""

from __future__ import annotations

import os
from collections.abc import Callable, Container, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from distromatrix.collect.errors import CollectError
from distromatrix.collect.junit import JUnitReport, Notes, gather, notes_of, only, parse_events
from distromatrix.collect.junit_cases import MAX_DEPTH, JUnitCases
from distromatrix.collect.masking import Masker
from distromatrix.collect.report_text import ReportText, check_size
from distromatrix.collect.report_writer import ReportWriter
from distromatrix.collect.text import one_line
from distromatrix.files.whole import give_to_caller
from distromatrix.model import Case, Expectation

REPORT, REPORTS, TAP = "junit.xml", "junit", "tap.xml"
MAX_FILES = 10_000
_FILE = "the JUnit file"  # begins what is said of one
_WITH_OUTCOMES = ("testcase", "testsuite", "testsuites")


@dataclass(frozen=True, slots=True, kw_only=True)
class Stored:
    """What came of the reports in a folder. `report` is None where there was none, or none that
    can be used; `fault`: why it is not to be relied on."""

    report: JUnitReport | None = None
    fault: str = ""
    warnings: tuple[str, ...] = ()


def store_reports(
    folder: Path,
    into: Path,
    masker: Masker,
    wanted: Container[str] | None = None,
    expected: Sequence[Expectation] = (),
) -> Stored:
    """Read all reports of `folder` (REPORT, a file or a folder; what lies below REPORTS; TAP) and
    write them, masked, as one JUnit file to `into`. `wanted` and `expected` as in `read_cases`.
    Nothing in `folder` is trusted. Raises OSError where `into` cannot be written, and nothing for
    what lies in `folder`."""
    try:
        files, others = _find(folder)
    except CollectError as error:
        return Stored(fault=str(error))
    if not files:
        return Stored(warnings=_none(others))
    into.unlink(missing_ok=True)
    with into.open("xb") as out:
        join = _Join(files, ReportWriter(out, masker, several=len(files) > 1), wanted)
        report = gather(join.parse, masker.mask, expected)
        join.writer.finish()
    give_to_caller(into)
    if join.lost:
        _keep_text(files, into, masker)
    faults = [masker.mask(fault) for fault in join.faults]
    more = f" (and {len(faults) - 1:,} more)" if len(faults) > 1 else ""
    return Stored(
        report=None if join.lost else report,
        fault=f"{faults[0]}{more}" if faults else "",
        warnings=() if join.lost else report.notes.warnings,
    )


def _find(folder: Path) -> tuple[list[tuple[str, Path]], int]:
    """The reports, each with what it is called ('' where it is the only one), in an order that
    does not depend on the disk; and how many files are none by their names."""
    found = [(name, folder / name) for name in (TAP, REPORT) if (folder / name).is_file()]
    others = 0
    for top in (folder / REPORT, folder / REPORTS):
        below = [Path(parent, name) for parent, _, names in os.walk(top) for name in names]
        reports = sorted(path for path in below if path.suffix.lower() == ".xml")
        others += len(below) - len(reports)
        found += [(one_line(os.fsencode(path.relative_to(top)), 200), path) for path in reports]
    if len(found) > MAX_FILES:
        raise CollectError(
            f"{len(found):,} JUnit files are too many: at most {MAX_FILES:,} are read"
        )
    check_size(sum(path.stat().st_size for _, path in found))
    return [("", found[0][1])] if len(found) == 1 else found, others


def _none(others: int) -> tuple[str, ...]:
    what = "the file" if others == 1 else f"none of the {others:,} files"
    is_not = "is not" if others == 1 else "is"
    return (f"{what} in the folder for reports {is_not} called *.xml: not read",) if others else ()


@dataclass(slots=True)
class _Join:
    """Reads the files in their order."""

    files: list[tuple[str, Path]]
    writer: ReportWriter
    wanted: Container[str] | None
    faults: list[str] = field(default_factory=list)
    lost: bool = False  # the only file cannot be used
    warnings: dict[str, None] = field(default_factory=dict)

    def parse(self, on_case: Callable[[Case], None]) -> Notes:
        """See `gather`."""
        chosen = only(self.wanted, on_case)
        for label, path in self.files:
            if not self.lost:
                self._parse_one(label, path, chosen)
        return Notes(warnings=tuple(self.warnings)[:5])

    def _parse_one(self, label: str, path: Path, on_case: Callable[[Case], None]) -> None:
        cases, text = _StoredCases(self.writer, on_case), ReportText(path)
        try:
            parse_events(text, cases)
        except CollectError as error:
            self.faults.append(_of(label, str(error)))
            self.lost = len(self.files) == 1 or not cases.break_off(label, str(error))
        notes = notes_of(cases, text)
        if notes.contradiction:
            self.faults.append(_of(label, notes.contradiction))
        self.warnings |= dict.fromkeys(_of(label, warning) for warning in notes.warnings)


class _StoredCases(JUnitCases):
    """Hands each event on to a writer."""

    def __init__(self, writer: ReportWriter, on_case: Callable[[Case], None]) -> None:
        super().__init__(on_case)
        self.deepest = MAX_DEPTH
        self._writer = writer
        self._open: list[str] = []

    def start(self, tag: str, attributes: dict[str, str]) -> None:
        super().start(tag, attributes)
        self._open.append(tag)
        self._writer.start(tag, attributes)

    def data(self, text: str) -> None:
        super().data(text)
        self._writer.data(text)

    def end(self, tag: str) -> None:
        super().end(tag)
        self._open.pop()
        self._writer.end(tag)

    def break_off(self, label: str, reason: str) -> bool:
        """End a document that cannot be read on: with an error where it was, and an end to all
        that is open. Whether there was room for that."""
        self.deepest += 2
        try:
            while self._open and self._open[-1].rpartition("}")[2].lower() not in _WITH_OUTCOMES:
                self.end(self._open[-1])
            if not self._open:
                self.start("testsuite", {"name": label})
            self.start("error", {"message": reason})
            while self._open:
                self.end(self._open[-1])
        except CollectError:
            return False
        return True


def _of(label: str, message: str) -> str:
    """What is said of a file, with its name where there are several."""
    return message.replace(_FILE, f"{_FILE} {label}", 1) if label else message


def _keep_text(files: list[tuple[str, Path]], into: Path, masker: Masker) -> None:
    """Store a file that cannot be read as a report as the text that it is."""
    stream = masker.stream()
    try:
        with into.open("wb") as out:
            for text in ReportText(files[0][1]).decoded() if len(files) == 1 else ():
                out.write(stream.feed(text.encode("utf-8", "replace")))
            out.write(stream.flush())
    except CollectError:
        into.unlink()
