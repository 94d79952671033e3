"""`distromatrix run`."""

from __future__ import annotations

import shlex
import sys
from contextlib import ExitStack, suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import click

from distromatrix.cli.offline import offline_option, with_offline
from distromatrix.cli.option_types import DURATION, JOBS, SEED, SHARD
from distromatrix.cli.options import (
    asked_engine,
    engine_option,
    open_project,
    project_options,
    selection_options,
    settings_here,
)
from distromatrix.cli.output import echo, echo_json, open_console, tell_only
from distromatrix.cli.trust import allow, trust_option
from distromatrix.errors import EXIT_OK, EngineUnavailableError, InputError, NothingSelectedError
from distromatrix.model import REPEATS, Plan, RunResult, Selection, Shard
from distromatrix.plan.needs import CONTAINERS
from distromatrix.project.project import Project, find_root, guests_of, restrict
from distromatrix.project.session import begin_run, job_of, opened_engines, require_images
from distromatrix.record.events import Event
from distromatrix.record.verdicts import BAD

if TYPE_CHECKING:
    from distromatrix.engines import Engines
    from distromatrix.execute.job import Options
    from distromatrix.load.settings import Settings
    from distromatrix.plan.file import Part
    from distromatrix.record.folder import RunFolder

SWEEP_WITHIN = 10.0  # seconds that a run which has ended waits for the sweep of dead ones


@click.command(
    name="run",
    epilog="A selector is a glob by path segment over DISTRO/SUITE[/VARIANT]; a shorter one "
    "selects all below it. Several are a union, as are several --tag, and several --set; a cell "
    "is run that all three choose.",
)
@selection_options
@project_options
@engine_option
@click.option("-j", "--jobs", type=JOBS, default=None, metavar="N|auto", help="Cells at once.")
@click.option("--fail-fast", is_flag=True, help="Begin no more cells after the first bad one.")
@click.option(
    "--timeout", type=DURATION, metavar="T", help="Instead of every suite's own (`90s`, `10m`)."
)
@click.option(
    "--plan",
    "plan_path",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Run a plan file of `plan --save`, by the project here, which must be the same.",
)
@click.option("--shard", type=SHARD, metavar="K/N", help="Of that plan only this shard.")
@click.option("--failed", is_flag=True, help="Only what did not pass in the latest run.")
@click.option("--resume", metavar="RUN", help="Go on with a run that was cut off (or `latest`).")
@click.option(
    "--retries",
    type=click.IntRange(0, 10),
    default=1,
    show_default=True,
    metavar="N",
    help="How often an infrastructure fault is tried again; a product's failure never is.",
)
@click.option(
    "--keep",
    type=click.Choice(["never", "failed", "always"]),
    default="never",
    show_default=True,
    help="Which machines stay, to be entered.",
)
@click.option("--allow-unmet", is_flag=True, help="Cells whose needs nothing meets are no failure.")
@click.option(
    "--fail-on-flaky", is_flag=True, help="What passed only when run again (retry_failed) fails."
)
@offline_option
@click.option(
    "--silent-after",
    type=DURATION,
    default="1m",
    show_default=True,
    metavar="T",
    help="Say what runs in a cell that has printed nothing for so long.",
)
@click.option(
    "--repeat",
    type=click.IntRange(1, REPEATS),
    metavar="N",
    help="Run every cell N times; what both passed and failed is told as flaky.",
)
@click.option(
    "--shuffle",
    "seed",
    type=SEED,
    metavar="SEED",
    help="Begin the cells in an order shuffled by a number, a text, or `random`; cells see it "
    "in DISTROMATRIX_SEED.",
)
@trust_option
@click.option(
    "--output",
    metavar="NAME",
    help="Append `NAME=…`, the run's folder, to the file that $GITHUB_OUTPUT names.",
)
@click.option("--json", "as_json", is_flag=True, help="Print results.json on stdout, alone.")
def command(
    selection: Selection,
    directory: Path,
    file: Path | None,
    jobs: int | None,
    fail_fast: bool,
    timeout: float | None,
    plan_path: Path | None,
    shard: Shard | None,
    failed: bool,
    resume: str | None,
    retries: int,
    keep: str,
    allow_unmet: bool,
    fail_on_flaky: bool,
    offline: bool | None,
    silent_after: float,
    repeat: int | None,
    seed: int | None,
    output: str | None,
    as_json: bool,
) -> int:
    """Test the product on the distributions of its matrix.

    \b
    Examples:
      distromatrix run                          everything
      distromatrix run debian-12 'alpine-*'     those distributions
      distromatrix run '*/unit' --exclude debian-sid
      distromatrix run --set pr --tag '!slow'   a set that the matrix names, but what is slow
      distromatrix run --failed --keep failed   again what failed, and keep it to look at
      distromatrix run --resume latest          go on after a crash
      distromatrix run --repeat 10 --shuffle random   what passes only sometimes?
      distromatrix run --plan plan.json --shard 3/10   one part of what `plan --save` planned
      distromatrix run --offline                with the images that are here, without network
    """
    from distromatrix.cli.report.github import output_file, put_out
    from distromatrix.execute.job import Options
    from distromatrix.execute.product.snapshot import Snapshot
    from distromatrix.execute.sweep import sweep_before
    from distromatrix.record.folder import RunFolder

    fresh = (selection != Selection(), failed, timeout, repeat, asked_engine())
    if resume and (any(fresh) or seed is not None):
        raise click.UsageError(
            "--resume goes on with the stored plan: "
            "no selector, --exclude, --tag, --set, --failed, --timeout, --repeat, --shuffle, "
            "--engine"
        )
    _check_plan_options(plan_path, shard, resume, fresh[:4], seed)
    if output is not None:
        output_file(output)
    settings = with_offline(settings_here(), offline)
    options = Options(
        jobs=(settings.jobs if jobs is None else jobs) or None,
        fail_fast=fail_fast,
        retries=retries,
        keep=keep,
        allow_unmet=allow_unmet,
        fail_on_flaky=fail_on_flaky,
        silent_after=silent_after,
        command=shlex.join(["distromatrix", *sys.argv[1:]]),
    )
    part: Part | None = None
    with ExitStack() as stack:
        if resume:
            root = find_root(directory, file)
            folder, plan, options = _resumed(stack, root, resume, options)
            allow(replace(plan, root=root), stored=True)
            planned = (cell.engine for cell in plan.cells if cell.engine in CONTAINERS)
            settings = replace(settings, engine=next(filter(None, planned), settings.engine))
            engines = stack.enter_context(opened_engines(settings))
            sweep_before(engines.containers, folder)
            for name in guests_of(plan):
                with suppress(EngineUnavailableError):  # its cells will say so
                    sweep_before(engines.of(name), folder)
            done = frozenset(r.id for r in options.done)
            stored = Snapshot(path=folder.snapshot)
            require_images(engines.containers, settings, plan, snapshot=stored, done=done)
        else:
            if plan_path is not None:
                part, plan = _of_file(plan_path, shard, directory, file, settings)
                if not plan.cells:
                    echo(f"shard {part.shard} has no cells: nothing to do", err=True)
                    return EXIT_OK
            else:
                project = open_project(directory, file)
                plan = _planned(project, replace(selection, timeout=timeout), failed)
                plan = replace(plan, repeat=repeat or 1, seed=seed)
            allow(plan)
            engines = stack.enter_context(opened_engines(settings))
            require_images(engines.containers, settings, plan)
            folder = stack.enter_context(RunFolder.create(plan.root))
        if output is not None:
            put_out(str(folder.path), output)
        result = _carry_out(plan, engines, settings, folder, options, as_json, part)
    return result.exit_code


def _check_plan_options(
    path: Path | None,
    shard: Shard | None,
    resume: str | None,
    fresh: tuple[object, ...],
    seed: int | None,
) -> None:
    """What goes with --plan: nothing that would make it another plan than the others run."""
    if path is None and shard is not None:
        raise click.UsageError(
            "--shard is one of a plan file's: write that with `distromatrix plan --save FILE`, "
            "then run it with --plan FILE --shard K/N"
        )
    if path is None:
        return
    if resume:
        raise click.UsageError("--resume goes on with the plan that its run has: no --plan")
    if any(fresh) or seed is not None:
        raise click.UsageError(
            "--plan runs a plan as it is: no selector, --exclude, --tag, --set, --failed, "
            "--timeout, --repeat, --shuffle (say all but --failed to `plan --save`)"
        )


def _of_file(
    path: Path, shard: Shard | None, directory: Path, file: Path | None, settings: Settings
) -> tuple[Part, Plan]:
    from distromatrix.plan.file import Part, read_plan_file
    from distromatrix.project.replan import plan_here

    part = Part(file=read_plan_file(path), shard=shard or Shard(1, 1))
    return part, plan_here(part, path, directory, file, settings)


def _planned(project: Project, selection: Selection, failed: bool) -> Plan:
    plan = project.plan(selection)
    if not failed:
        return plan
    from distromatrix.record.folder import find_run
    from distromatrix.reports.replay import read_run

    latest = find_run(project.matrix.root, None)
    ids = {r.id for r in read_run(latest).cells if r.verdict in BAD}
    plan = restrict(plan, ids, f"did not fail in run {latest.name}")
    if not plan.cells:
        raise NothingSelectedError(f"--failed: nothing of this failed in run {latest.name}")
    return plan


def _resumed(
    stack: ExitStack, root: Path, name: str, options: Options
) -> tuple[RunFolder, Plan, Options]:
    from distromatrix.plan.file import read_plan
    from distromatrix.record.folder import RunFolder, find_run, require_plain
    from distromatrix.reports.replay import finished, repeated

    path = find_run(root, name)
    require_plain(path)
    folder = stack.enter_context(RunFolder.lock(path))
    if not folder.plan.exists() or not folder.snapshot.exists():
        raise InputError(
            f"run {path.name} cannot go on: "
            + ("it came to its end" if folder.plan.exists() else "it had not begun")
        )
    plan = read_plan(folder.plan)
    done = finished(folder.journal, plan.repeat)
    return folder, plan, replace(options, done=done, repeated=repeated(folder.journal))


def _carry_out(
    plan: Plan,
    engines: Engines,
    settings: Settings,
    folder: RunFolder,
    options: Options,
    as_json: bool,
    part: Part | None,
) -> RunResult:
    """The run itself, from the plan to its reports."""
    from distromatrix.execute.executor import execute
    from distromatrix.execute.product.snapshot import Snapshot
    from distromatrix.execute.sweep import sweep
    from distromatrix.execute.threads import behind
    from distromatrix.files.whole import give_all_to_caller
    from distromatrix.record.journal import Journal
    from distromatrix.reports.files import results_json, write_reports
    from distromatrix.reports.terminal.live import live_report
    from distromatrix.reports.terminal.summary import print_summary

    if not as_json:
        tell_only("`distromatrix report` shows the run's answer again")
    console = open_console(stderr=as_json)
    resumed = folder.plan.exists()
    snapshot = Snapshot(path=folder.snapshot) if resumed else begin_run(plan, folder, part)
    sweeping = behind(
        lambda: sweep(engines.containers)
    )  # what it cannot remove now, the next one will
    with Journal(folder.journal) as journal, live_report(console) as live:

        def emit(event: Event) -> None:
            journal(event)
            live(event)

        result = execute(job_of(plan, engines, settings, folder, snapshot, emit, options))
    if not result.interrupted:
        sweeping.join(SWEEP_WITHIN)
    write_reports(folder.path, plan, result)
    give_all_to_caller(folder.path)
    print_summary(console, plan, result, folder=folder.path)
    if as_json:
        echo_json(results_json(plan, result))
    return result
