"""`distromatrix report`."""

from __future__ import annotations

import json
from pathlib import Path

import click

from distromatrix.cli.project import project_options
from distromatrix.project import find_root


@click.command(name="report")
@click.argument("run", required=False)
@project_options
@click.option("--json", "as_json", is_flag=True, help="Print results.json on stdout, alone.")
def command(run: str | None, directory: Path, file: Path | None, as_json: bool) -> int:
    """Show a run's answer again, made anew from its journal (default: the latest run).

    Exits as the run did; writes the run's results.json and junit.xml again if they are not there.

    \b
    Examples:
      distromatrix report
      distromatrix report 20261123-101500-1a2b --json
    """
    from rich.console import Console

    from distromatrix.planfile import read_plan
    from distromatrix.reports.files import results_json, write_reports
    from distromatrix.reports.replay import read_run
    from distromatrix.reports.summary import print_summary
    from distromatrix.runs import find_run, is_alive

    folder = find_run(find_root(directory, file), run)
    result = read_run(folder)
    plan = read_plan(folder / "plan.json")
    if not is_alive(folder):
        write_reports(folder, plan, result)
    if as_json:
        click.echo(json.dumps(results_json(plan, result), indent=2))
    else:
        print_summary(Console(highlight=False), plan, result, folder=folder)
    return result.exit_code
