"""A run's answer for GitHub: `--github` of `report` and `report merge`."""

from __future__ import annotations

import os
import secrets
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import click

from distromatrix.cli.output import print_command
from distromatrix.model import Case, Plan, RunResult
from distromatrix.project import handed_secrets

SUMMARY = "GITHUB_STEP_SUMMARY"
_FILE = "summary.md"  # in the run's folder


@contextmanager
def nothing_obeyed() -> Iterator[None]:
    """What is printed here is no workflow command, whatever products may have printed:
    https://docs.github.com/en/actions/reference/workflows-and-actions/workflow-commands"""
    token = secrets.token_hex(16)
    print_command(f"::stop-commands::{token}")
    try:
        yield
    finally:
        print_command(f"::{token}::")


def tell_github(plan: Plan, result: RunResult, folder: Path, *, err: bool = False) -> None:
    """Print the annotations (`err`: on stderr) and write the summary: into the run's folder, and
    where the job has one, behind what its summary holds already."""
    from distromatrix.collect.masking import Masker
    from distromatrix.reports.annotations import make_annotations
    from distromatrix.reports.github_summary import github_summary
    from distromatrix.reports.places import place_of
    from distromatrix.reports.replay import warnings

    mask = Masker(tuple(handed_secrets(plan.pass_env).values())).mask
    place = _placing(plan.product.path, place_of)
    for one in make_annotations(plan, result, place=place, mask=mask):
        print_command(str(one), err=err)

    def summary(before: int) -> str:
        return github_summary(plan, result, mask=mask, before=before, warnings=warnings(folder))

    named = os.environ.get(SUMMARY)
    try:
        _write(folder / _FILE, summary(0))
        if named:
            there = Path(named)
            _append(there, summary(there.stat().st_size if there.exists() else 0))
    except OSError as error:
        where = error.filename or named or folder
        click.echo(f"warning: no summary: {where}: {error.strerror}", err=True)


def _write(path: Path, text: str) -> None:
    part = path.with_name(path.name + ".part")
    part.write_text(text, encoding="utf-8")
    part.replace(path)


def _append(path: Path, text: str) -> None:
    if not text:
        click.echo(f"warning: {path} is full: no room for the summary", err=True)
        return
    with path.open("a", encoding="utf-8", newline="\n") as file:
        file.write(f"\n\n{text}")


def _placing(
    product: Path, place_of: Callable[[Case, Callable[[str], bool]], tuple[str, int]]
) -> Callable[[Case], tuple[str, int]]:
    """Where a case is in the repository, of which the product is a folder. A job without a
    checkout cannot tell whether a path is one of the product's, and takes it as it is."""
    top = Path(os.environ.get("GITHUB_WORKSPACE") or product)
    prefix = product.relative_to(top) if product.is_relative_to(top) else Path()
    checked_out = product.is_dir() and any(p.name[0] != "." for p in product.iterdir())

    def in_product(path: str) -> bool:
        return not checked_out or (product / path).is_file()

    def place(case: Case) -> tuple[str, int]:
        file, line = place_of(case, in_product)
        return (str(prefix / file) if file else ""), line

    return place
