"""From a folder to a plan, an engine and images: what the command line and pytest's plugin
both begin with."""

from __future__ import annotations

import os
import platform
from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING

from distromatrix.errors import DistromatrixError, Fault, InputError
from distromatrix.files.user_folders import require_current_folder
from distromatrix.model import Distro, HostFacts, Matrix, Plan, Selection
from distromatrix.plan.needs import CONTAINERS

if TYPE_CHECKING:
    from distromatrix.load.lock import Lock
    from distromatrix.load.settings import Settings


def host_facts(engine: str = CONTAINERS[0]) -> HostFacts:
    """What a plan must know of this host, and of the user's engine. Asks no engine."""
    from distromatrix.engines.guest.available import guests_here

    return HostFacts(
        engine=engine,
        guests=guests_here(platform.machine()),
        arch=platform.machine(),
        cpus=os.cpu_count() or 1,
        memory=os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"),
        today=date.today(),
        kernel=platform.release(),
        cgroup="2" if Path("/sys/fs/cgroup/cgroup.controllers").exists() else "1",
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Project:
    """A loaded matrix, its lock where there is one, and the user's settings."""

    matrix: Matrix
    settings: Settings
    lock: Lock | None = None

    def plan(
        self, selection: Selection, *, locked: bool = True, facts: HostFacts | None = None
    ) -> Plan:
        """The plan of what is selected, with the images of the lock (`locked`) or as
        declared; `facts`: for that host instead of this. Raises InputError where the lock does
        not match, NothingSelectedError."""
        from distromatrix.plan.make import make_plan

        facts = facts or host_facts(self.settings.engine)
        plan = make_plan(self.matrix, facts, selection)
        if self.lock is None or not locked:
            return plan
        from distromatrix.load.lock import apply_lock

        known = (distro.name for distro in self.matrix.distros)
        return apply_lock(plan, self.lock, facts.arch, known)


def load_project(directory: Path, file: Path | None, settings: Settings) -> Project:
    """Load everything that the user wrote. Raises InputError with all faults of it."""
    from distromatrix.load import find_matrix, load_matrix, project_root
    from distromatrix.load.lock import read_lock

    require_current_folder(directory / (file or ""))
    found = find_matrix(directory, file)
    matrix, lock = None, None
    faults: list[Fault] = []
    try:
        matrix = load_matrix(found, today=host_facts().today)
    except InputError as error:
        faults += error.faults
    try:
        lock = read_lock(project_root(found))
    except InputError as error:
        faults += error.faults
    if matrix is None or faults:
        raise InputError(*faults)
    return Project(matrix=matrix, settings=settings, lock=lock)


def find_root(directory: Path, file: Path | None) -> Path:
    """The project's root, without reading its matrix (for `report`, `clean`)."""
    from distromatrix.load import project_root

    require_current_folder(directory / (file or ""))
    return project_root(directory / (file or Path("matrix", "default.yaml")))


def guests_of(plan: Plan) -> tuple[str, ...]:
    """The engines of guests that cells of the plan, or cases of theirs, may want."""
    if not any(distro.guest for distro in plan.distros):
        return ()
    return tuple(name for name, why in plan.guests.items() if not why)


def restrict(plan: Plan, ids: set[str], why: str) -> Plan:
    """The plan with only those cells; the others are excluded with `why`."""
    from distromatrix.model import Excluded

    left_out = tuple(Excluded(id=c.id, reason=why) for c in plan.cells if c.id not in ids)
    return replace(
        plan,
        cells=tuple(c for c in plan.cells if c.id in ids),
        excluded=(*plan.excluded, *left_out),
    )


def all_distros(directory: Path) -> tuple[Distro, ...]:
    """The catalogue, with the project's own distros where there is a project."""
    from distromatrix.load import load_distros

    own = (directory / "distros").is_dir()  # not in a folder that was removed, which has no path
    return load_distros(directory.resolve() if own else None)


def find_distro(
    name: str, distros: Iterable[Distro], error: type[DistromatrixError] = InputError
) -> Distro:
    """The distro of that name. Raises `error`, with the names that are near."""
    from distromatrix.wording import did_you_mean, quoted

    found = {distro.name: distro for distro in distros}
    if name not in found:
        hint = did_you_mean(name, found, most=3) or "`distromatrix distros` lists all"
        raise error(f"no distro {quoted(name)} ({hint})")
    return found[name]
