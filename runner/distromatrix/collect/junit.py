"""Reads JUnit XML that nobody vouches for, in bounded memory."""

from __future__ import annotations

from collections.abc import Callable, Container, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from xml.etree.ElementTree import ParseError

from defusedxml import DefusedXmlException
from defusedxml.ElementTree import DefusedXMLParser

from distromatrix.collect.errors import CollectError
from distromatrix.collect.junit_cases import JUnitCases
from distromatrix.collect.report_text import MAX_BYTES, ReportText
from distromatrix.collect.text import one_line, shorten
from distromatrix.model import Case, CaseCounts, CaseStatus, Expectation, Unmatched
from distromatrix.record.expectations import Marker

__all__ = ["MAX_BYTES", "CollectError", "JUnitReport", "gather", "parse_cases", "read_cases"]

NEEDS = "needs:"  # begins the message of a case that was skipped for what it needs
_MAX_KEPT = 10_000  # cases of one kind that are kept by name
_MAX_FULL = 200  # failing cases that are kept with their text
# Codes of expat's: no element found, unclosed token, partial character; what comes after the
# document, and an XML declaration that is not at the beginning.
_CUT, _BEYOND = (3, 5, 6), (9, 17)


@dataclass(frozen=True, slots=True, kw_only=True)
class Notes:
    """What there is to be said of a report beside its cases. `contradiction`: where it tells of
    failures that none of its cases shows."""

    contradiction: str = ""
    warnings: tuple[str, ...] = ()

    def masked(self, mask: Callable[[str], str]) -> Notes:
        """The same, through `mask`."""
        return Notes(
            contradiction=mask(self.contradiction), warnings=tuple(map(mask, self.warnings))
        )


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
    notes: Notes = Notes()

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
    return gather(lambda on_case: parse_cases(source, only(wanted, on_case)), mask, expected)


def only(wanted: Container[str] | None, on_case: Callable[[Case], None]) -> Callable[[Case], None]:
    """What calls `on_case` for the cases of certain names alone, where some are `wanted`."""

    def chosen(case: Case) -> None:
        if wanted is None or case.name in wanted:
            on_case(case)

    return chosen


def gather(
    parse: Callable[[Callable[[Case], None]], Notes | None],
    mask: Callable[[str], str] | None = None,
    expected: Sequence[Expectation] = (),
) -> JUnitReport:
    """A report of the cases that `parse` calls its argument with. Raises what that raises."""
    report, marker = _Gathered(mask), Marker(expected)
    notes = parse((lambda case: report.add(marker.mark(case))) if expected else report.add)
    cases = tuple(case for kept in report.kept.values() for case in kept)
    return JUnitReport(
        cases=cases,
        counts=CaseCounts(**report.counts),
        needing=tuple(report.needing),
        met=marker.met,
        unmatched=marker.unmatched(case.name for case in cases),
        notes=(notes or Notes()).masked(mask or str),
    )


def parse_cases(source: bytes | Path, on_case: Callable[[Case], None]) -> Notes:
    """Call `on_case` for every case of a JUnit file, in its order, while it is read: memory
    does not grow with the file. Raises what `read_cases` raises."""
    cases, text = JUnitCases(on_case), ReportText(source)
    parse_events(text, cases)
    return notes_of(cases, text)


def parse_events(text: ReportText, cases: JUnitCases) -> None:
    """Give the events of a JUnit file to `cases`. Raises what `read_cases` raises."""
    # No DTD, so no entities: neither files nor 'billion laughs'. With a target of ours no
    # tree is ever built. What it is fed is text: an encoding that the file declares is done with.
    parser = DefusedXMLParser(target=cases, forbid_dtd=True)
    empty = True
    try:
        for chunk in text.chunks():
            empty = empty and not chunk.strip()
            parser.feed(chunk)
        if empty:
            raise CollectError("the JUnit file is empty")
        parser.close()
    except DefusedXmlException as error:
        reason = "it declares a DTD or entities, which test reports do not need"
        raise CollectError(f"the JUnit file is refused: {reason}") from error
    except ParseError as error:
        raise CollectError(_explain(error, cases)) from error
    except (LookupError, ValueError) as error:
        raise CollectError(f"the JUnit file cannot be read: {one_line(str(error))}") from error


def notes_of(cases: JUnitCases, text: ReportText) -> Notes:
    """What there is to be said of a file that was read to its end."""
    forbidden = [f"the JUnit file holds what XML forbids: {text.told}"] if text.told else []
    fault = f"the JUnit file contradicts itself: {cases.contradiction}"
    return Notes(
        contradiction=fault if cases.contradiction else "",
        warnings=(*forbidden, *cases.warnings),
    )


def _explain(error: ParseError, cases: JUnitCases) -> str:
    line, column = error.position
    if error.code in _CUT and cases.started and cases.depth:
        return f"the JUnit file is cut off in line {line}"
    if error.code in _BEYOND and cases.started and not cases.depth:
        return (
            f"the JUnit file goes on after its end, in line {line}: "
            "several reports are read as files of their own, below $DISTROMATRIX_JUNIT_DIR"
        )
    what = one_line(str(error)).partition(":")[0]
    kind = "the JUnit file is not well-formed XML" if cases.started else "the JUnit file is no XML"
    return f"{kind}: {what} (line {line}, column {column + 1})"


class _Gathered:
    """Counts all cases, keeps some."""

    def __init__(self, mask: Callable[[str], str] | None) -> None:
        self.counts = dict.fromkeys(("passed", "failed", "skipped", "xfailed", "xpassed"), 0)
        kinds = ("failed", "xfailed", "xpassed", "others")
        self.kept: dict[str, list[Case]] = {kind: [] for kind in kinds}
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
