"""What collecting a matrix file needs to know of its cells, as plain data.

The process that pytest was started in reads the matrix once; workers of pytest-xdist are handed
this sheet, so that all collect the same, whatever the clock or an editor does meanwhile.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from distromatrix.model import Cell, HostFacts, Plan
    from distromatrix.project.project import Project


@dataclass(frozen=True, slots=True, kw_only=True)
class ListedCell:
    """One cell. `names` are its distro, suite and variant; `marks` what it is marked with;
    `line` where its suite begins in the file (from 1); `skip`: it will not run, and why;
    `unmet`: because nothing here meets what it needs; `tags` are marks, too; `not_gating`: why
    its verdict does not count."""

    id: str
    names: tuple[str, ...]
    marks: tuple[str, ...]
    line: int
    skip: str = ""
    unmet: bool = False
    tags: tuple[str, ...] = ()
    not_gating: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Listing:
    """The cells of a matrix file, in the order of its plan, and the warnings of its loading.
    `changed`: what a change means for them, '' where that was not asked."""

    entries: tuple[ListedCell, ...]
    warnings: tuple[str, ...] = ()
    changed: str = ""

    def plain(self) -> dict[str, Any]:
        """Of tuples, dicts, texts and numbers: what can be sent to a worker."""
        return asdict(self)

    @classmethod
    def of_plain(cls, said: Mapping[str, Any]) -> Listing:
        """What `plain` gave."""
        entries = tuple(ListedCell(**entry) for entry in said["entries"])
        return cls(entries=entries, warnings=said["warnings"], changed=said["changed"])


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadMatrix:
    """A matrix file with everything that the user wrote, the plan of all its cells, and the
    sheet of those that are collected."""

    project: Project
    plan: Plan
    sheet: Listing


def read_matrix(file: Path, sets: tuple[str, ...] = (), changed: str | None = None) -> ReadMatrix:
    """Load a matrix file and plan all of it; collected are the cells of its `sets` of these
    names, all where there are none, and of suites that a change since `changed` touches ('': since
    the default branch). Where the settings name a cluster, its hosts are planned for. Raises
    InputError with all faults, NothingSelectedError, EngineUnavailableError."""
    from distromatrix.load.settings import load_settings
    from distromatrix.model import Selection
    from distromatrix.project.project import load_project

    project = load_project(file.parent, Path(file.name), load_settings())
    facts, warnings = _hosts(project)
    plan = project.plan(Selection(), facts=facts)
    lines = _suite_lines(file, {cell.suite for cell in plan.cells})
    known = {d.name: (d.family, d.libc) for d in plan.distros}
    said, chosen = "", Selection(sets=sets)
    if changed is not None:
        from distromatrix.project.changed import changes_since

        changes = changes_since(project.matrix, changed)
        said, chosen = changes.said, replace(chosen, untouched=changes.left_out)
    wanted = {
        cell.id for cell in (project.plan(chosen, facts=facts) if sets or said else plan).cells
    }
    entries = tuple(
        _entry(cell, known[cell.distro], lines) for cell in plan.cells if cell.id in wanted
    )
    sheet = Listing(entries=entries, warnings=(*plan.warnings, *warnings), changed=said)
    return ReadMatrix(project=project, plan=plan, sheet=sheet)


def _hosts(project: Project) -> tuple[HostFacts | None, list[str]]:
    """What the hosts of the user's cluster have, and what is wrong with some; None where cells run
    on this host."""
    if not project.settings.cluster:
        return None, []
    from distromatrix.cluster.connection import cluster_of

    warnings: list[str] = []
    with cluster_of(project.settings, warnings.append) as cluster:
        return cluster.hosts.facts(), warnings


def _entry(cell: Cell, facts: Iterable[str], lines: Mapping[str, int]) -> ListedCell:
    return ListedCell(
        id=cell.id,
        names=tuple(name for name in (cell.distro, cell.suite, cell.variant) if name),
        marks=(*facts, *dict.fromkeys(need.name for need in cell.needs)),
        line=lines[cell.suite],
        skip=cell.reason if cell.engine is None else "",
        unmet=cell.unmet,
        tags=cell.tags,
        not_gating=cell.not_gating,
    )


def _suite_lines(file: Path, suites: Iterable[str]) -> dict[str, int]:
    from distromatrix.load.read import read_document

    document = read_document(file)
    return {suite: document.locate(("suites", suite), key=True)[0] for suite in suites}
