"""A matrix file as pytest collects it: every cell is an item."""

from __future__ import annotations

from collections.abc import Generator, Iterator
from typing import TYPE_CHECKING

import pytest

from distromatrix.collect.text import fit, one_line
from distromatrix.errors import CellSkippedError, DistromatrixError
from distromatrix.model import Verdict
from distromatrix.testing.bench.owner import bench_of, test_name
from distromatrix.testing.cells import outcomes

if TYPE_CHECKING:
    from _pytest._code.code import TerminalRepr

    from distromatrix.testing.contract import CellReport
    from distromatrix.testing.listing import ListedCell, Listing


class MatrixFile(pytest.File):
    """A matrix file. Its sheet is read, or was handed over, before."""

    sheet: Listing
    allow_unmet: bool

    def collect(self) -> Iterator[CellItem]:
        """All its cells, in the order of the plan."""
        for entry in self.sheet.entries:
            item: CellItem = CellItem.from_parent(self, name=entry.id, entry=entry)
            item.allow_unmet = self.allow_unmet
            yield item


class CellItem(outcomes.CellBase):
    """One cell: in its `setup` it is run, in its call its verdict becomes an outcome. So what
    the infrastructure did wrong is an error, as that of a fixture is, and no failure."""

    def __init__(self, *, entry: ListedCell, **others: object) -> None:
        super().__init__(**others)  # type: ignore[arg-type]  # pytest's own, passed through
        self.entry = entry
        self.report: CellReport | None = None
        self.extra_keyword_matches.update(entry.names)
        for mark in (*entry.marks, *entry.tags):
            self.add_marker(mark)
        if entry.not_gating:
            why = one_line(f"not gating: {entry.not_gating}", 500)
            self.add_marker(pytest.mark.xfail(reason=why, strict=False))

    @property
    def cell_id(self) -> str:
        """Its cell."""
        return self.entry.id

    def setup(self) -> None:
        """Run the cell, unless it is known not to run."""
        super().setup()
        if self.config.getoption("setuponly", False):  # it shows fixtures, and runs nothing
            return
        if self.entry.skip:
            if self.entry.unmet and not self.allow_unmet:
                return
            raise pytest.skip.Exception(fit(self.entry.skip))
        try:
            self.report = bench_of(self.config).run_cell(self.entry.id, test_name(self))
        except CellSkippedError as error:
            raise pytest.skip.Exception(outcomes.harmless(str(error))) from None
        except DistromatrixError as error:
            raise outcomes.CellError(str(error)) from None
        outcomes.raise_error(self, self.report)

    def runtest(self) -> None:
        """Turn the cell's verdict into an outcome."""
        if self.entry.unmet:
            raise outcomes.CellFailed(outcomes.unmet(self.entry))
        assert self.report is not None  # noqa: S101 - else setup has ended the test
        if self.config.getoption("distromatrix_cases"):
            from distromatrix.testing.cells.subtests import report_cases

            report_cases(self, self.report)
        outcomes.judge(self, self.report)

    def repr_failure(
        self, excinfo: pytest.ExceptionInfo[BaseException], style: object = None
    ) -> str | TerminalRepr:
        """A cell's own words, where it is the cell that failed."""
        if isinstance(excinfo.value, outcomes.CellProblem):
            return outcomes.shown(self, excinfo)
        return super().repr_failure(excinfo, style)  # type: ignore[arg-type]  # as it came

    def reported(self, said: pytest.TestReport, call: pytest.CallInfo[None]) -> None:
        """Put right what pytest has made of a phase: the cell's own words and seconds, not
        those of waiting for its turn; and of a skip, where it was declared."""
        if call.excinfo and isinstance(call.excinfo.value, outcomes.CellProblem):
            said.longrepr = outcomes.shown(self, call.excinfo)  # pytest asks us in the call alone
        if hasattr(said, "wasxfail") and said.skipped and self.report is not None:
            said.longrepr = outcomes.expected(self, self.report)
            result = self.report.result
            if self.entry.not_gating and result.verdict is not Verdict.XFAILED:
                said.wasxfail += f" ({one_line(f'{result.verdict}: {result.reason}', 500)})"
        if isinstance(said.longrepr, tuple):
            path, line, _ = self.reportinfo()
            said.longrepr = (str(path), line + 1, outcomes.harmless(said.longrepr[2]))
        if hasattr(said, "wasxfail"):
            said.wasxfail = outcomes.harmless(said.wasxfail)
        if self.report is not None:
            erred = self.report.result.verdict is Verdict.ERROR
            told = said.when == ("setup" if erred else "call")
            said.duration = self.report.result.seconds if told else 0.0


class CellReports:
    """The hook that has cells look at the reports of their phases; registered once there are
    cells."""

    name = "distromatrix-cells"

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_makereport(
        self, item: pytest.Item, call: pytest.CallInfo[None]
    ) -> Generator[None, pytest.TestReport, pytest.TestReport]:
        """See CellItem.reported."""
        report = yield
        if isinstance(item, CellItem):
            item.reported(report, call)
        return report
