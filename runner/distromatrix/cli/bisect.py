"""`distromatrix bisect`."""

from __future__ import annotations

import shutil
from contextlib import suppress
from pathlib import Path

import click

from distromatrix.cli.beside import INTERRUPTED, opened_beside, plan_one
from distromatrix.cli.options import completing, options, settings_here
from distromatrix.cli.output import echo
from distromatrix.cli.trust import allow
from distromatrix.errors import EXIT_INFRASTRUCTURE, EXIT_OK, InputError
from distromatrix.project.project import load_project


@click.command(
    name="bisect",
    epilog="Exits with 0 when the commit is found, 2 if --good fails or --bad passes, 69 if it "
    "cannot be told.",
)
@click.argument("cell", metavar="CELL[::CASE]", shell_complete=completing("cells"))
@click.option("--good", required=True, metavar="REF", help="A commit at which it passes.")
@click.option(
    "--bad", default="HEAD", show_default=True, metavar="REF", help="A commit at which it fails."
)
@options("directory", "file", "engine", "timeout", "trust")
def command(
    cell: str,
    good: str,
    bad: str,
    directory: Path,
    file: Path | None,
    timeout: float | None,
) -> int:
    """Find the first commit of the product at which a cell, or a case of it, fails.

    The matrix, the images and what the suite runs are today's; only the product is of another
    commit, in a work tree of its own. Commits at which the cell is an error, or the case does not
    run, are skipped.

    \b
    Examples:
      distromatrix bisect debian-11/unit --good v1.2
      distromatrix bisect debian-11/unit::test_login --good HEAD~20 --bad HEAD~3
    """
    from distromatrix.project.bisect import Product, Search
    from distromatrix.record.folder import BISECTS

    settings = settings_here()
    project = load_project(directory, file, settings)
    name, _, case = cell.partition("::")
    plan, _ = plan_one(project, name, "bisect", timeout)
    allow(plan)
    with opened_beside(plan, settings, BISECTS) as (engines, folder):
        work = folder.path / "product"
        try:
            product = Product(plan.product.path, work)
            ends = product.resolve(good), product.resolve(bad)
            if not product.between(ends[1], ends[0]):
                raise InputError(f"--bad {bad} has no commit that --good {good} does not have")
            if untried := product.untried(ends[1]):
                echo(untried, err=True)
            (folder.path / "steps").mkdir()
            search = Search(
                plan=plan,
                case=case,
                engines=engines,
                settings=settings,
                folder=folder.path / "steps",
            )
            found = search.find(product, *ends, tell=lambda line: echo(line, err=True))
            described = [product.describe(commit) for commit in found.first]
        except KeyboardInterrupt:
            echo(f"interrupted; logs: {folder.path}", err=True)
            return INTERRUPTED
        finally:
            with suppress(OSError):
                shutil.rmtree(work)
    if len(found.first) > 1:
        echo("the first bad commit is one of these; those between could not be told:")
    else:
        echo("the first bad commit:")
    for commit, text in zip(found.first, described, strict=True):
        echo(f"  {commit}  {text}")
    echo(f"bad     {found.bad.why or 'failed'}: {found.bad.log}")
    echo(f"good    {found.good.commit[:12]}: {found.good.log}")
    return EXIT_OK if len(found.first) == 1 else EXIT_INFRASTRUCTURE
