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
    epilog="Exit codes are those of a run; a shard that is missing makes its cells errors (69). "
    "2: there is nothing to merge, or it is not all of one plan.",
)
@click.argument("folders", nargs=-1, metavar="DIR...", type=click.Path(path_type=Path))
@options(
    *("directory", "file", "plan_path"),
    helps={
        "plan_path": "The plan file all shards must be of; then even all of them may be missing."
    },
)
@click.option(
    "--into",
    type=click.Path(path_type=Path),
    metavar="DIR",
    help="The folder of the merged run, a new one (default: one below .distromatrix/runs).",
)
@click.option(
    "--durations",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Add how long the cells took to this file, which `plan --durations` balances by.",
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
    """Make one run of the shards of a plan, and show its answer.

    DIR is the run folder of a shard, or a folder that has some below it, such as the one that
    all jobs' artifacts were downloaded to. What comes out is a run like any other: `report`,
    `run --failed` and all else work on it.

    A shard that left no run, or was killed in the middle, makes its cells errors: a loss is never
    silent. Of a shard that ran again the last run counts. Shards of another plan are refused.

    \b
    Examples:
      distromatrix report merge shards/
      distromatrix report merge shards/ --plan plan.json --github
      distromatrix report merge .distromatrix/runs --into merged --json
      distromatrix report merge shards/ --durations durations.json
    """
    from distromatrix.files.whole import give_all_to_caller
    from distromatrix.merge import find_shards, localised, merge
    from distromatrix.plan.file import read_plan_file
    from distromatrix.record.folder import RunFolder
    from distromatrix.reports.files import write_reports

    if not folders and plan_path is None:
        raise click.UsageError("which run folders? name them, or a folder that has them below it")
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
        warnings = (*_warnings(folder.path), *_update(durations, result))
        show_answer(plan, result, folder.path, as_json=as_json, github=github, warnings=warnings)
        give_all_to_caller(folder.path)
    return result.exit_code


def _check_new(into: Path) -> None:
    """Before anything is read. Raises InputError."""
    if into.is_symlink() or into.exists():
        empty = into.is_dir() and not into.is_symlink() and not any(into.iterdir())
        if not empty:
            raise InputError(f"{into}: is there already: --into makes a new folder")


def _warnings(folder: Path) -> tuple[str, ...]:
    from distromatrix.reports.replay import warnings

    return warnings(folder)


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
