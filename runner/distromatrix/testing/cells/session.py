"""A session that has a matrix: which file, when it is read, and what is said of its cells.

Every session of a project with the setting comes here, and many do not collect the matrix: what
that takes is imported when it is collected.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from distromatrix.wording import counted

if TYPE_CHECKING:
    from distromatrix.testing.cells.items import MatrixFile
    from distromatrix.testing.listing import Listing, ReadMatrix

_HANDED = "distromatrix_sheet"  # in workerinput


class MatrixSession:
    """The hooks of such a session, in the process that pytest was started in and in workers."""

    def __init__(self, config: pytest.Config, file: Path) -> None:
        self._config = config
        self.file = Path(os.path.abspath(file))  # noqa: PTH100 - symlinks stay, as in pytest
        self.allow_unmet: bool = config.getoption("distromatrix_allow_unmet")
        self._always = config.getoption("distromatrix") is not None
        self.read: ReadMatrix | None = None  # not in workers
        self._sheet: Listing | None = None
        handed = getattr(config, "workerinput", {}).get(_HANDED)
        self._sets: tuple[str, ...] = tuple(config.getoption("distromatrix_set"))
        self._changed: str | None = config.getoption("distromatrix_changed")
        if handed is not None:
            from distromatrix.testing.listing import Listing

            self._sheet = Listing.of_plain(handed)
            self._register_tags(self._sheet)

    # --- the matrix ------------------------------------------------------------------------

    # No properties here: some versions of pytest look at every attribute of a plugin.

    def sheet(self) -> Listing:
        """Its cells, read now if need be. Raises UsageError with every fault of the input."""
        if self._sheet is None:
            from distromatrix.errors import (
                EngineUnavailableError,
                InputError,
                NothingSelectedError,
            )
            from distromatrix.testing.bench.owner import stop
            from distromatrix.testing.cells.outcomes import harmless
            from distromatrix.testing.listing import read_matrix

            try:
                self.read = read_matrix(self.file, self._sets, self._changed)
            except (InputError, NothingSelectedError) as error:
                raise pytest.UsageError(harmless(str(error))) from None
            except EngineUnavailableError as error:  # of a cluster
                stop(self._config, error)
            self._sheet = self.read.sheet
            self._register_tags(self._sheet)
        return self._sheet

    def _register_tags(self, sheet: Listing) -> None:
        for tag in dict.fromkeys(tag for entry in sheet.entries for tag in entry.tags):
            line = f"{tag}: (distromatrix) a cell with this tag in its matrix file"
            self._config.addinivalue_line("markers", line)

    def _paths(self) -> list[Path]:
        here = self._config.invocation_params.dir
        return [
            Path(os.path.abspath(here / arg.partition("::")[0]))  # noqa: PTH100 - as above
            for arg in self._config.args
        ]

    def _within(self) -> bool:
        """Whether it lies within the arguments, and nothing on the way to it is ignored."""
        ignored = self._config.hook.pytest_ignore_collect
        for path in self._paths():
            if path == self.file:
                return True
            if path in self.file.parents:
                below = [self.file, *(p for p in self.file.parents if path in p.parents)]
                if not any(ignored(collection_path=p, config=self._config) for p in below):
                    return True
        return False

    # --- hooks -----------------------------------------------------------------------------

    @pytest.hookimpl(tryfirst=True)
    def pytest_sessionstart(self) -> None:
        """See that it is collected, and read it before workers start: its faults are told
        once."""
        within = self._within()
        if self._always and not within:
            self._config.args.append(str(self.file))
        if (self._always or within) and not hasattr(self._config, "workerinput"):
            self.sheet()

    @pytest.hookimpl(tryfirst=True)  # which is shown last
    def pytest_report_header(self) -> list[str]:
        """How many cells, and what its loading warns of."""
        if self._sheet is None:
            return []
        name = os.path.relpath(self.file, self._config.invocation_params.dir)
        count = len(self._sheet.entries)
        first = f"distromatrix: {counted(count, 'cell')} in {name}"
        first += f" (of the set {' or '.join(self._sets)})" if self._sets else ""
        more = [f"warning: {line}" for line in self._sheet.warnings]
        if self._sheet.changed:
            from distromatrix.testing.cells.outcomes import harmless

            more.insert(0, f"changed: {harmless(self._sheet.changed)}")
        return [first, *(f"distromatrix: {line}" for line in more)]

    @pytest.hookimpl(tryfirst=True)
    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        """Nothing to run, as no change touches a cell, is no fault."""
        nothing = self._sheet is not None and self._sheet.changed and not self._sheet.entries
        if nothing and session.exitstatus == pytest.ExitCode.NO_TESTS_COLLECTED:
            session.exitstatus = pytest.ExitCode.OK

    @pytest.hookimpl(optionalhook=True)
    def pytest_configure_node(self, node: Any) -> None:
        """Hand what was read to a worker of pytest-xdist."""
        if self._sheet is not None:
            node.workerinput[_HANDED] = self._sheet.plain()

    def pytest_collect_file(self, file_path: Path, parent: pytest.Collector) -> MatrixFile | None:
        """Collect the matrix file, and no other."""
        if file_path != self.file:
            return None
        from distromatrix.testing.cells.items import CellReports, MatrixFile

        if not self._config.pluginmanager.hasplugin(CellReports.name):
            self._config.pluginmanager.register(CellReports(), CellReports.name)
        collected: MatrixFile = MatrixFile.from_parent(parent, path=file_path)
        collected.sheet, collected.allow_unmet = self.sheet(), self.allow_unmet
        return collected
