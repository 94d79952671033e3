"""Setup that needs nothing of a guest: a container of the same image runs it, and the guest is
given what it changed, be it a run's, a shell's or a test's. So are the guests of cases that fall
back from a container."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing, suppress
from dataclasses import replace
from functools import partial
from pathlib import Path
from secrets import token_hex

from distromatrix.collect.log import CellLog
from distromatrix.engines.changes import Changes, TooMuchError
from distromatrix.engines.contract import Engine, Machine, Stage
from distromatrix.errors import InfrastructureError, SetupFailedError
from distromatrix.execute.cell import case_needs
from distromatrix.execute.cell.attempt import Attempt
from distromatrix.execute.cell.context import OURS, CellContext
from distromatrix.execute.cell.opening import Opening
from distromatrix.execute.cell.scripts import run_scripts
from distromatrix.execute.queue.slots import Turn
from distromatrix.images import Prepared
from distromatrix.model import Cell, CellResult, Distro, Phase
from distromatrix.plan.needs import GUESTS, of_image
from distromatrix.record.verdicts import size_of

_LACKS = "setup ran in the guest: its image has no GNU tar and find to carry over what it changes"
_IN_CONTAINER = "setup in a container"


def takes_state(cell: Cell, distro: Distro) -> bool:
    """Whether its machine is a guest that is given what a container's setup changed."""
    asked = cell.setup_in_container and bool(cell.setup) and cell.engine in GUESTS
    return asked and of_image(cell.engine or "", distro.guest)


def keeps_state(tried: Attempt, around: CellContext) -> bool:
    """Whether its machine is a container, and guests that its cases may fall back to want to be
    given what its setup changes: but of a cache, a copy's changes are not seen."""
    cell, plan = tried.task.cell, around.job.plan
    asked = cell.setup_in_container and bool(cell.setup) and not tried.task.in_guest
    usable = plan.distro(cell.distro).guest is not None and not all(plan.guests.values())
    copied = bool(cell.caches) and around.job.opening.copies_caches
    return asked and usable and not copied and case_needs.wanted(cell)


def set_up(
    tried: Attempt, log: CellLog, around: CellContext, conclude: Callable[..., CellResult]
) -> CellResult | None:
    """Run setup in a container of its own; then `tried.state` is what that changed, or None where
    it cannot be told. The result, as `conclude` makes it, of a setup that failed there. Raises
    InfrastructureError."""
    task, job = tried.task, around.job
    there = replace(task.cell, engine=None)
    which = (task.repeat, tried.number, task.retry, bool(tried.only), "setup")
    stage = around.stage(tried.prepared, None)
    around.tell(task, _IN_CONTAINER)
    opened = job.opening.open(there, tried.prepared, stage, *which, carried=True)
    try:
        around.opened(opened)
        with (
            around.disks.over(opened, there.disk) as allowance,
            around.watch.over(opened, partial(around.silent, task, log)) as machine,
        ):
            if not machine.note_state():
                tried.warnings += (_LACKS,)
                return None
            env = job.opening.environment(there, machine, task.repeat, job.plan.seed)
            if run_scripts(tried, machine, env, log, around, allowance, Phase.SETUP):
                try:
                    tried.state = settled(machine, tried.folder, there)
                    return None
                except TooMuchError as error:
                    tried.collect_fault = str(error)
            result = conclude(tried, machine, env, log, around, guest=False)
            result = around.exporter.export(tried, machine, result)
            if around.keeps(result):
                with suppress(InfrastructureError):  # the verdict stands without it
                    result = replace(result, kept=machine.keep())
            return result
    finally:
        around.close(opened, Turn())


def keep_state(tried: Attempt, container: Machine) -> None:
    """Take down what setup has changed. Raises TooMuchError, InfrastructureError, OSError."""
    tried.state = container.changes(tried.folder, tried.task.cell.disk)


def give_state(tried: Attempt, guest: Machine, log: CellLog, around: CellContext) -> None:
    """Change the same in its guest. Raises InfrastructureError."""
    assert tried.state is not None  # noqa: S101 - see takes_state
    carried = give(tried.state, guest)
    log.note(f"{OURS}{carried}")
    around.tell(tried.task, carried)


def settled(container: Machine, folder: Path, cell: Cell) -> Changes:
    """What its setup, which has ended, changed in a container that was noted before (`note_state`),
    on the disk of `folder`; what that left running is ended. Raises TooMuchError,
    InfrastructureError, OSError."""
    if not container.signal_left("KILL"):
        raise InfrastructureError("what setup had left running in its container ended only with it")
    try:
        return container.changes(folder, cell.disk)
    except TooMuchError as error:
        most = size_of(cell.disk)
        text = f"its setup changed more than its disk: {most}"
        raise TooMuchError(text, transient=False) from error


def give(changes: Changes, guest: Machine) -> str:
    """Change the same in a guest; says so. Raises InfrastructureError."""
    guest.take(changes)
    return f"setup carried ({changes.size / 1024**2:,.1f} MiB)"


def open_outside_runs(
    opening: Opening,
    cell: Cell,
    distro: Distro,
    prepared: Prepared,
    *,
    stage: Callable[[Engine], Stage],
    folder: Path,
    run: Callable[[Machine, Cell], None],
    tell: Callable[[str], None],
) -> Machine:
    """Open a machine for a shell or a test, with the product where the cell has a suite, and have
    `run` run its setup where the cell wants that: in it, or in a container; what that changes is
    kept in `folder` meanwhile. `tell` is told what is done. Raises what `run` does,
    CannotStartError, SetupFailedError, InfrastructureError, OSError."""
    staged = stage(opening.engine(cell)) if cell.suite else None
    machine = opening.open(cell, prepared, staged, token_hex(8))
    try:
        if not takes_state(cell, distro):
            run(machine, cell)
            return machine
        tell(_IN_CONTAINER)
        there = replace(cell, engine=None)
        staged = stage(opening.engine(there))
        container = opening.open(there, prepared, staged, token_hex(8), "setup", carried=True)
        with closing(container):
            if container.note_state():
                run(container, there)
                with closing(settled(container, folder, there)) as changes:
                    tell(give(changes, machine))
                return machine
        tell(_LACKS)
        run(machine, cell)
        return machine
    except BaseException as error:
        machine.close()
        if isinstance(error, TooMuchError):
            raise SetupFailedError(f"the setup of {cell.id} failed: {error}") from error
        raise
