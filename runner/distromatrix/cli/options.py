"""What the commands share: the options that say which project, and with which engine."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar, cast

import click

from distromatrix.model import Plan, Selection, Shard
from distromatrix.plan.needs import CONTAINERS, GUESTS
from distromatrix.project.project import Project, load_project

if TYPE_CHECKING:
    from distromatrix.load.settings import Settings

_ENGINE = "distromatrix.engine"  # in click.Context.meta

Command = TypeVar("Command", bound=Callable[..., Any])


def project_options(command: Command) -> Command:
    """-m FILE and -C DIR."""
    for option in (
        click.option(
            "-C",
            "directory",
            type=click.Path(path_type=Path),
            default=Path(),
            metavar="DIR",
            help="The project's folder (default: here).",
        ),
        click.option(
            "-m",
            "--matrix",
            "file",
            type=click.Path(path_type=Path),
            default=None,
            metavar="FILE",
            help="The matrix file (default: matrix/default.yaml).",
        ),
    ):
        command = option(command)
    return command


def selection_options(command: Command) -> Command:
    """SELECTOR …, --exclude GLOB, --tag TAG and --set NAME: the command is given a Selection,
    which is as a new one where none of them was said."""

    @functools.wraps(command)
    def with_selection(
        *args: Any,
        selectors: tuple[str, ...],
        exclude: tuple[str, ...],
        tags: tuple[str, ...],
        sets: tuple[str, ...],
        **others: Any,
    ) -> Any:
        selection = Selection(selectors=selectors, exclude=exclude, tags=tags, sets=sets)
        return command(*args, selection=selection, **others)

    wrapped: Any = with_selection
    for option in (
        click.option(
            "--set",
            "sets",
            multiple=True,
            metavar="NAME",
            help="Only cells of that set of the matrix's; of several, those of any.",
        ),
        click.option(
            "--tag",
            "tags",
            multiple=True,
            metavar="TAG",
            help="Only cells with that tag, of several with any; with `!TAG` none of its cells.",
        ),
        click.option(
            "--exclude", multiple=True, metavar="GLOB", help="Leave these cells out; may repeat."
        ),
        click.argument("selectors", nargs=-1, metavar="[SELECTOR]..."),
    ):
        wrapped = option(wrapped)
    return cast("Command", wrapped)


def shard_options(command: Command) -> Command:
    """--plan FILE and --shard K/N, for what is done beside `run --plan`."""
    from distromatrix.cli.option_types import SHARD

    for option in (
        click.option(
            "--shard", type=SHARD, metavar="K/N", help="With --plan: of only that shard's cells."
        ),
        click.option(
            "--plan",
            "plan_path",
            type=click.Path(path_type=Path),
            metavar="FILE",
            help="Of the cells of a plan file (`plan --save`).",
        ),
    ):
        command = option(command)
    return command


def planned_part(
    path: Path, shard: Shard | None, directory: Path, file: Path | None, settings: Settings
) -> Plan:
    """What `run --plan FILE --shard K/N` would run here. Raises InputError."""
    from distromatrix.plan.file import Part, read_plan_file
    from distromatrix.project.replan import plan_here

    part = Part(file=read_plan_file(path), shard=shard or Shard(1, 1))
    return plan_here(part, path, directory, file, settings)


def engine_option(command: Command) -> Command:
    """--engine NAME, for every command that opens an engine or plans for one: `settings_here`
    tells it."""
    return click.option(
        "--engine",
        type=click.Choice(CONTAINERS),
        default=None,
        expose_value=False,
        callback=_note_engine,
        help="What opens containers (default: docker, or `engine:` of your settings, or "
        "$DISTROMATRIX_ENGINE).",
    )(command)


def any_engine_option(command: Command) -> Command:
    """The same, where guests may be named, too."""
    return click.option(
        "--engine",
        type=click.Choice((*CONTAINERS, *GUESTS)),
        default=None,
        expose_value=False,
        callback=_note_engine,
        help="Which engine of containers; or one of guests, whatever the plan chose.",
    )(command)


def _note_engine(ctx: click.Context, _param: click.Parameter, value: str | None) -> None:
    ctx.meta[_ENGINE] = value


def asked_engine() -> str | None:
    """What --engine says to the command that runs."""
    asked: str | None = click.get_current_context().meta.get(_ENGINE)
    return asked


def settings_here() -> Settings:
    """The user's settings, with the engine that this command was told. Raises InputError."""
    from distromatrix.load.settings import load_settings

    settings = load_settings()
    asked = asked_engine()
    return replace(settings, engine=asked if asked in CONTAINERS else settings.engine)


def open_project(directory: Path, file: Path | None) -> Project:
    """The project, with the settings of this command. Raises InputError with all faults."""
    return load_project(directory, file, settings_here())
