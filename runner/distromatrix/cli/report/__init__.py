"""`distromatrix report`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from distromatrix.cli.options import options
from distromatrix.cli.output import echo
from distromatrix.cli.report.answer import show_answer
from distromatrix.project.project import find_root

if TYPE_CHECKING:
    from distromatrix.model import Plan, RunResult

_MERGE = "merge"


class _Report(click.Command):
    """`report [RUN]`, and `report merge`, which is a command of its own."""

    def make_context(  # documented in click.Command
        self, info_name: str | None, args: list[str], parent: click.Context | None = None, **x: Any
    ) -> click.Context:
        """Of `merge`, where that is the first word."""
        if args[:1] != [_MERGE]:
            return super().make_context(info_name, args, parent, **x)
        from distromatrix.cli.report.merge import command as merge

        return merge.make_context(f"{info_name} {_MERGE}", args[1:], parent, **x)


@click.command(
    name="report",
    cls=_Report,
    epilog="See `distromatrix report merge --help` for merging the shards of a plan into one run.",
)
@click.argument("run", required=False)
@options("directory", "file")
@click.option(
    "--rules",
    is_flag=True,
    help="Print only the rules that would expect these failures.",
)
@click.option(
    "--html", is_flag=True, help="Write the run's page, report.html, and print only where it is."
)
@click.option("--open", "browse", is_flag=True, help="With --html: open the page in a browser.")
@options("history", "as_json", "github", needs={"browse": ("html", "")})
def command(
    run: str | None,
    directory: Path,
    file: Path | None,
    rules: bool,
    html: bool,
    browse: bool,
    history: Path | None,
    as_json: bool,
    github: bool,
) -> int:
    """Show the report of RUN again, from its journal (default: the latest run).

    Exits with the status of the run, and writes the run's results.json and junit.xml again if they
    are missing.

    \b
    Examples:
      distromatrix report
      distromatrix report 20261123-101500-1a2b --json
      distromatrix report --html --open       read it in a browser
      distromatrix report --github            in a workflow step
      distromatrix report --rules             show rules to expect these failures
      distromatrix report merge shards/       merge the runs of all jobs
    """
    from distromatrix.plan.file import read_plan
    from distromatrix.record.folder import find_run, is_alive
    from distromatrix.record.history import History
    from distromatrix.reports.files import write_reports
    from distromatrix.reports.reasons import explained
    from distromatrix.reports.replay import read_run

    folder = find_run(find_root(directory, file), run)
    result = read_run(folder)
    plan = read_plan(folder / "plan.json")
    groups = None if is_alive(folder) else write_reports(folder, plan, result).groups
    if rules:
        _print_rules(plan, result, folder)
        return result.exit_code
    past = History.of(plan.root, plan.matrix, history)
    if html:
        from distromatrix.cli.report.page import make_page, open_page

        path = make_page(plan, result, folder, past, groups)
        echo(str(path))
        if browse:
            open_page(path)
        return result.exit_code
    groups = explained(plan, result) if groups is None else groups
    show_answer(plan, result, folder, as_json=as_json, github=github, history=past, groups=groups)
    return result.exit_code


def _print_rules(plan: Plan, result: RunResult, folder: Path) -> None:
    from distromatrix.reports.rules import rules_for

    rules = rules_for(plan, result.cells, folder)
    if not rules:
        echo("no failures that a rule could expect", err=True)
        return
    echo("  # Put these first under `rules:`, and give each a reason.")
    for lines in rules:
        for line in lines:
            echo(f"  {line}")
