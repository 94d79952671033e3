"""`distromatrix report merge`."""

from __future__ import annotations

import os
import shlex
import sys
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import click

from distromatrix.cli.options import options
from distromatrix.cli.output import echo
from distromatrix.cli.report.answer import show_answer
from distromatrix.errors import InputError
from distromatrix.files.given import require_stays
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
@options(
    *("history", "as_json", "github"),
    helps={"history": "Compare the run with those that FILE remembers, and add it to them."},
)
def command(
    folders: tuple[Path, ...],
    directory: Path,
    file: Path | None,
    plan_path: Path | None,
    into: Path | None,
    history: Path | None,
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
      distromatrix report merge shards/ --history history.sqlite3
    """
    from distromatrix.cli.report.page import add_page
    from distromatrix.files.whole import give_all_to_caller
    from distromatrix.merge import find_shards, localised, merge
    from distromatrix.plan.file import read_plan_file
    from distromatrix.record.folder import RunFolder
    from distromatrix.record.history import History
    from distromatrix.record.history_file import beside
    from distromatrix.reports.files import write_reports
    from distromatrix.reports.replay import warnings

    if not folders and plan_path is None:
        raise click.UsageError("name the run folders to merge, or a directory that contains them")
    whole = read_plan_file(plan_path) if plan_path else None
    if into is not None:
        _check_new(into)
    found = find_shards(folders, whole)
    root = find_root(directory, file)
    for path in filter(None, (into, *beside(history))):
        require_stays(path, root)
    plan = localised(found.file.plan, root)
    past = History.of(plan.root, plan.matrix, history)
    past = past if history else replace(past, path=None)
    with ExitStack() as stack:
        made = RunFolder.create_at(into) if into else RunFolder.create(plan.root)
        folder = stack.enter_context(made)
        result = merge(found, plan, folder, shlex.join(["distromatrix", *sys.argv[1:]]))
        stamp = past.stamp(folder.id, plan.product.path)
        stamp = replace(stamp, commit=stamp.commit or os.environ.get("GITHUB_SHA", ""))
        written = write_reports(folder.path, plan, result)
        show_answer(
            plan,
            result,
            folder.path,
            as_json=as_json,
            github=github,
            history=past,
            groups=written.groups,
            warnings=warnings(folder.path),
        )
        if warning := past.add(stamp, result.cells, written.outcomes):
            echo(f"warning: {warning}", err=True)
        add_page(plan, result, folder.path, past, written.groups)
        give_all_to_caller(folder.path)
    return result.exit_code


def _check_new(into: Path) -> None:
    """Before anything is read. Raises InputError."""
    if into.is_symlink() or into.exists():
        empty = into.is_dir() and not into.is_symlink() and not any(into.iterdir())
        if not empty:
            raise InputError(f"{into}: already exists; --into needs a new directory")
