"""From a cell's verdict to pytest's outcome, and the text of what went wrong."""

from __future__ import annotations

import os
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from distromatrix.collect.text import fit, obeyed, one_line, printable, unobeyed
from distromatrix.model import Case, CellResult, Verdict
from distromatrix.record.expectations import unmatched_lines
from distromatrix.record.repetitions import told_by
from distromatrix.reports.commands import shown_path
from distromatrix.reports.grouping import WHOSE

if TYPE_CHECKING:
    from _pytest._code.code import ExceptionChainRepr, ReprExceptionInfo, TerminalRepr

    from distromatrix.testing.contract import CellReport
    from distromatrix.testing.listing import ListedCell

MAX_CASES = 20  # of a cell, that are shown
MAX_TEXT = 60  # lines of a case's own text
MAX_ALL = 400  # lines of all cases' texts together
TAIL = 12  # lines of the cell's log
MAX_REASON = 12  # lines


class CellBase(pytest.Item):
    """What is read here of a cell's item."""

    entry: ListedCell
    allow_unmet: bool

    def reportinfo(self) -> tuple[Path, int, str]:
        """The line of its suite, and a title. (A title that ends like the node id would be cut
        up at its dots by `-v`: `alpine-3.20` is no module.)"""
        return self.path, self.entry.line - 1, f"{self.entry.id} ({self.path.name})"


class CellProblem(Exception):  # noqa: N818 - no error of the program
    """A cell did not pass: `str()` is the text for people, its first line says why."""

    def __init__(self, text: str) -> None:
        super().__init__(harmless(text))


def harmless(text: str) -> str:
    """Text from elsewhere as pytest may print it: nothing in it is obeyed by a terminal, or by a
    CI's runner where that reads it."""
    text = fit(text, lines=True)
    return unobeyed(text) if obeyed(os.environ) else text


def warn(item: CellBase, text: str) -> None:
    """Have pytest warn of something about a cell."""
    item.warn(pytest.PytestWarning(harmless(f"{item.entry.id}: {text}")))


class CellFailed(CellProblem):
    """The product's failure."""


class CellError(CellProblem):
    """The infrastructure's."""


def raise_error(item: CellBase, report: CellReport) -> None:
    """Raise CellError where it is one."""
    if report.result.verdict is Verdict.ERROR:
        raise CellError("\n".join(_text(item, report)))


def judge(item: CellBase, report: CellReport) -> None:
    """Raise what makes pytest say of the item what the verdict says of the cell."""
    result = report.result
    reason = one_line(result.reason, 1000)
    strictly = not item.config.getoption("runxfail")
    if result.verdict is Verdict.SKIPPED and (not result.unmet or item.allow_unmet):
        raise pytest.skip.Exception(reason)
    for text in unmatched_lines(result.unmatched[:MAX_CASES]):
        warn(item, one_line(text, 1000))
    if result.flaky and item.config.getoption("distromatrix_fail_on_flaky"):
        raise CellFailed("\n".join(_text(item, report)))
    if result.verdict is Verdict.XFAILED and strictly:
        raise pytest.xfail.Exception(reason, pytrace=False)
    if result.verdict is Verdict.XPASSED and strictly:
        raise CellFailed("\n".join(_text(item, report, "[XPASS(strict)] ")))
    if result.verdict in (Verdict.FAILED, Verdict.XFAILED):
        raise CellFailed("\n".join(_text(item, report)))
    if result.unmet and not item.allow_unmet:
        raise CellFailed("\n".join(_needing(result)))
    if result.flaky:
        warn(item, reason)


def expected(item: CellBase, report: CellReport) -> TerminalRepr:
    """The failure of a cell that was expected to fail, for `--xfail-tb`."""
    return shown_text(item, "\n".join(_text(item, report)))


def unmet(entry: ListedCell) -> str:
    """What is said of a cell whose needs nothing here meets."""
    without = " and ".join(f"not {mark}" for mark in entry.marks[2:])
    return (
        f"{entry.skip}\n\nA test that did not run is not a success. Deselect it with -m "
        f"{shlex.quote(without)}, or accept it with --distromatrix-allow-unmet."
    )


def _needing(result: CellResult) -> Iterator[str]:
    yield result.reason
    yield ""
    for one in result.needing[:MAX_CASES]:
        yield f"{one.test}: needs {', '.join(one.needs)}"
    yield ""
    yield "A test that did not run is not a success. Accept it with --distromatrix-allow-unmet."


def shown(item: CellBase, excinfo: pytest.ExceptionInfo[BaseException]) -> TerminalRepr:
    """The text alone, no traceback of ours, in any style; its first line is the message that
    short summaries, `--tb=line` and JUnit XML show."""
    path, line, _ = item.reportinfo()
    shown = shown_at(excinfo, path, line + 1, str(excinfo.value))
    if shown.reprcrash is not None and item.config.getoption("tbstyle", "auto") == "line":
        shown.reprtraceback.reprentries = []
    return shown


def shown_at(
    excinfo: pytest.ExceptionInfo[BaseException], path: object, line: int, text: str
) -> ReprExceptionInfo | ExceptionChainRepr:
    """What was raised, without a traceback, as of that place, under the first line of `text`."""
    shown = excinfo.getrepr(style="value")
    if shown.reprcrash is not None:
        shown.reprcrash.path, shown.reprcrash.lineno = str(path), line
        shown.reprcrash.message = text.partition("\n")[0]
    return shown


def shown_text(item: CellBase, text: str) -> TerminalRepr:
    """The same of a text that was not raised."""
    try:
        raise CellFailed(text)
    except CellFailed:
        return shown(item, pytest.ExceptionInfo.from_current())


def _text(item: CellBase, report: CellReport, before: str = "") -> Iterator[str]:
    result = report.result
    yield from _reason(result, before, report.told_by)
    if report.told_by:
        yield ""
        yield from _again(item, report)
        return
    yield from _cases(result, texts=not item.config.getoption("distromatrix_cases"))
    yield from _block(f"the end of {told_by(result)}:", result.tail)
    if result.hints:
        yield ""
        yield from (f"hint    {one_line(hint, 300)}" for hint in result.hints)
    yield from _block(f"debug output of {told_by(result)}:", result.debug)
    yield ""
    for one in result.fallback:
        cases = f"{len(one.tests):,} cases in {one.engine}, {one.verdict}"
        yield f"{cases}: {one_line(one.why, 300)}"
    yield from (f"warning {one_line(text, 1000)}" for text in result.warnings)
    if result.kept:
        yield f"enter   {result.kept.enter}"
        yield f"remove  {result.kept.remove}"
    if report.folder.is_dir():
        yield f"files   {shown_path(report.folder)}"
    yield from _again(item, report)


def _again(item: CellBase, report: CellReport) -> Iterator[str]:
    yield f"again   {report.again}"
    yield f"        {pytest_again(item)}"


def _reason(result: CellResult, before: str, told_by: str) -> Iterator[str]:
    """The reason; of an error with where it happened and how often it was tried. Its first line,
    where it was `told_by` another cell."""
    first, *more = printable(result.reason or "no reason given").split("\n")[:MAX_REASON]
    if result.verdict is Verdict.ERROR and result.phase:
        before += f"{result.phase}: "
    if told_by:
        yield f"{before}{first} (told with {told_by})"
        return
    tried = f" (tried {result.attempts} times)" if result.attempts > 1 else ""
    yield f"{before}{first}{tried}"
    yield from more
    if result.blame:
        yield f"({WHOSE[result.blame]})"


def _cases(result: CellResult, *, texts: bool) -> Iterator[str]:
    """The failing cases with their own words; or without, where subtests have told them."""
    room = MAX_ALL
    failing = result.failing
    if result.verdict is Verdict.XFAILED:
        failing = result.xfailed
    elif result.verdict is Verdict.XPASSED:
        failing = result.xpassed
    if failing and not texts:
        yield ""
    for case in failing[:MAX_CASES]:
        if texts:
            yield ""
        yield one_line(case.name, 1000) + (f" (in {case.engine})" if case.engine else "")
        lines = case_lines(case) if texts else []
        if len(lines) > room:
            lines = [one_line(case.message, 300) or lines[-1]]
        room -= len(lines)
        yield from (f"    {line}".rstrip() for line in lines)
    failed = max(result.cases.failed if result.cases else 0, len(failing))
    if failed > MAX_CASES:
        yield ""
        yield f"and {failed - MAX_CASES:,} more in junit.xml"


def case_lines(case: Case) -> list[str]:
    """A failed case's own words: its message, where its text does not hold it; and its text,
    of which the middle is left out where it is long."""
    lines = printable(case.text).strip("\n").expandtabs(4).split("\n") if case.text.strip() else []
    message = printable(case.message).strip()
    if message and message.partition("\n")[0] not in case.text:
        lines = [*message.split("\n"), *lines]
    if len(lines) > MAX_TEXT:
        first, last = MAX_TEXT // 3, MAX_TEXT - MAX_TEXT // 3
        lines = [*lines[:first], f"… {len(lines) - MAX_TEXT:,} lines …", *lines[-last:]]
    return lines


def _block(title: str, lines: tuple[str, ...]) -> Iterator[str]:
    if lines:
        yield ""
        yield title
        yield from (f"| {printable(line).expandtabs(4)}" for line in lines[-TAIL:])


def pytest_again(item: CellBase) -> str:
    """The command that runs the item again from here."""
    path = os.path.relpath(item.path, item.config.invocation_params.dir)
    words = [f"--distromatrix={path}"] if item.config.getoption("distromatrix") is not None else []
    return shlex.join(["pytest", *words, f"{path}::{item.entry.id}"])
