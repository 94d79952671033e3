"""Which distros, and which suites, tests may ask for: what names and globs stand for."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from distromatrix.errors import InputError
from distromatrix.load.catalogue import natural
from distromatrix.model import Cell, Distro, HostFacts, Need, Plan, Product, Selection
from distromatrix.plan.needs import choose_engine, guest_refusal
from distromatrix.project.project import find_distro
from distromatrix.testing import DEFAULT_FILE
from distromatrix.testing.contract import MachineRequest
from distromatrix.wording import did_you_mean, listing, quoted

if TYPE_CHECKING:
    import pytest

    from distromatrix.load.settings import Settings
    from distromatrix.project.project import Project
    from distromatrix.testing.listing import ReadMatrix


@dataclass(frozen=True, kw_only=True)
class Scope:
    """A session's distros and suites. `plan` has every cell of its matrix, or none where it has
    no matrix. Globs range over `distros`; a name may also be one of `catalogue()`. Touches no
    engine."""

    plan: Plan
    distros: tuple[Distro, ...]
    catalogue: Callable[[], tuple[Distro, ...]]
    settings: Settings

    @cached_property
    def _by_name(self) -> dict[str, Distro]:
        return {distro.name: distro for distro in self.distros}

    @cached_property
    def _others(self) -> dict[str, Distro]:
        return {distro.name: distro for distro in self.catalogue()}

    @cached_property
    def _cells(self) -> dict[str, Cell]:
        return {cell.id: cell for cell in self.plan.cells}

    @property
    def _where(self) -> str:
        return "the matrix" if self._by_name and self.plan.cells else "the catalogue"

    def distro(self, name: str) -> Distro:
        """The distro of that name. Raises InputError."""
        return self._by_name.get(name) or find_distro(name, self._others.values())

    def matching(self, glob: str) -> tuple[Distro, ...]:
        """The distro of that name, or those that a glob stands for, of which `*` alone is
        special. Raises InputError where there are none."""
        if "*" not in glob:
            return (self.distro(glob),)
        # Brackets and question marks belong to URLs, and no name has any.
        found = () if set(glob) & set("?[]!") else _glob(glob, self.distros)
        if not found:
            raise InputError(f"no distro of {self._where} matches {quoted(glob)}{self._near(glob)}")
        return found

    def _near(self, glob: str) -> str:
        if elsewhere := _glob(glob, self._others.values()):
            names = listing(distro.name for distro in elsewhere[:3])
            return f" (the catalogue has {names}: use their names, or add them to the matrix)"
        words = {name.rstrip("0123456789.-") for name in self._by_name}
        hint = did_you_mean(glob.replace("*", "").rstrip("-"), sorted(words | set(self._by_name)))
        return f" ({hint or '`distromatrix distros` lists all'})"

    def wants(
        self, globs: Iterable[str], suite: str = "", more: Iterable[Distro] = ()
    ) -> tuple[MachineRequest, ...]:
        """The machines that names and globs stand for, and those of `more`, each once and
        sorted, with a suite or without.

        Where the suite is skipped on a distro that was not named, the test will be skipped
        there with the reason, and no hole is silent; where it has no cell, there is no test.
        Raises InputError where a glob stands for none, for a suite that does not exist, and for
        a name whose suite is skipped.
        """
        chosen = [(d, "*" not in glob) for glob in globs for d in self.matching(glob)]
        chosen += [(distro, False) for distro in more]
        if suite and any(f"{distro.name}/{suite}" in self._cells for distro, _ in chosen):
            chosen = [c for c in chosen if c[1] or not self._elsewhere(c[0].name, suite)]
        found = {
            distro.name: MachineRequest(distro=distro.name, suite=suite) for distro, _ in chosen
        }
        if suite:
            for distro, named in chosen:
                self.check(found[distro.name], named=named)
        return tuple(found[name] for name in sorted(found, key=natural))

    def check(self, want: MachineRequest, *, named: bool) -> None:
        """See that the suite is there, and where its distro was `named`, that it is not
        skipped. Raises InputError."""
        cell = self._cells.get(want.cell)
        if cell is None:
            raise InputError(f"{self._no_suite(want)}")
        if named and cell.engine is None:
            raise InputError(f"{want} is skipped: {cell.reason}")

    def check_engine(self, want: MachineRequest) -> None:
        """See that its distro has guests of the engine that was asked for, here. Raises
        InputError."""
        guest = self.distro(want.distro).guest
        if why := guest_refusal(want.engine, (), self._host.guests, guest):
            raise InputError(f"{want.distro}: no guest of {want.engine}: {why}")

    def meeting(self, want: MachineRequest, needs: tuple[Need, ...]) -> MachineRequest:
        """That machine, of the cheapest engine that meets what a test needs beside what its suite
        does; `refused`, where none does."""
        cell = self._cells.get(want.cell) if want.suite else None
        both = (*(cell.needs if cell else ()), *needs)
        privileges = cell.privileges if cell else ()
        distro = self.distro(want.distro)
        versions = tuple(need for need in needs if need.version)
        if want.engine:
            why = guest_refusal(want.engine, both, self._host.guests, distro.guest)
            return replace(want, refused=why, versions=versions)
        choice = choose_engine(both, privileges, self._host, distro.guest)
        if choice.engine is None:
            return replace(want, refused=choice.reason)
        planned = cell.engine if cell else self._host.engine
        engine = "" if choice.engine in (planned, self._host.engine) else choice.engine
        return replace(want, engine=engine, versions=versions)

    @cached_property
    def _host(self) -> HostFacts:
        from distromatrix.project.project import host_facts

        return host_facts(self.settings.engine)

    def _elsewhere(self, distro: str, suite: str) -> bool:
        """Whether a suite is for other distros of the matrix than this."""
        others = any(cell.id.partition("/")[2] == suite for cell in self.plan.cells)
        return others and distro in self._by_name and f"{distro}/{suite}" not in self._cells

    def _no_suite(self, want: MachineRequest) -> str:
        if not self.plan.cells:
            return f"no suite {quoted(want.suite)}: this session has no matrix"
        suites = {cell.id.partition("/")[2] for cell in self.plan.cells}
        if self._elsewhere(want.distro, want.suite):
            return f"{want}: the suite is not for {want.distro}, by `distros` in the matrix"
        if want.suite in suites:
            return f"{want}: the matrix has suites only for its own distros, not for {want.distro}"
        if several := sorted(s for s in suites if s.startswith(f"{want.suite}/")):
            return f"the suite {quoted(want.suite)} has variants: use {listing(several)}"
        hint = did_you_mean(want.suite, sorted(suites)) or f"there are {listing(sorted(suites))}"
        return f"no suite {quoted(want.suite)} ({hint})"


def _glob(glob: str, distros: Iterable[Distro]) -> tuple[Distro, ...]:
    return tuple(distro for distro in distros if fnmatchcase(distro.name, glob))


def load_scope(file: Path | None, directory: Path) -> Scope:
    """That of a matrix file, or of the catalogue where there is none, together with the distros
    that `directory` has. Raises InputError with all faults."""
    from distromatrix.load.settings import load_settings
    from distromatrix.project.project import all_distros, load_project

    settings = load_settings()
    if file is None:
        everything = all_distros(directory)
        plan = Plan(matrix=Path(), root=directory, product=Product(path=directory), cells=())
        return Scope(plan=plan, distros=everything, catalogue=lambda: everything, settings=settings)
    project = load_project(file.parent, Path(file.name), settings)
    return _of_project(project, project.plan(Selection()))


def _of_project(project: Project, plan: Plan) -> Scope:
    from distromatrix.project.project import all_distros

    return Scope(
        plan=plan,
        distros=project.matrix.distros,
        catalogue=lambda: all_distros(project.matrix.root),
        settings=project.settings,
    )


class _CollectingSession(Protocol):
    """The plugin that collects a matrix file; what it has `read`, not in workers."""

    file: Path
    read: ReadMatrix | None


def scope_of(config: pytest.Config) -> Scope:
    """That of a session: of the matrix that it collects, else of the usual file below the
    rootdir, else of the catalogue. Raises InputError with all faults."""
    session: _CollectingSession | None = config.pluginmanager.get_plugin("distromatrix-matrix")
    if session is not None and session.read is not None:
        return _of_project(session.read.project, session.read.plan)
    usual = config.rootpath / DEFAULT_FILE
    file = session.file if session is not None else usual if usual.is_file() else None
    return load_scope(file, config.rootpath)
