"""Setup that needs nothing of a guest: a container of the same image runs it, and the guest is
given what it changed. So are the guests of cases that fall back from a container."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from functools import partial

from distromatrix.collect.log import CellLog
from distromatrix.engines.changes import TooMuchError
from distromatrix.engines.contract import Machine
from distromatrix.errors import InfrastructureError
from distromatrix.execute.cell import case_needs
from distromatrix.execute.cell.attempt import Attempt
from distromatrix.execute.cell.context import OURS, CellContext
from distromatrix.execute.cell.scripts import run_scripts
from distromatrix.execute.queue.slots import Turn
from distromatrix.model import CellResult, Phase
from distromatrix.plan.needs import of_image
from distromatrix.record.verdicts import size_of

_LACKS = "setup ran in the guest: its image has no GNU tar and find to carry over what it changes"


def takes_state(tried: Attempt, around: CellContext) -> bool:
    """Whether its machine is a guest that is given what a container's setup changed."""
    cell, distro = tried.task.cell, around.job.plan.distro(tried.task.cell.distro)
    asked = cell.setup_in_container and bool(cell.setup) and tried.task.in_guest
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
    around.tell(task, "setup in a container")
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
                if not machine.signal_left("KILL"):
                    raise InfrastructureError(
                        "what setup had left running in its container ended only with it"
                    )
                try:
                    keep_state(tried, machine)
                    return None
                except TooMuchError:
                    most = size_of(there.disk)
                    tried.collect_fault = f"its setup changed more than its disk: {most}"
            result = conclude(tried, machine, env, log, around, guest=False)
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
    state = tried.state
    assert state is not None  # noqa: S101 - see takes_state
    guest.take(state)
    carried = f"setup carried ({state.size / 1024**2:,.1f} MiB)"
    log.note(f"{OURS}{carried}")
    around.tell(tried.task, carried)
