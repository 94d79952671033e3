"""A cell's own scripts, run in its machine."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial

from distromatrix.collect.log import CellLog
from distromatrix.engines.contract import Exit, Machine
from distromatrix.errors import MachineGoneError
from distromatrix.execute.cell.attempt import Attempt
from distromatrix.execute.cell.context import OURS, CellContext
from distromatrix.execute.cell.disk_watch import Allowance
from distromatrix.execute.cell.opening import suite_command
from distromatrix.execute.cell.outputs import clear_reports
from distromatrix.model import Phase
from distromatrix.record.events import CellPhase
from distromatrix.record.verdicts import time_of


def run_scripts(
    tried: Attempt,
    machine: Machine,
    env: Mapping[str, str],
    log: CellLog,
    around: CellContext,
    allowance: Allowance,
    *phases: Phase,
) -> bool:
    """Run the scripts of these phases, within what is left of the suite's one timeout, as the
    machine counts it, and of its disk. Whether all ended well. Raises InfrastructureError."""
    tried.scale = machine.scale
    try:
        _run(tried, machine, env, log, around, phases)
        allowance.look(last=True)
    except MachineGoneError:
        allowance.look(last=True)  # whoever ends it for that may not be done with it
        if not allowance.over:
            raise
        tried.exit = Exit(status=137, seconds=0.0)
    if allowance.over:
        tried.dead = tried.collect_fault = allowance.over
    ended_well = tried.exit is None or tried.exit.status == 0
    return ended_well and not tried.dead and not tried.collect_fault


def _run(
    tried: Attempt,
    machine: Machine,
    env: Mapping[str, str],
    log: CellLog,
    around: CellContext,
    phases: tuple[Phase, ...],
) -> None:
    task, cell = tried.task, tried.task.cell
    scripts = {Phase.SETUP: cell.setup, Phase.RUN: (cell.run, cell.removal)}
    for phase, script in [(one, script) for one in phases for script in scripts[one] if script]:
        tried.phase = phase
        runs = phase is Phase.RUN and script is cell.run  # and does not set up or remove
        around.job.emit(CellPhase(cell=cell.id, repeat=task.repeat, phase=phase))
        if cell.setup:
            log.note(f"{OURS}{phase if runs or phase is Phase.SETUP else 'remove'}")
        tap = tried.begin_tap() if runs and cell.report == "tap" else None
        output = partial(_to_both, log.write, tap) if tap else log.write
        command = suite_command(cell, script, machine, env, output=output)
        left = max(0.1, tried.left * machine.scale)
        command = replace(command, timeout=left, errors=log.write if tap else None)
        try:
            if cell.setup and runs:
                tried.note_left_by_setup(clear_reports(machine))
            tried.exit = machine.run(command)
        except MachineGoneError as gone:
            if not (gone.oom or gone.choked):
                raise
            tried.exit = Exit(status=137 if gone.oom else 2, seconds=0.0, oom=gone.oom)
            tried.dead = "its machine had run out of memory"
            if gone.choked:
                tried.dead = f"its machine could begin no more processes (pids: {cell.pids})"
                tried.collect_fault = tried.dead
        tried.left -= tried.exit.seconds / machine.scale
        if tried.exit.timed_out:
            tried.exit = replace(tried.exit, hung=around.masker.mask(tried.exit.hung))
            if tried.exit.ended:
                tried.dead = "the timeout had ended its machine"
            allowed = time_of(cell.timeout, tried.scale)
            log.note(f"{OURS}timed out after {allowed}; it ran: {tried.exit.hung}")
        if tried.exit.status != 0:
            return


def _to_both(one: Callable[[bytes], None], other: Callable[[bytes], None], data: bytes) -> None:
    one(data)
    other(data)
