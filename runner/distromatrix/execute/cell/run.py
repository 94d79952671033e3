"""One cell, from its image to its verdict. `run_cell` is the map: the steps in their order."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from functools import partial

from distromatrix.collect.log import CellLog, Masker
from distromatrix.collect.text import one_line, printable
from distromatrix.engines.answer import ask
from distromatrix.engines.contract import (
    Exit,
    LeftSignal,
    Machine,
    Stage,
)
from distromatrix.engines.silence import Watch
from distromatrix.errors import InfrastructureError, MachineGoneError
from distromatrix.execute.cell import case_needs, stray
from distromatrix.execute.cell.attempt import Attempt, collect, judge
from distromatrix.execute.cell.disk_watch import Allowance, DiskWatch
from distromatrix.execute.cell.hints import hints
from distromatrix.execute.cell.hooks import Hooks
from distromatrix.execute.cell.opening import suite_command
from distromatrix.execute.cell.outputs import clear_reports
from distromatrix.execute.job import Job
from distromatrix.execute.queue.order import Task
from distromatrix.execute.queue.slots import Slots, Turn
from distromatrix.files.whole import disk_fault
from distromatrix.model import BAD, CellResult, Phase, Verdict
from distromatrix.plan.needs import GUESTS, version_meets
from distromatrix.record.events import CellOutput, CellPhase, CellProgress, CellSilent
from distromatrix.record.verdicts import time_of

DISK_FULL = 8 * 1024**2  # bytes: less than this left means that the disk, not the product, failed
OURS = "--- "  # begins the lines of a log that are not the suite's


@dataclass(frozen=True, slots=True, kw_only=True)
class CellContext:
    """What all cells of a run share."""

    job: Job
    slots: Slots
    masker: Masker
    watch: Watch
    disks: DiskWatch
    opened: Callable[[Machine], None]
    close: Callable[[Machine, Turn], None]  # later, and with it its turn comes to its end
    case_needs: bool = False  # the product's cases say what they need
    fixtures: frozenset[str] | None = None  # of ours, that they ask for (python_says)
    callers: frozenset[str] = frozenset()  # variables that are not empty where the user is


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
            around.watch.over(opened, partial(_silent, task, log, around)) as machine,
        ):
            began = time.monotonic()
            result = _unmet(tried, machine) or _tested(tried, machine, log, around, allowance)
            if _wanted(around.job.options.keep, result):
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
    """What comes of the suite in its machine."""
    task, cell, only, job = tried.task, tried.task.cell, tried.only, around.job
    env = job.opening.environment(cell, machine, task.repeat, job.plan.seed)
    wanted = case_needs.wanted(cell)
    loaded = around.case_needs and wanted
    if loaded or (wanted and around.fixtures is not None):
        tests = only.tests if only is not None and only.how == "pytest" else None
        case_needs.put_in(machine, cell, tests, around.fixtures or ())
        env = case_needs.environment(env, machine.out)
    if only is not None and cell.cases:
        env |= case_needs.put_list(machine, only.tests)
    try:
        _test(tried, machine, env, log, around)
        allowance.look(last=True)
    except MachineGoneError:
        allowance.look(last=True)  # whoever ends it for that may not be done with it
        if not allowance.over:
            raise
        tried.exit = Exit(status=137, seconds=0.0)
    if allowance.over:
        tried.dead = tried.collect_fault = allowance.over
    job.emit(CellPhase(cell=cell.id, repeat=task.repeat, phase=Phase.COLLECT))
    # Nothing is written to while it is read. Hooks may want what runs: until then it waits.
    hooked = bool(cell.debug or cell.restore)
    _signal_left(machine, tried, "STOP" if hooked else "KILL")
    if tried.exit is not None and tried.exit.status != 0 and not tried.dead:
        try:
            _blame_the_disk(machine, tried.exit, log if cell.engine in GUESTS else None)
        except MachineGoneError as gone:
            tried.dead = str(gone)
    collect(tried, machine, around.masker, by_pytest=loaded)
    result = judge(tried, log)
    if _has_no_report(tried) and (found := stray.stray_reports(machine, around.masker)):
        result = replace(result, warnings=(*result.warnings, found))
    if result.verdict is Verdict.FAILED:
        alive = None if tried.dead else machine
        result = replace(result, hints=hints(cell, result.tail, alive, env, around.callers))
    if hooked:
        _signal_left(machine, tried, "CONT")
        hooks = Hooks(cell, failed=result.verdict is Verdict.FAILED, dead=tried.dead)
        debug = hooks.run(machine, env, log, around.masker)
        hooks.end_left(machine)
        if not tried.collect_fault:
            hooks.collect(machine, tried.folder, around.masker)
        result = replace(result, debug=debug, warnings=(*result.warnings, *hooks.warnings))
    return result


def _signal_left(machine: Machine, tried: Attempt, signal: LeftSignal) -> None:
    if not tried.dead and not machine.signal_left(signal):
        tried.dead = "what the suite had left running ended only with its machine"


def _has_no_report(tried: Attempt) -> bool:
    """Whether a suite that ran to its end left none, in a machine that can still be asked."""
    ended = tried.phase is Phase.RUN and tried.exit is not None and not tried.exit.timed_out
    none = tried.counts is None and not tried.collect_fault and tried.only is None
    return ended and none and not tried.dead


def _silent(task: Task, log: CellLog, around: CellContext, seconds: float, command: str) -> None:
    line = "".join(log.tail(1))
    around.job.emit(
        CellSilent(
            cell=task.cell.id,
            repeat=task.repeat,
            seconds=round(seconds, 1),
            line="" if line.startswith(OURS) else line,
            command=printable(around.masker.mask(command)),
        )
    )


@contextmanager
def _machine(tried: Attempt, stage: Stage, around: CellContext, turn: Turn) -> Iterator[Machine]:
    task = tried.task
    which = (task.repeat, tried.number, task.retry, bool(tried.only))

    def tell(step: str) -> None:
        around.job.emit(CellProgress(cell=task.cell.id, repeat=task.repeat, text=step))

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


def _test(
    tried: Attempt, machine: Machine, env: Mapping[str, str], log: CellLog, around: CellContext
) -> None:
    """`setup`, then `run`, within the suite's one timeout, as the machine counts it."""
    task, cell = tried.task, tried.task.cell
    tried.scale = machine.scale
    left = cell.timeout * tried.scale
    steps = [(Phase.SETUP, script) for script in cell.setup] + [(Phase.RUN, cell.run)]
    for phase, script in steps:
        tried.phase = phase
        around.job.emit(CellPhase(cell=cell.id, repeat=task.repeat, phase=phase))
        if cell.setup:
            log.note(f"--- {phase}")
        tap = tried.begin_tap() if phase is Phase.RUN and cell.report == "tap" else None
        output = partial(_to_both, log.write, tap) if tap else log.write
        command = suite_command(cell, script, machine, env, output=output)
        command = replace(command, timeout=left, errors=log.write if tap else None)
        try:
            if cell.setup and phase is Phase.RUN:
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
        left = max(0.1, left - tried.exit.seconds)
        if tried.exit.timed_out:
            tried.exit = replace(tried.exit, hung=around.masker.mask(tried.exit.hung))
            if tried.exit.ended:
                tried.dead = "the timeout had ended its machine"
            allowed = time_of(cell.timeout, tried.scale)
            log.note(f"--- timed out after {allowed}; it ran: {tried.exit.hung}")
        if tried.exit.status != 0:
            return


def _to_both(one: Callable[[bytes], None], other: Callable[[bytes], None], data: bytes) -> None:
    one(data)
    other(data)


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


def _wanted(keep: str, result: CellResult) -> bool:
    return keep == "always" or (keep == "failed" and result.verdict in BAD)
