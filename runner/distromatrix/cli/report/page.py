"""A run's page, `report.html`: written after everything else, for nobody is to wait for it."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from distromatrix.cli.output import echo
from distromatrix.errors import InfrastructureError
from distromatrix.model import Plan, RunResult
from distromatrix.project.session import handed_secrets
from distromatrix.record.history import History

if TYPE_CHECKING:
    from distromatrix.reports.reasons import Explained


def make_page(
    plan: Plan,
    result: RunResult,
    folder: Path,
    history: History,
    groups: Explained | None = None,
) -> Path:
    """Write the page; `groups` as for `write_page`. Raises InfrastructureError, whatever went
    wrong."""
    try:
        from distromatrix.collect.masking import Masker
        from distromatrix.reports.html.page import write_page

        mask = Masker(tuple(handed_secrets(plan.pass_env).values())).mask
        earlier = partial(history.earlier, before=result.run)
        return write_page(folder, plan, result, mask, earlier, groups)
    except Exception as error:
        why = getattr(error, "strerror", None) or f"{type(error).__name__}: {error}"
        raise InfrastructureError(
            f"cannot write the page {folder / 'report.html'}: {why}", transient=False
        ) from error


def add_page(
    plan: Plan, result: RunResult, folder: Path, history: History, groups: Explained
) -> None:
    """Write the page; a fault is a warning."""
    try:
        make_page(plan, result, folder, history, groups)
    except InfrastructureError as error:
        echo(f"warning: {error}", err=True)


def open_page(path: Path) -> None:
    """Show it in the user's browser."""
    import webbrowser

    if not webbrowser.open(path.as_uri()):
        echo(f"warning: no browser found: open {path} in one", err=True)
