"""Command lines that a user can paste."""

from __future__ import annotations

import os
import shlex
from collections.abc import Iterable, Iterator
from pathlib import Path

from distromatrix.files.user_folders import current_folder
from distromatrix.model import CellResult, CellRun, Exported, Plan
from distromatrix.plan.needs import CONTAINERS

_MOST_SELECTORS = 8


def run_again(plan: Plan, cells: Iterable[str], *, cwd: Path | None = None) -> str:
    """The command that runs just `cells` again, from the folder `cwd` (default: here)."""
    ids = tuple(cells)
    words = ids if len(ids) <= _MOST_SELECTORS else ("--failed",)
    chosen = {cell.engine for cell in plan.cells} & set(CONTAINERS[1:])
    for engine in chosen:  # a plan has one kind of container
        words = ("--engine", str(engine), *words)
    if plan.seed is not None:
        words = ("--shuffle", str(plan.seed), *words)
    if plan.repeat > 1:
        words = ("--repeat", str(plan.repeat), *words)
    return shlex.join(("distromatrix", "run", *project_options(plan, cwd=cwd), *words))


def run_elsewhere(plan: Plan, cells: Iterable[str]) -> str:
    """The command that runs `cells` in another checkout of the product, from its root; where
    they are too many to be named, all of their distros or suites, whichever are fewer."""
    ids = tuple(dict.fromkeys(cells))
    if len(ids) > _MOST_SELECTORS:
        wanted = set(ids)
        named = [cell for cell in plan.cells if cell.id in wanted]
        distros = tuple(dict.fromkeys(cell.distro for cell in named))
        suites = tuple(dict.fromkeys(f"*/{cell.id.partition('/')[2]}" for cell in named))
        ids = min(suites, distros, key=len)[:_MOST_SELECTORS]
    return run_again(plan, ids, cwd=plan.root.absolute())


def resume(plan: Plan, run: str, *, cwd: Path | None = None) -> str:
    """The command that goes on with a run that was cut off, on the engine of its plan."""
    return shlex.join(("distromatrix", "run", *project_options(plan, cwd=cwd), "--resume", run))


def report_rules(plan: Plan, run: str, *, cwd: Path | None = None) -> str:
    """The command that writes the rules that would expect what failed in a run."""
    return shlex.join(("distromatrix", "report", *project_options(plan, cwd=cwd), run, "--rules"))


def exported(cell: CellResult) -> Iterator[Exported]:
    """The files that machines of a cell went into: its runs', and its guests'."""
    ended: tuple[CellResult | CellRun, ...] = (cell, *cell.runs, *cell.retries)
    for one in ended:
        yield from filter(None, (one.exported, *(guest.exported for guest in one.fallback)))


def opens(machine: Exported, folder: Path = Path()) -> str:
    """The command that opens an exported machine of the run in that folder, or from there where
    that has it no more."""
    path = folder / machine.file
    there = shown_path(path) if path.exists() else machine.file
    return shlex.join(("distromatrix", "shell", "--from", there))


def project_options(plan: Plan, *, cwd: Path | None = None) -> tuple[str, ...]:
    """`-C` and `-m`, where they are needed to find this plan's matrix again."""
    cwd = cwd or current_folder()
    options: tuple[str, ...] = ()
    if plan.root.absolute() != cwd:
        options += ("-C", shown_path(plan.root, cwd))
    if plan.matrix != plan.root / "matrix" / "default.yaml":
        options += ("-m", os.path.relpath(plan.matrix, plan.root))
    return options


def shown_path(path: Path, cwd: Path | None = None) -> str:
    """A path as short as it can be: relative where it is at or below `cwd` (default: here)."""
    cwd = cwd or current_folder()
    return str(path.relative_to(cwd)) if path.is_relative_to(cwd) else str(path)
