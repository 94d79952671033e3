"""`distromatrix report merge`."""

from __future__ import annotations

import shlex
import sys
from contextlib import ExitStack
from pathlib import Path

import click

from distromatrix.cli.options import options
from distromatrix.cli.report.answer import show_answer
from distromatrix.errors import InfrastructureError, InputError
from distromatrix.files.given import require_stays
from distromatrix.model import RunResult
from distromatrix.project.project import find_root


@click.command(
    name="merge",
    epilog="Exits like `run`: the cells of a missing shard are errors (69). Exits with 2 if there "
    "is nothing to merge, or the shards belong to different plans.",
)
@click.argument("folders", nargs=-1, metavar="DIR...", type=click.Path(path_type=Path))
@options(
    *("directory", "file", "plan_path"),
    helps={"plan_path": "Plan file of the shards; with it, even all shards may be missing."},
)
@click.option(
    "--into",
    type=click.Path(path_type=Path),
    metavar="DIR",
    help="New directory for the merged run (default: below .distromatrix/runs).",
)
@click.option(
    "--durations",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Add the durations of the cells to FILE, for `plan --durations`.",
)
@options("as_json", "github")
def command(
    folders: tuple[Path, ...],
    directory: Path,
    file: Path | None,
    plan_path: Path | None,
    into: Path | None,
    durations: Path | None,
    as_json: bool,
    github: bool,
) -> int:
    """Merge the shards of a plan into one run, and show its report.

    DIR is the run folder of a shard, or a directory that contains some, such as the downloaded
    artifacts of all jobs. The result is a run like any other, for `report`, `run --failed` and so
    on.

    If a shard is missing or was killed, its cells are errors. If a shard ran more than once, its
    last run counts. Shards of another plan are refused.

    \b
    Examples:
      distromatrix report merge shards/
      distromatrix report merge shards/ --plan plan.json --github
      distromatrix report merge .distromatrix/runs --into merged --json
      distromatrix report merge shards/ --durations durations.json
    """
    from distromatrix.cli.report.page import add_page
    from distromatrix.files.whole import give_all_to_caller
    from distromatrix.merge import find_shards, localised, merge
    from distromatrix.plan.file import read_plan_file
    from distromatrix.record.folder import RunFolder
    from distromatrix.reports.files import write_reports
    from distromatrix.reports.replay import warnings

    if not folders and plan_path is None:
        raise click.UsageError("name the run folders to merge, or a directory that contains them")
    whole = read_plan_file(plan_path) if plan_path else None
    if into is not None:
        _check_new(into)
    found = find_shards(folders, whole)
    root = find_root(directory, file)
    for path in filter(None, (into, durations, durations and Path(f"{durations}.lock"))):
        require_stays(path, root)
    plan = localised(found.file.plan, root)
    with ExitStack() as stack:
        made = RunFolder.create_at(into) if into else RunFolder.create(plan.root)
        folder = stack.enter_context(made)
        result = merge(found, plan, folder, shlex.join(["distromatrix", *sys.argv[1:]]))
        write_reports(folder.path, plan, result)
        told = (*warnings(folder.path), *_update(durations, result))
        show_answer(plan, result, folder.path, as_json=as_json, github=github, warnings=told)
        add_page(plan, result, folder.path)
        give_all_to_caller(folder.path)
    return result.exit_code


def _check_new(into: Path) -> None:
    """Before anything is read. Raises InputError."""
    if into.is_symlink() or into.exists():
        empty = into.is_dir() and not into.is_symlink() and not any(into.iterdir())
        if not empty:
            raise InputError(f"{into}: already exists; --into needs a new directory")


def _update(path: Path | None, result: RunResult) -> tuple[str, ...]:
    """Durations are a help and no more: what goes wrong with them is a warning."""
    if path is None:
        return ()
    from distromatrix.plan.durations import update

    try:
        said = update(path, result.cells)
    except InfrastructureError as error:
        said = str(error)
    return (said,) if said else ()
