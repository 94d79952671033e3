"""Each case of a cell as a subtest of its item (pytest 9 or newer)."""

from __future__ import annotations

from contextlib import nullcontext, suppress
from functools import partial
from typing import TYPE_CHECKING, Literal

import pytest

from distromatrix.collect.junit import CollectError, JUnitReport, gather
from distromatrix.collect.retried import parse_cell
from distromatrix.model import Case
from distromatrix.testing.cells.outcomes import CellBase, case_lines, harmless, shown_text, warn

if TYPE_CHECKING:
    from _pytest._code.code import TerminalRepr

    from distromatrix.testing.contract import CellReport


def report_cases(item: CellBase, report: CellReport) -> None:
    """Report the cases that the cell's own JUnit file names, as `read_cases` bounds them: they
    come before the item's own outcome, as those of pytest's fixture `subtests` do."""
    said: JUnitReport | None = None
    with suppress(CollectError, FileNotFoundError):  # the cell's verdict says so, where it matters
        expected = () if item.config.getoption("runxfail") else report.expected
        parse = partial(parse_cell, report.folder, report.result)
        said = gather(parse, expected=expected)
    if said is None:
        return
    capture = item.config.pluginmanager.get_plugin("capturemanager")
    with capture.global_and_fixture_disabled() if capture else nullcontext():
        for case in said.cases:
            item.ihook.pytest_runtest_logreport(report=_subtest(item, case))
    more = said.counts.total - len(said.cases)
    if more > 0:
        warn(item, f"{more:,} of {said.counts.total:,} cases are not reported as subtests")


def _subtest(item: CellBase, case: Case) -> pytest.SubtestReport:
    # The class is pytest's public one; what it says of its subtest has no public name.
    from _pytest.subtests import SubtestContext

    failed = case.status in ("failed", "error", "xpassed")
    strictly = not item.config.getoption("runxfail")
    excused = case.status == "xfailed" or (failed and strictly and bool(item.entry.not_gating))
    outcome: Literal["passed", "failed", "skipped"] = "passed"
    longrepr: tuple[str, int, str] | TerminalRepr | None = None
    if excused:
        outcome = "skipped"
    elif case.status == "xpassed":
        outcome, longrepr = "failed", shown_text(item, f"[XPASS(strict)] {case.expected}")
    elif case.status in ("failed", "error"):
        text = "\n".join(case_lines(case)) or case.status
        outcome, longrepr = "failed", shown_text(item, text)
    elif case.status == "skipped":
        path, line, _ = item.reportinfo()
        outcome, longrepr = "skipped", (str(path), line + 1, harmless(f"Skipped: {case.message}"))
    subtest = pytest.SubtestReport(
        nodeid=item.nodeid,
        location=item.location,
        keywords=dict.fromkeys(item.keywords, 1),
        outcome=outcome,
        longrepr=longrepr,
        when="call",
        duration=case.seconds,
    )
    where = f" (in {case.engine})" if case.engine else ""
    subtest.context = SubtestContext(msg=harmless(f"{case.name}{where}"), kwargs={})
    if excused:
        excuse = case.expected if case.status == "xfailed" else item.entry.not_gating
        subtest.wasxfail = harmless(excuse)
    return subtest
