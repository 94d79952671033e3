"""A plan that several machines agree on: made for those that will run it, and made ready again
on each of them.

A plan file is not trusted: what runs is what the project here says, planned with the facts and
the selection of the file; and that must be the very plan of the file, by its digest. What
differs between machines (paths, the engine of containers, which guests there are) is taken from
the one that runs it.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from distromatrix.errors import NothingSelectedError
from distromatrix.model import Cell, HostFacts, Plan, Shard, Verdict
from distromatrix.plan.file import PlanFile, difference, digest_of, fault_in
from distromatrix.plan.needs import GUESTS, container_refusals
from distromatrix.plan.shards import shard_of
from distromatrix.project.project import Project, host_facts, load_project

if TYPE_CHECKING:
    from distromatrix.load.settings import Settings


def facts_of_runners(engine: str, arch: str) -> HostFacts:
    """What a plan must know of CI's runners of an architecture: as this host, but that guests
    are taken to be there, for a job installs what they take before it runs them."""
    direct = "" if arch == "x86_64" else f"direct guests run on x86_64 only, not {arch}"
    guests = {name: direct if name == "qemu" else "" for name in GUESTS}
    return replace(host_facts(engine), arch=arch, guests=guests)


def plan_here(
    file: PlanFile, path: Path, directory: Path, matrix: Path | None, settings: Settings
) -> Plan:
    """The cells of the shard of a plan file (that was read from `path`), for this machine.
    `matrix`: the matrix file from `directory`, instead of where the plan file says. A cell that
    cannot run here is an `error` and says why.

    Raises InputError where the project here does not say the same, or this is no such machine.
    """
    here = host_facts(settings.engine)
    if file.facts.arch != here.arch:
        raise fault_in(path, f"was made for {file.facts.arch}, and this machine is {here.arch}")
    project = load_project(directory, matrix or _within(file.plan.matrix, path), settings)
    plan = replace(_planned(file, path, project), guests=here.guests)
    plan = shard_of(plan, file.seconds, file.shard or Shard(1, 1))
    return replace(plan, cells=tuple(_cell_here(cell, here) for cell in plan.cells))


def _planned(file: PlanFile, path: Path, project: Project) -> Plan:
    """The whole plan, from the project here."""
    hint = "plan and run the same checkout, with the same version of distromatrix"
    try:
        plan = project.plan(file.selection, facts=file.facts)
    except NothingSelectedError:
        raise fault_in(path, "is the plan of another project or state of it", hint) from None
    plan = replace(plan, repeat=file.plan.repeat, seed=file.plan.seed)
    if digest_of(plan, file.seconds) != file.digest:
        what = difference(plan, file.plan)
        raise fault_in(path, f"is not what {project.matrix.file.name} here plans: {what}", hint)
    return plan


def _within(matrix: Path, path: Path) -> Path:
    if matrix.is_absolute() or ".." in matrix.parts:
        raise fault_in(path, "names a matrix file outside its project")
    return matrix


def _cell_here(cell: Cell, here: HostFacts) -> Cell:
    """The cell with this machine's engine; or where it cannot run, an error."""
    if cell.engine is None:
        return cell
    if cell.engine in GUESTS:
        why = here.guests.get(cell.engine, "this host has no engine of guests")
        if not why:
            return cell
        why = f"planned for a guest of {cell.engine}, but {why}"
    else:
        refusals = container_refusals(cell.needs, cell.privileges, here)
        if not refusals:
            return replace(cell, engine=here.engine)
        why = f"planned for a container, but here it {'; '.join(refusals)}"
    return replace(cell, engine=None, verdict=Verdict.ERROR, reason=why)
