"""One cell, from its image to its verdict. `run_cell` is the map: the steps in their order."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import replace
from functools import partial

from distromatrix.collect.log import CellLog
from distromatrix.collect.text import one_line, printable
from distromatrix.engines.answer import ask
from distromatrix.engines.changes import TooMuchError
from distromatrix.engines.contract import Exit, LeftSignal, Machine, Stage
from distromatrix.errors import InfrastructureError, MachineGoneError
from distromatrix.execute.cell import case_needs, stray
from distromatrix.execute.cell.attempt import Attempt, collect, judge
from distromatrix.execute.cell.context import CellContext
from distromatrix.execute.cell.disk_watch import Allowance
from distromatrix.execute.cell.hints import hints
from distromatrix.execute.cell.hooks import Hooks
from distromatrix.execute.cell.scripts import run_scripts
from distromatrix.execute.cell.setup import give_state, keep_state, keeps_state, set_up, takes_state
from distromatrix.execute.queue.slots import Turn
from distromatrix.files.whole import disk_fault
from distromatrix.model import CellResult, Phase, Verdict
from distromatrix.plan.needs import GUESTS, version_meets
from distromatrix.record.events import CellOutput, CellPhase

DISK_FULL = 8 * 1024**2  # bytes: less than this left means that the disk, not the product, failed


def run_cell(tried: Attempt, stage: Stage, around: CellContext, ticket: object) -> CellResult:
    """Run a cell once, when its `ticket` (Slots.ticket) is served, or some of its cases, where
    another machine had the others. Infrastructure faults are raised (InfrastructureError), so
    that the caller can try again; everything else is in the result. Raises Cancelled."""
    task, cell, slots = tried.task, tried.task.cell, around.slots
    began = time.monotonic()

    def show(line: str) -> None:
        around.job.emit(CellOutput(cell=cell.id, repeat=task.repeat, line=line))

    try:
        with (
            CellLog(tried.folder / "log.txt", around.masker, show) as log,
            slots.turn(ticket, cell if cell.engine in GUESTS else None) as turn,
            _machine(tried, stage, around, turn) as opened,
            slots.hold(cell, turn),
            around.disks.over(opened, cell.disk) as allowance,
            around.watch.over(opened, partial(around.silent, task, log)) as machine,
        ):
            began = time.monotonic()
            result = _unmet(tried, machine) or _tested(tried, machine, log, around, allowance)
            result = around.exporter.export(tried, machine, result)
            if result.kept is None and around.keeps(result):
                with suppress(InfrastructureError):  # the verdict stands without it
                    result = replace(result, kept=machine.keep())
                    turn.kept = True
    except OSError as error:
        if fault := disk_fault(error, tried.folder):
            raise fault from error
        raise
    seconds = round(tried.opening + time.monotonic() - began, 3)
    engine = around.job.opening.engine(cell).name
    return replace(result, seconds=seconds, engine=engine)


def _unmet(tried: Attempt, machine: Machine) -> CellResult | None:
    """The result of a cell whose machine has not the kernel that it needs: of a guest's nothing
    is known before, and containers may be on another host than the plan knows."""
    cell = tried.task.cell
    versions = [need for need in cell.needs if need.version]
    if not versions:
        return None
    release = one_line(printable(ask(machine, "uname -r")), 100)
    lacking = [str(need) for need in versions if not version_meets(need.version, release)]
    if not lacking:
        return None
    what = "guest" if cell.engine in GUESTS else "container"
    return CellResult(
        id=cell.id,
        verdict=Verdict.SKIPPED,
        reason=f"needs {', '.join(lacking)}, and the kernel of its {what} is {release}",
        image=tried.prepared.used,
        unmet=True,
        attempts=tried.number,
    )


def _tested(
    tried: Attempt, machine: Machine, log: CellLog, around: CellContext, allowance: Allowance
) -> CellResult:
    """What comes of the suite in its machine, or of its setup, where that is a container's and
    fails there."""
    task, cell, only, job = tried.task, tried.task.cell, tried.only, around.job
    tried.left = cell.timeout
    phases = [Phase.SETUP, Phase.RUN]
    if takes_state(cell, job.plan.distro(cell.distro)):
        given = tried.state
        if given is None and (failed := set_up(tried, log, around, _concluded)):
            return failed
        if tried.state is not None:
            give_state(tried, machine, log, around)
            phases.remove(Phase.SETUP)
        if given is None:
            tried.forget_state()
    env = job.opening.environment(cell, machine, task.repeat, job.plan.seed)
    wanted = case_needs.wanted(cell)
    loaded = around.case_needs and wanted
    if loaded or (wanted and around.fixtures is not None):
        tests = only.tests if only is not None and only.how == "pytest" else None
        case_needs.put_in(machine, cell, tests, around.fixtures or ())
        env = case_needs.environment(env, machine.out)
    if only is not None and cell.cases:
        env |= case_needs.put_list(machine, only.tests)
    rest = (machine, env, log, around, allowance)
    if keeps_state(tried, around) and machine.note_state():
        if run_scripts(tried, *rest, phases.pop(0)):
            with suppress(TooMuchError):
                keep_state(tried, machine)
        else:
            phases.clear()
    if phases:
        run_scripts(tried, *rest, *phases)
    return _concluded(tried, machine, env, log, around, guest=task.in_guest, by_pytest=loaded)


def _concluded(
    tried: Attempt,
    machine: Machine,
    env: Mapping[str, str],
    log: CellLog,
    around: CellContext,
    *,
    guest: bool,
    by_pytest: bool = False,
) -> CellResult:
    """The result of a cell whose scripts have ended in that machine, its hooks run there. `guest`:
    whether it is one."""
    task, cell, job = tried.task, tried.task.cell, around.job
    job.emit(CellPhase(cell=cell.id, repeat=task.repeat, phase=Phase.COLLECT))
    # Nothing is written to while it is read. Hooks may want what runs: until then it waits.
    hooked = bool(cell.debug or cell.restore)
    _signal_left(machine, tried, "STOP" if hooked else "KILL")
    if tried.exit is not None and tried.exit.status != 0 and not tried.dead:
        try:
            _blame_the_disk(machine, tried.exit, log if guest else None)
        except MachineGoneError as gone:
            tried.dead = str(gone)
    collect(tried, machine, around.masker, by_pytest=by_pytest)
    result = judge(tried, log)
    if _has_no_report(tried) and (found := stray.stray_reports(machine, around.masker)):
        result = replace(result, warnings=(*result.warnings, found))
    if result.verdict is Verdict.FAILED:
        alive = None if tried.dead else machine
        known = (cell, result.tail, alive, env, around.callers, tried.prepared.absent)
        result = replace(result, hints=hints(*known))
    if hooked:
        _signal_left(machine, tried, "CONT")
        hooks = Hooks(cell, failed=result.verdict is Verdict.FAILED, dead=tried.dead)
        debug = hooks.run(machine, env, log, around.masker)
        hooks.end_left(machine)
        if not tried.collect_fault:
            hooks.collect(machine, tried.folder, around.masker)
        result = replace(result, debug=debug, warnings=(*result.warnings, *hooks.warnings))
    if cell.caches and cell.engine in GUESTS and not tried.dead:
        warnings = job.opening.guest_caches(cell, tried.prepared).put_back(machine)
        result = replace(result, warnings=(*result.warnings, *warnings))
    return result


def _signal_left(machine: Machine, tried: Attempt, signal: LeftSignal) -> None:
    if not tried.dead and not machine.signal_left(signal):
        tried.dead = "what the suite had left running ended only with its machine"


def _has_no_report(tried: Attempt) -> bool:
    """Whether a suite that ran to its end left none, in a machine that can still be asked."""
    ended = tried.phase is Phase.RUN and tried.exit is not None and not tried.exit.timed_out
    none = tried.counts is None and not tried.collect_fault and tried.only is None
    return ended and none and not tried.dead


@contextmanager
def _machine(tried: Attempt, stage: Stage, around: CellContext, turn: Turn) -> Iterator[Machine]:
    task = tried.task
    which = (task.repeat, tried.number, task.retry, bool(tried.only))
    tell = partial(around.tell, task)
    began = time.monotonic()
    machine = around.job.opening.open(task.cell, tried.prepared, stage, *which, on_step=tell)
    if task.in_guest:  # minutes, where it is the first of its kind
        tried.opening = time.monotonic() - began
    turn.open = True
    try:
        around.opened(machine)
        yield machine
    finally:
        around.close(machine, turn)


def _blame_the_disk(machine: Machine, ended: Exit, guests_log: CellLog | None) -> None:
    """A failure on a full disk says nothing of the product, where others write to that disk, too.
    A guest has one of its own: like its memory, it is the suite that has filled it."""
    if ended.timed_out or ended.oom:
        return
    free = machine.disk_free()
    if free is not None and free < DISK_FULL:
        if guests_log is not None:
            guests_log.note(f"--- the guest's disk is full: {free // 1024} KiB left")
            return
        raise InfrastructureError(
            f"the engine's disk is full: {free // 1024} KiB left", transient=False
        )
