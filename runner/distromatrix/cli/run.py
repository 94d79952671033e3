"""`distromatrix run`: load, plan, execute, report."""

from __future__ import annotations

import gc
import shlex
import sys
from collections.abc import Mapping
from contextlib import ExitStack, suppress
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from distromatrix.cli.cluster import engines_for, opened, refuse_local
from distromatrix.cli.option_types import DURATION
from distromatrix.cli.options import (
    NOTHING,
    OF_A_PLAN,
    OF_EXPORT,
    WithChanged,
    only_touched,
    options,
    planned_part,
    settings_here,
)
from distromatrix.cli.output import echo, echo_json, open_console, tell_only
from distromatrix.cli.trust import allow
from distromatrix.errors import EXIT_OK, EngineUnavailableError, InputError, NothingSelectedError
from distromatrix.model import BAD, HostFacts, Matrix, Plan, RunResult, Selection, Shard
from distromatrix.plan.needs import CONTAINERS
from distromatrix.project.project import Project, find_root, guests_of, load_project, restrict
from distromatrix.project.session import (
    begin_run,
    bound_caches,
    job_of,
    keeper_of,
    require_images,
)
from distromatrix.record.events import Event

if TYPE_CHECKING:
    from distromatrix.engines import Engines
    from distromatrix.execute.job import Options
    from distromatrix.execute.product.snapshot import Snapshot
    from distromatrix.load.settings import Settings
    from distromatrix.plan.file import PlanFile
    from distromatrix.record.folder import RunFolder
    from distromatrix.record.history import History
    from distromatrix.reports.files import Written

_OF_EXECUTION = (
    "fail_fast",
    "retries",
    "keep",
    "export",
    "export_size",
    "with_secrets",
    "allow_unmet",
    "fail_on_flaky",
    "silent_after",
)
SWEEP_WITHIN = 10.0  # seconds that a run which has ended waits for the sweep of dead ones


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What the command line says."""

    selection: Selection
    changed: str | None
    directory: Path
    file: Path | None
    timeout: float | None
    plan_path: Path | None
    shard: Shard | None
    failed: bool
    resume: str | None
    check_reads: bool
    repeat: int | None
    seed: int | None
    no_cache: bool
    output: str | None
    as_json: bool
    options: Options


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """A plan and all that it takes to execute it. `snapshot`: of a run that goes on, the product
    as it was; `part`: the shard of a plan file that this is; `history`: what is remembered of the
    project's runs; `traced`: the matrix whose `reads` are to be checked."""

    plan: Plan
    engines: Engines
    folder: RunFolder
    settings: Settings
    options: Options
    history: History
    snapshot: Snapshot | None = None
    part: PlanFile | None = None
    traced: Matrix | None = None


@click.command(
    name="run",
    cls=WithChanged,
    epilog="A SELECTOR is a glob for DISTRO/SUITE[/VARIANT], matched segment by segment; a shorter "
    "one selects everything below it. Several selectors are a union, as are several --tag and "
    "several --set. Selectors, tags and sets must all match.",
)
@options("selection", "changed", "directory", "file", "engine", "jobs")
@options("cluster", "insecure_cluster")
@click.option("--fail-fast", is_flag=True, help="Start no more cells after the first failure.")
@options("timeout", "plan_path", "shard", needs={"shard": OF_A_PLAN})
@click.option(
    "--failed", is_flag=True, help="Run only the cells that did not pass in the latest run."
)
@click.option("--resume", metavar="RUN", help="Continue an interrupted run (or `latest`).")
@click.option(
    "--retries",
    type=click.IntRange(0, 10),
    default=1,
    show_default=True,
    metavar="N",
    help="Retry infrastructure faults up to N times; a product's failures are never retried.",
)
@click.option(
    "--keep",
    type=click.Choice(["never", "failed", "always"]),
    default="never",
    show_default=True,
    help="Keep the machines of these cells, for `distromatrix shell`.",
)
@options(
    *("export", "export_size", "with_secrets"),
    needs={"export_size": OF_EXPORT, "with_secrets": OF_EXPORT},
)
@click.option(
    "--allow-unmet", is_flag=True, help="Skip cells whose needs no engine meets; do not fail."
)
@click.option("--no-cache", is_flag=True, help="Run without the suites' `caches`.")
@click.option(
    "--fail-on-flaky",
    is_flag=True,
    help="Fail cells that passed only on a retry (`retry_failed`).",
)
@click.option(
    "--silent-after",
    type=DURATION,
    default="1m",
    show_default=True,
    metavar="T",
    help="Report what a cell is running when it has printed nothing for T.",
)
@click.option(
    "--check-reads",
    is_flag=True,
    help="Trace with strace which files of the product suites open, and report the `reads` that "
    "are missing or needless.",
)
@options(
    *("repeat", "seed", "offline", "trust", "output", "as_json"),
    helps={
        "output": "Append `NAME=…`, the run's folder, to the file named by $GITHUB_OUTPUT.",
        "as_json": "Print only results.json to stdout.",
    },
)
def command(**given: Any) -> int:
    """Test the product on the distributions in its matrix.

    \b
    Examples:
      distromatrix run                                 run every cell
      distromatrix run debian-12 'alpine-*'            run some distributions
      distromatrix run '*/unit' --exclude debian-sid
      distromatrix run --set pr --tag '!slow'          run a set without its slow cells
      distromatrix run --changed=origin/main           run what a branch changes
      distromatrix run --check-reads                   check what suites say that they read
      distromatrix run --failed --keep failed          rerun failures, and keep their machines
      distromatrix run --export failed                 keep failing machines as files
      distromatrix run --resume latest                 continue after a crash
      distromatrix run --repeat 10 --shuffle random    find flaky tests
      distromatrix run --plan plan.json --shard 3/10   run one shard of a saved plan
      distromatrix run --cluster tls://192.0.2.1:8786  run on the hosts of a Dask cluster
      distromatrix run --offline                       run without network
    """
    from distromatrix.cli.report.github import output_file, put_out
    from distromatrix.cli.report.page import add_page
    from distromatrix.execute.job import Options

    if given["output"] is not None:
        output_file(given["output"])
    settings = settings_here()
    options = Options(
        jobs=settings.jobs,
        command=shlex.join(["distromatrix", *sys.argv[1:]]),
        **{name: given.pop(name) for name in _OF_EXECUTION},
    )
    refuse_local(settings, {"keep": options.keep, "plan_path": given["plan_path"]})
    asked = Asked(**given, options=options)
    with ExitStack() as stack:
        run = _go_on(asked, settings, stack) if asked.resume else _begin(asked, settings, stack)
        if run is None:
            return EXIT_OK
        if asked.output is not None:
            put_out(str(run.folder.path), asked.output)
        history = run.history
        stamp = history.stamp(run.folder.id, run.plan.product.path)
        snapshot = run.snapshot or begin_run(
            run.plan, run.folder, run.engines.containers, run.part, partial(echo, err=True)
        )
        result = _execute(run, snapshot, as_json=asked.as_json)
        written = _report(run, result, as_json=asked.as_json)
        if run.traced is not None:  # its cells took longer than they do
            from distromatrix.project.check_reads import check_reads

            for line in check_reads(run.traced, snapshot.files().keys(), result, run.folder.path):
                echo(f"reads   {line}", err=True)
        elif warning := history.add(stamp, result.cells, written.outcomes) or history.untold:
            echo(f"warning: {warning}", err=True)
        add_page(run.plan, result, run.folder.path, history, written.groups)
    return result.exit_code


def _begin(asked: Asked, settings: Settings, stack: ExitStack) -> Run | None:
    """A new run of a plan made here, or of a plan file's shard; None where that has no cells.
    Its engines and its folder are open until the stack is left."""
    from distromatrix.record.folder import RunFolder

    part = traced = cluster = None
    if asked.plan_path is not None:
        part, plan = planned_part(
            asked.plan_path, asked.shard, asked.directory, asked.file, settings
        )
        if not plan.cells:
            echo(f"shard {part.shard} has no cells; nothing to do", err=True)
            return None
    else:
        project = load_project(asked.directory, asked.file, settings)
        cluster = opened(settings, stack)
        facts = cluster.hosts.facts() if cluster else None
        selection = only_touched(project, asked.selection, asked.changed)
        plan = _plan(project, replace(selection, timeout=asked.timeout), asked.failed, facts)
        if not plan.cells:
            echo(NOTHING, err=True)
            return None
        plan = replace(plan, repeat=asked.repeat or 1, seed=asked.seed)
        if asked.check_reads:
            from distromatrix.plan.traced import traced as with_strace

            plan, traced = with_strace(plan), project.matrix
    if asked.no_cache:
        plan = replace(plan, cells=tuple(replace(cell, caches={}) for cell in plan.cells))
    allow(plan)
    engines = engines_for(cluster, settings, stack)
    if cluster is None:
        require_images(engines.containers, settings, plan)
    folder = stack.enter_context(RunFolder.create(plan.root))
    history, seconds = _expected(plan, part)
    return Run(
        plan=plan,
        engines=engines,
        folder=folder,
        settings=settings,
        options=replace(asked.options, seconds=seconds),
        history=history,
        part=part,
        traced=traced,
    )


def _plan(
    project: Project, selection: Selection, failed: bool, facts: HostFacts | None = None
) -> Plan:
    plan = project.plan(selection, facts=facts)
    if not failed or not plan.cells:
        return plan
    from distromatrix.record.folder import find_run
    from distromatrix.reports.replay import read_run

    latest = find_run(project.matrix.root, None)
    ids = {r.id for r in read_run(latest).cells if r.verdict in BAD}
    plan = restrict(plan, ids, f"did not fail in run {latest.name}")
    if not plan.cells:
        raise NothingSelectedError(f"--failed: none of these cells failed in run {latest.name}")
    return plan


def _go_on(asked: Asked, settings: Settings, stack: ExitStack) -> Run:
    """A run that was cut off, as its folder holds it. What is still there of it is removed."""
    from distromatrix.execute.product.snapshot import manifest, stored
    from distromatrix.execute.sweep import sweep_before
    from distromatrix.plan.file import read_plan
    from distromatrix.record.folder import RunFolder, find_run, require_plain
    from distromatrix.reports.replay import finished, repeated

    root = find_root(asked.directory, asked.file)
    path = find_run(root, asked.resume)
    require_plain(path)
    folder = stack.enter_context(RunFolder.lock(path))
    if not folder.plan.exists() or not manifest(folder.snapshot).exists():
        raise InputError(
            f"run {path.name} cannot be resumed: "
            + ("it has finished" if folder.plan.exists() else "it had not started")
        )
    plan = read_plan(folder.plan)
    done = finished(folder.journal, plan.repeat)
    allow(replace(plan, root=root), stored=True)
    planned = (cell.engine for cell in plan.cells if cell.engine in CONTAINERS)
    settings = replace(settings, engine=next(filter(None, planned), settings.engine))
    cluster = opened(settings, stack)
    engines = engines_for(cluster, settings, stack)
    sweep_before(engines.containers, folder)
    for name in () if cluster else guests_of(plan):
        with suppress(EngineUnavailableError):  # its cells will say so
            sweep_before(engines.of(name), folder)
    keeper = keeper_of(plan, engines.containers, folder)
    snapshot = stored(plan.product, folder.snapshot, keeper)
    ids = frozenset(result.id for result in done)
    if cluster is None:
        require_images(engines.containers, settings, plan, snapshot=snapshot, done=ids)
    history, seconds = _expected(plan)
    runs = repeated(folder.journal)
    return Run(
        plan=plan,
        engines=engines,
        folder=folder,
        settings=settings,
        options=replace(asked.options, done=done, repeated=runs, seconds=seconds),
        history=history,
        snapshot=snapshot,
    )


def _expected(plan: Plan, part: PlanFile | None = None) -> tuple[History, Mapping[str, float]]:
    """What is remembered of the project's runs, and how long each cell is expected to take by
    that, or by the plan file of which the run is a part."""
    from distromatrix.plan.durations import informed
    from distromatrix.record.history import History

    history = History.of(plan.root, plan.matrix)
    if part is not None:
        return history, informed(part.seconds)
    known = history.durations()
    if known.warning:
        echo(f"warning: {known.warning}", err=True)
    return history, informed(known.estimate(plan))


def _execute(run: Run, snapshot: Snapshot, *, as_json: bool) -> RunResult:
    """Execute the plan: its events go to the journal and to whoever looks on, while what dead
    runs left is removed."""
    from distromatrix.execute.executor import execute
    from distromatrix.execute.sweep import sweep
    from distromatrix.execute.threads import in_background
    from distromatrix.record.journal import Journal
    from distromatrix.reports.terminal.live import live_report

    gc.set_threshold(700)  # what is loaded is there
    if not as_json:
        tell_only("`distromatrix report` shows the report again")
    gc.freeze()  # the product's files, of which there may be many, stay
    # What it cannot remove now, the next one will.
    sweeping = in_background(lambda: sweep(run.engines.containers, room=run.settings.keep_products))
    with Journal(run.folder.journal) as journal, live_report(open_console(stderr=as_json)) as live:

        def emit(event: Event) -> None:
            journal(event)
            live(event)

        job = job_of(run.plan, run.engines, run.settings, run.folder, snapshot, emit, run.options)
        result = execute(job)
    if not result.interrupted:
        sweeping.join(SWEEP_WITHIN)
        bound_caches(run.engines.containers, run.settings, run.plan)
    return result


def _report(run: Run, result: RunResult, *, as_json: bool) -> Written:
    """Write the reports, and show the answer. Returns what was found out for them."""
    from distromatrix.files.whole import give_all_to_caller
    from distromatrix.reports.files import results_json, write_reports
    from distromatrix.reports.terminal.summary import print_summary

    written = write_reports(run.folder.path, run.plan, result)
    give_all_to_caller(run.folder.path)
    print_summary(
        open_console(stderr=as_json),
        run.plan,
        result,
        folder=run.folder.path,
        earlier=partial(run.history.earlier, before=run.folder.id),
        groups=written.groups,
    )
    if as_json:
        echo_json(results_json(run.plan, result, written.groups))
    return written
