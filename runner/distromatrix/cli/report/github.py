"""For GitHub: a run's answer (`--github` of `report` and `report merge`), and a step's outputs."""

from __future__ import annotations

import os
import re
import secrets
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from distromatrix.cli.output import echo, print_command
from distromatrix.errors import InputError
from distromatrix.files.whole import whole_file, writing
from distromatrix.model import Case, Plan, RunResult
from distromatrix.project.session import handed_secrets

if TYPE_CHECKING:
    from distromatrix.reports.reasons import Explained
    from distromatrix.reports.since import AskEarlier

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


def tell_github(
    plan: Plan,
    result: RunResult,
    folder: Path,
    *,
    earlier: AskEarlier,
    groups: Explained,
    err: bool = False,
) -> None:
    """Print the annotations (`err`: on stderr) and write the summary: into the run's folder, and
    where the job has one, behind what its summary holds already."""
    from distromatrix.collect.masking import Masker
    from distromatrix.reports.github.annotations import make_annotations
    from distromatrix.reports.github.places import place_of
    from distromatrix.reports.github.summary import github_summary
    from distromatrix.reports.replay import warnings

    mask = Masker(tuple(handed_secrets(plan.pass_env).values())).mask
    place = _placing(plan.product.path, place_of)
    for one in make_annotations(plan, result, place=place, mask=mask):
        print_command(str(one), err=err)

    def summary(before: int) -> str:
        return github_summary(
            plan,
            result,
            mask=mask,
            before=before,
            warnings=warnings(folder),
            earlier=earlier,
            groups=groups,
        )

    named = os.environ.get(SUMMARY)
    try:
        with whole_file(folder / _FILE) as file:
            file.write(summary(0).encode())
        if named:
            there = Path(named)
            _append(there, summary(there.stat().st_size if there.exists() else 0))
    except OSError as error:
        where = error.filename or named or folder
        echo(f"warning: cannot write the summary: {where}: {error.strerror}", err=True)


def output_file(name: str) -> Path:
    """Where the output `name` of a step is written. Raises InputError where there is none."""
    if not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_-]*", name):
        raise InputError(f"--output: invalid output name {name[:40]!r}")
    if file := os.environ.get("GITHUB_OUTPUT"):
        return Path(file)
    raise InputError(
        "--output needs $GITHUB_OUTPUT, which is not set outside a GitHub workflow; without "
        "--output the value is printed"
    )


def put_out(line: str, name: str | None) -> None:
    """Print a line; or make it the output `name` of a step. Raises InputError."""
    if name is None:
        echo(line)
        return
    file = output_file(name)
    if len(line.splitlines()) > 1:  # the next would be another output
        raise InputError(f"--output: {line!r} has more than one line")
    with (
        writing(file, "$GITHUB_OUTPUT cannot be written"),
        file.open("a", encoding="utf-8", errors="surrogateescape") as output,
    ):
        output.write(f"{name}={line}\n")


def _append(path: Path, text: str) -> None:
    if not text:
        echo(f"warning: {path}: no room left for the summary", err=True)
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
