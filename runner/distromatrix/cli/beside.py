"""What commands share that run one cell again, in a folder beside the project's runs."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

from distromatrix.errors import InputError
from distromatrix.model import Cell, Plan, Selection
from distromatrix.project.project import Project
from distromatrix.project.session import opened_engines, require_images

if TYPE_CHECKING:
    from distromatrix.engines import Engines
    from distromatrix.load.settings import Settings
    from distromatrix.record.folder import RunFolder

INTERRUPTED = 130


def as_it_is(plan: Plan) -> Plan:
    """The plan, with cells of which nothing is expected and that run once."""
    cells = (replace(cell, expect_fail=(), retry_failed=0) for cell in plan.cells)
    return replace(plan, cells=tuple(cells))


def plan_one(project: Project, name: str, command: str, timeout: float | None) -> tuple[Plan, Cell]:
    """The plan of the one cell that a command is called with, as it is, and that cell. Raises
    InputError, NothingSelectedError."""
    plan = project.plan(Selection(selectors=(name,), timeout=timeout))
    if len(plan.cells) != 1:
        matching = ", ".join(one.id for one in plan.cells[:6])
        raise InputError(f"{name}: {command} needs exactly one cell; these match: {matching}")
    (only,) = plan.cells
    if only.engine is None:
        raise InputError(f"{only.id} does not run here: {only.reason}")
    return as_it_is(plan), only


@contextmanager
def opened_beside(plan: Plan, settings: Settings, kind: str) -> Iterator[tuple[Engines, RunFolder]]:
    """The engines for a plan, and a new folder of that kind; that of the last time goes. Raises
    InputError, InfrastructureError."""
    from distromatrix.execute.sweep import sweep
    from distromatrix.execute.threads import in_background
    from distromatrix.record.folder import RunFolder, remove_dead

    remove_dead(plan.root, kind)
    with opened_engines(settings) as engines, RunFolder.create(plan.root, kind=kind) as folder:
        require_images(engines.containers, settings, plan)
        # What it cannot remove now, the next one will.
        in_background(partial(sweep, engines.containers, room=settings.keep_products))
        yield engines, folder
