"""The options that several commands have, each declared once: with the setting that it beats, and
what does not go with it; and what they say to the command that runs."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar, cast

import click
from click.core import ParameterSource

from distromatrix.cli.option_types import DURATION, JOBS, SEED, SHARD
from distromatrix.model import REPEATS, Plan, Selection, Shard
from distromatrix.plan.needs import CONTAINERS, GUESTS
from distromatrix.project.project import Project, load_project

if TYPE_CHECKING:
    from distromatrix.load.settings import Settings
    from distromatrix.plan.file import Part

Command = TypeVar("Command", bound=Callable[..., Any])

_KEPT = "distromatrix.options"  # in click.Context.meta: what is no parameter of the command
_PATH = click.Path(path_type=Path)


@dataclass(frozen=True, slots=True, kw_only=True)
class Option:
    """An option, or an argument where its first flag has no dash. `setting`: the key of the user's
    settings that it beats, as $DISTROMATRIX_… does, and the `default` of that; `kept`: it is no
    parameter of commands, which ask `said`; `more`: what click knows of it."""

    flags: tuple[str, ...]
    help: str = ""
    setting: str = ""
    default: str = ""
    kept: bool = False
    more: Mapping[str, Any] = field(default_factory=dict)

    def add(self, command: Callable[..., Any], help_text: str = "") -> Callable[..., Any]:
        """The command with this option."""
        if not self.flags[0].startswith("-"):
            return click.argument(*self.flags, **self.more)(command)
        text = help_text or self.help
        if self.setting:
            variable = f"$DISTROMATRIX_{self.setting.upper()}"
            text += f" Default: {variable}, else `{self.setting}:` of your settings"
            text += f", else {self.default}." if self.default else "."
        hidden: dict[str, Any] = {"expose_value": False, "callback": _keep} if self.kept else {}
        return click.option(*self.flags, help=text, **hidden, **self.more)(command)


def _keep(ctx: click.Context, param: click.Parameter, value: object) -> None:
    ctx.meta.setdefault(_KEPT, {})[param.name] = value


OPTIONS: Mapping[str, Option] = {
    "directory": Option(
        flags=("-C", "directory"),
        help="The project's folder (default: here).",
        more={"type": _PATH, "default": Path(), "metavar": "DIR"},
    ),
    "file": Option(
        flags=("-m", "--matrix", "file"),
        help="The matrix file (default: matrix/default.yaml).",
        more={"type": _PATH, "metavar": "FILE"},
    ),
    "selectors": Option(flags=("selectors",), more={"nargs": -1, "metavar": "[SELECTOR]..."}),
    "exclude": Option(
        flags=("--exclude",),
        help="Leave these cells out; may repeat.",
        more={"multiple": True, "metavar": "GLOB"},
    ),
    "tags": Option(
        flags=("--tag", "tags"),
        help="Only cells with that tag, of several with any; with `!TAG` none of its cells.",
        more={"multiple": True, "metavar": "TAG"},
    ),
    "sets": Option(
        flags=("--set", "sets"),
        help="Only cells of that set of the matrix's; of several, those of any.",
        more={"multiple": True, "metavar": "NAME"},
    ),
    "engine": Option(
        flags=("--engine",),
        help="What opens containers.",
        setting="engine",
        default="docker",
        kept=True,
        more={"type": click.Choice(CONTAINERS)},
    ),
    "any_engine": Option(
        flags=("--engine",),
        help="Which engine of containers; or one of guests, whatever the plan chose.",
        kept=True,
        more={"type": click.Choice((*CONTAINERS, *GUESTS))},
    ),
    "jobs": Option(
        flags=("-j", "--jobs"),
        help="Cells at once.",
        setting="jobs",
        default="auto",
        kept=True,
        more={"type": JOBS, "metavar": "N|auto"},
    ),
    "offline": Option(
        flags=("--offline/--no-offline",),
        help="Take images from the engine's store alone; ask no registry and no mirror. What is "
        "missing is told in one list, and nothing starts (exit 69).",
        setting="offline",
        kept=True,
        more={"default": None},
    ),
    "trust": Option(
        flags=("--trust",),
        help="Let this checkout reach this host as these say (`distromatrix trust --digest`); "
        "without any, as it likes, which is not safe for pull requests. Also $DISTROMATRIX_TRUST.",
        kept=True,
        more={"is_flag": False, "flag_value": "all", "metavar": "[DIGEST,…]"},
    ),
    "plan_path": Option(
        flags=("--plan", "plan_path"),
        help="The cells of a plan file that `plan --save` wrote.",
        more={"type": _PATH, "metavar": "FILE"},
    ),
    "shard": Option(
        flags=("--shard",),
        help="Only the cells of that shard.",
        more={"type": SHARD, "metavar": "K/N"},
    ),
    "timeout": Option(
        flags=("--timeout",),
        help="Instead of every suite's own (`90s`, `10m`).",
        more={"type": DURATION, "metavar": "T"},
    ),
    "repeat": Option(
        flags=("--repeat",),
        help="Run every cell N times; what both passed and failed is told as flaky.",
        more={"type": click.IntRange(1, REPEATS), "metavar": "N"},
    ),
    "seed": Option(
        flags=("--shuffle", "seed"),
        help="Begin the cells in an order shuffled by a number, a text, or `random`; cells see it "
        "in DISTROMATRIX_SEED.",
        more={"type": SEED, "metavar": "SEED"},
    ),
    "output": Option(
        flags=("--output",),
        help="Append `NAME=…` to the file that $GITHUB_OUTPUT names, instead of printing.",
        more={"metavar": "NAME"},
    ),
    "github": Option(
        flags=("--github",),
        help="Print annotations, and add a summary to $GITHUB_STEP_SUMMARY (and to the run's "
        "folder).",
        more={"is_flag": True},
    ),
    "as_json": Option(
        flags=("--json", "as_json"),
        help="Print JSON on stdout, alone.",
        more={"is_flag": True},
    ),
}
_SELECTION = ("selectors", "exclude", "tags", "sets")
_PLANNED = (*_SELECTION, "failed", "timeout", "repeat", "seed")
OF_A_PLAN = ("plan_path", " FILE (`distromatrix plan --save FILE` writes one)")  # needed
# Of an option: what it is, and those that would make it something else.
CONFLICTS: Mapping[str, tuple[str, tuple[str, ...]]] = {
    "resume": ("goes on with the stored plan", (*_PLANNED, "engine", "plan_path")),
    "plan_path": ("is a plan as it was made", _PLANNED),
}


def options(
    *names: str,
    needs: Mapping[str, tuple[str, str]] | None = None,
    conflicts: Mapping[str, tuple[str, tuple[str, ...]]] | None = None,
    helps: Mapping[str, str] | None = None,
) -> Callable[[Command], Command]:
    """A command's options of OPTIONS. `selection` stands for four of them, of which the command
    is given one Selection, as new where none of them was said. `needs`: of an option, the one that
    it goes with, and how to come by that; `conflicts`: such as CONFLICTS, of this command alone;
    `helps`: an option's help here, where that says more."""

    def decorate(command: Command) -> Command:
        @functools.wraps(command)
        def checked(*args: Any, **given: Any) -> Any:
            _refuse_conflicts((conflicts or {}), needs or {})
            if "selection" in names:
                given["selection"] = Selection(**{name: given.pop(name) for name in _SELECTION})
            return command(*args, **given)

        wrapped: Any = checked
        every = [n for name in names for n in (_SELECTION if name == "selection" else (name,))]
        for name in reversed(every):
            wrapped = OPTIONS[name].add(wrapped, (helps or {}).get(name, ""))
        return cast("Command", wrapped)

    return decorate


def _refuse_conflicts(
    conflicts: Mapping[str, tuple[str, tuple[str, ...]]], needs: Mapping[str, tuple[str, str]]
) -> None:
    """Raises UsageError with those of the given options that do not go together."""
    ctx = click.get_current_context()
    values = ctx.params | ctx.meta.get(_KEPT, {})
    given = {
        param.name: param.opts[-1] if param.param_type_name == "option" else "SELECTOR"
        for param in ctx.command.params
        if ctx.get_parameter_source(param.name or "") is ParameterSource.COMMANDLINE
        and values.get(param.name) != ()
    }
    for name, (what, others) in (*CONFLICTS.items(), *conflicts.items()):
        if name in given and (wrong := [given[other] for other in others if other in given]):
            text = f"{given[name]} {what}: it does not go with {', '.join(wrong)}"
            raise click.UsageError(text)
    for name, (other, hint) in needs.items():
        if name in given and other not in given:
            raise click.UsageError(f"{given[name]} goes with --{other.removesuffix('_path')}{hint}")


def said(name: str) -> Any:
    """What an option that commands are not given says to the one that runs; else None."""
    return click.get_current_context().meta.get(_KEPT, {}).get(name)


def settings_here() -> Settings:
    """The user's settings, with what this command was told. Raises InputError."""
    from distromatrix.load.settings import load_settings

    settings = load_settings()
    if (engine := said("engine")) in CONTAINERS:
        settings = replace(settings, engine=engine)
    if (jobs := said("jobs")) is not None:
        settings = replace(settings, jobs=jobs or None)
    if (offline := said("offline")) is not None:
        settings = replace(settings, offline=offline)
    return settings


def open_project(directory: Path, file: Path | None) -> Project:
    """The project, with the settings of this command. Raises InputError with all faults."""
    return load_project(directory, file, settings_here())


def planned_part(
    path: Path, shard: Shard | None, directory: Path, file: Path | None, settings: Settings
) -> tuple[Part, Plan]:
    """A shard of a plan file, and what it is here. Raises InputError."""
    from distromatrix.plan.file import Part, read_plan_file
    from distromatrix.project.replan import plan_here

    part = Part(file=read_plan_file(path), shard=shard or Shard(1, 1))
    return part, plan_here(part, path, directory, file, settings)
