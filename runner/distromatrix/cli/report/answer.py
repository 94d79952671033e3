"""The answer of a run that is over, in the ways that were asked for."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import nullcontext
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from distromatrix.cli.output import echo, echo_json, open_console
from distromatrix.cli.report.github import nothing_obeyed, tell_github
from distromatrix.model import Plan, RunResult

if TYPE_CHECKING:
    from distromatrix.record.history import History
    from distromatrix.reports.reasons import Explained


def show_answer(
    plan: Plan,
    result: RunResult,
    folder: Path,
    *,
    as_json: bool,
    github: bool,
    history: History,
    groups: Explained,
    warnings: Iterable[str] = (),
) -> None:
    """Print it: as JSON, alone on stdout, or for people; for GitHub annotations besides, which
    with JSON go to stderr. `groups`: its failures, with reasons; `warnings` are lines that were
    not yet in any report."""
    earlier = partial(history.earlier, before=result.run)
    if as_json:
        from distromatrix.reports.files import results_json

        for text in warnings:
            echo(f"warning: {text}", err=True)
        echo_json(results_json(plan, result, groups))
    else:
        from distromatrix.reports.terminal.summary import print_summary

        with nothing_obeyed() if github else nullcontext():
            console = open_console()
            print_summary(
                console,
                plan,
                result,
                folder=folder,
                warnings=warnings,
                earlier=earlier,
                groups=groups,
            )
    if history.untold:
        echo(f"warning: {history.untold}", err=True)
    if github:
        tell_github(plan, result, folder, err=as_json, earlier=earlier, groups=groups)
