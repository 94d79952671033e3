"""The options that several commands have, each declared once: with the setting that it beats, and
what does not go with it; and what they say to the command that runs."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar, cast

import click
from click.core import ParameterSource

from distromatrix.cli.option_types import DURATION, JOBS, SEED, SHARD, SIZE
from distromatrix.model import REPEATS, Plan, Selection, Shard
from distromatrix.plan.needs import CONTAINERS, GUESTS
from distromatrix.project.project import Project, load_project

if TYPE_CHECKING:
    from distromatrix.load.settings import Settings
    from distromatrix.plan.file import PlanFile

Command = TypeVar("Command", bound=Callable[..., Any])

_KEPT = "distromatrix.options"  # in click.Context.meta: what is no parameter of the command
_PATH = click.Path(path_type=Path)


def _keep(ctx: click.Context, param: click.Parameter, value: object) -> None:
    ctx.meta.setdefault(_KEPT, {})[param.name] = value


def _option(
    flags: tuple[str, ...],
    text: str,
    more: Mapping[str, Any],
    *,
    setting: str = "",
    otherwise: str = "",
    kept: bool = False,
) -> Callable[[str], Callable[[Any], Any]]:
    """click's option with the help `text`, or with another one. `more`: what click knows of it;
    `setting`: the key of the user's settings that it beats, as $DISTROMATRIX_… does, and what it
    is `otherwise`; `kept`: it is no parameter of commands, which ask `said`."""
    if setting:
        text += f" Default: $DISTROMATRIX_{setting.upper()}, then `{setting}:` in your settings"
        text += f", then {otherwise}." if otherwise else "."
    hidden: dict[str, Any] = {"expose_value": False, "callback": _keep} if kept else {}
    return lambda instead: click.option(*flags, help=instead or text, **more, **hidden)


def completing(kind: str) -> Callable[[click.Context, click.Parameter, str], list[str]]:
    """How shells complete a value: by the names of the project's `cells`, `distros`, `tags` or
    `sets`."""

    def names(ctx: click.Context, _: click.Parameter, begun: str) -> list[str]:
        from distromatrix.cli.completion import known

        return known(kind, ctx, begun)

    return names


OPTIONS: Mapping[str, Callable[[str], Callable[[Any], Any]]] = {
    "directory": _option(
        ("-C", "directory"),
        "Project directory (default: the current one).",
        {"type": _PATH, "default": Path(), "metavar": "DIR"},
    ),
    "file": _option(
        ("-m", "--matrix", "file"),
        "Matrix file (default: matrix/default.yaml).",
        {"type": _PATH, "metavar": "FILE"},
    ),
    "selectors": lambda _: click.argument(
        "selectors", nargs=-1, metavar="[SELECTOR]...", shell_complete=completing("cells")
    ),
    "exclude": _option(
        ("--exclude",),
        "Exclude matching cells. Repeatable.",
        {"multiple": True, "metavar": "GLOB", "shell_complete": completing("cells")},
    ),
    "tags": _option(
        ("--tag", "tags"),
        "Select cells with this tag, or with `!TAG` those without it. Repeat to select cells with "
        "any of several tags.",
        {"multiple": True, "metavar": "TAG", "shell_complete": completing("tags")},
    ),
    "sets": _option(
        ("--set", "sets"),
        "Select the cells of a set that the matrix defines. Repeat to add other sets.",
        {"multiple": True, "metavar": "NAME", "shell_complete": completing("sets")},
    ),
    "changed": _option(
        ("--changed",),
        "Leave out suites whose `reads` match no file that changed since the merge base with REF "
        "(`--changed=REF`; default: the default branch).",
        {"metavar": "[=REF]"},
    ),
    "engine": _option(
        ("--engine",),
        "Container engine.",
        {"type": click.Choice(CONTAINERS)},
        setting="engine",
        otherwise="docker",
        kept=True,
    ),
    "any_engine": _option(
        ("--engine",),
        "Container engine, or guest engine to use instead of the planned one.",
        {"type": click.Choice((*CONTAINERS, *GUESTS))},
        kept=True,
    ),
    "jobs": _option(
        ("-j", "--jobs"),
        "Number of cells to run at once.",
        {"type": JOBS, "metavar": "N|auto"},
        setting="jobs",
        otherwise="auto",
        kept=True,
    ),
    "offline": _option(
        ("--offline/--no-offline",),
        "Use only images in the engine's store; contact no registry or mirror. If images are "
        "missing, list them all and exit with 69 before anything starts.",
        {"default": None},
        setting="offline",
        kept=True,
    ),
    "cluster": _option(
        ("--cluster",),
        "Run the cells on the workers of the Dask cluster at ADDRESS (`tls://HOST:PORT`, "
        "`tcp://HOST:PORT` or a scheduler file).",
        {"metavar": "ADDRESS"},
        setting="cluster",
        otherwise="this host",
        kept=True,
    ),
    "insecure_cluster": _option(
        ("--insecure-cluster",),
        "Send the product and secrets unencrypted (`tcp://`) to other hosts.",
        {"is_flag": True},
        setting="insecure_cluster",
        kept=True,
    ),
    "trust": _option(
        ("--trust",),
        "Trust this checkout to access this host as these digests describe (see `distromatrix "
        "trust --digest`). Without digests, trust it fully, which is not safe for pull requests. "
        "Also $DISTROMATRIX_TRUST.",
        {"is_flag": False, "flag_value": "all", "metavar": "[DIGEST,…]"},
        kept=True,
    ),
    "plan_path": _option(
        ("--plan", "plan_path"),
        "Use the cells of a plan file written by `plan --save`.",
        {"type": _PATH, "metavar": "FILE"},
    ),
    "shard": _option(
        ("--shard",), "Use only the cells of shard K of N.", {"type": SHARD, "metavar": "K/N"}
    ),
    "timeout": _option(
        ("--timeout",),
        "Override the timeout of every suite (`90s`, `10m`).",
        {"type": DURATION, "metavar": "T"},
    ),
    "repeat": _option(
        ("--repeat",),
        "Run every cell N times; report what both passed and failed as flaky.",
        {"type": click.IntRange(1, REPEATS), "metavar": "N"},
    ),
    "seed": _option(
        ("--shuffle", "seed"),
        "Start cells in a shuffled order. The seed is a number, any text, or `random`; cells see "
        "it in DISTROMATRIX_SEED.",
        {"type": SEED, "metavar": "SEED"},
    ),
    "output": _option(
        ("--output",),
        "Append `NAME=…` to the file named by $GITHUB_OUTPUT instead of printing it.",
        {"metavar": "NAME"},
    ),
    "history": _option(
        ("--history",),
        "Use the history in FILE, which `report merge --history` writes, in place of your own.",
        {"type": _PATH, "metavar": "FILE"},
    ),
    "github": _option(
        ("--github",),
        "Print annotations for GitHub, and add a summary to $GITHUB_STEP_SUMMARY and to the run's "
        "folder.",
        {"is_flag": True},
    ),
    "export": _option(
        ("--export",),
        "Write the machines of these cells to files in the run's folder, for `distromatrix shell "
        "--from FILE` on any host. They hold all that the cell has written.",
        {"type": click.Choice(["never", "failed"]), "default": "never", "show_default": True},
    ),
    "export_size": _option(
        ("--export-size",),
        "Write no larger file of a machine (`500M`, `4G`).",
        {"type": SIZE, "default": "1G", "show_default": True, "metavar": "SIZE"},
    ),
    "with_secrets": _option(
        ("--with-secrets",),
        "Export machines, too, that were handed secrets (`pass_env`) and may hold them.",
        {"is_flag": True},
    ),
    "as_json": _option(("--json", "as_json"), "Print only JSON to stdout.", {"is_flag": True}),
}
_SELECTION = ("selectors", "exclude", "tags", "sets")
FIXED_PLAN = "a saved plan cannot be changed"
_PLANNED = (*_SELECTION, "changed", "failed", "timeout", "repeat", "seed")
NOTHING = "nothing to run: no suite that is selected reads what changed"
OF_A_PLAN = ("plan_path", " FILE (write one with `distromatrix plan --save FILE`)")  # needed
OF_EXPORT = ("export", " failed")
# Of an option: why it stands alone, and those that would make it something else.
CONFLICTS: Mapping[str, tuple[str, tuple[str, ...]]] = {
    "resume": (
        "it continues the stored plan",
        (*_PLANNED, "engine", "plan_path", "check_reads", "no_cache"),
    ),
    "plan_path": (FIXED_PLAN, (*_PLANNED, "save", "arch", "check_reads")),
    "rules": ("it prints rules alone", ("html", "as_json", "github")),
    "html": ("it prints the page's path alone", ("as_json", "github")),
    "distros": ("it names them all", ("minimal", "wide")),
    "minimal": ("these are two", ("wide",)),
    "check_reads": ("one run of each suite is traced, whatever changed", ("repeat", "changed")),
}


class WithChanged(click.Command):
    """A command with the option `changed`, whose value is attached to it: what follows
    `--changed` is a SELECTOR."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:  # noqa: D102
        end = args.index("--") if "--" in args else len(args)
        given = ["--changed=" if word == "--changed" else word for word in args[:end]]
        return super().parse_args(ctx, given + args[end:])


def options(
    *names: str,
    needs: Mapping[str, tuple[str, str]] | None = None,
    helps: Mapping[str, str] | None = None,
) -> Callable[[Command], Command]:
    """A command's options of OPTIONS. `selection` stands for four of them, of which the command
    is given one Selection. `needs`: of an option, the one that it requires, and how to come by
    that; `helps`: an option's help here, where that says more."""

    def decorate(command: Command) -> Command:
        @wraps(command)
        def checked(*args: Any, **given: Any) -> Any:
            _refuse_conflicts(needs or {})
            if "selection" in names:
                given["selection"] = Selection(**{name: given.pop(name) for name in _SELECTION})
            return command(*args, **given)

        wrapped: Any = checked
        every = [n for name in names for n in (_SELECTION if name == "selection" else (name,))]
        for name in reversed(every):
            wrapped = OPTIONS[name]((helps or {}).get(name, ""))(wrapped)
        return cast("Command", wrapped)

    return decorate


def _refuse_conflicts(needs: Mapping[str, tuple[str, str]]) -> None:
    """Raises UsageError with those of the given options that do not go together."""
    ctx = click.get_current_context()
    values = ctx.params | ctx.meta.get(_KEPT, {})
    given = {
        param.name: param.opts[-1] if param.param_type_name == "option" else "SELECTOR"
        for param in ctx.command.params
        if ctx.get_parameter_source(param.name or "") is ParameterSource.COMMANDLINE
        and values.get(param.name) != ()
    }
    for name, (why, others) in CONFLICTS.items():
        if name in given and (wrong := [given[other] for other in others if other in given]):
            text = f"{given[name]} cannot be combined with {', '.join(wrong)}: {why}"
            raise click.UsageError(text)
    for name, (other, hint) in needs.items():
        if name in given and other not in given:
            raise click.UsageError(f"{given[name]} requires --{other.removesuffix('_path')}{hint}")


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
    if (cluster := said("cluster")) is not None:
        settings = replace(settings, cluster=cluster)
    if said("insecure_cluster"):
        settings = replace(settings, insecure_cluster=True)
    return settings


def open_project(directory: Path, file: Path | None) -> Project:
    """The project, with the settings of this command. Raises InputError with all faults."""
    return load_project(directory, file, settings_here())


def only_touched(project: Project, selection: Selection, changed: str | None) -> Selection:
    """The selection without the suites that no change since `changed` touches ('': since the
    default branch, None: with all suites). Says what that means. Raises InputError."""
    if changed is None:
        return selection
    from distromatrix.cli.output import echo
    from distromatrix.project.changed import changes_since

    changes = changes_since(project.matrix, changed)
    echo(f"--changed: {changes.said}", err=True)
    return replace(selection, untouched=changes.left_out)


def plan_of(
    directory: Path,
    file: Path | None,
    plan_path: Path | None,
    shard: Shard | None,
    selection: Selection,
) -> Plan:
    """The plan of a plan file's shard, else of the project. Raises InputError."""
    if plan_path is None:
        return open_project(directory, file).plan(selection)
    return planned_part(plan_path, shard, directory, file, settings_here())[1]


def planned_part(
    path: Path, shard: Shard | None, directory: Path, file: Path | None, settings: Settings
) -> tuple[PlanFile, Plan]:
    """A shard of a plan file, and what it is here. Raises InputError."""
    from distromatrix.plan.file import read_plan_file
    from distromatrix.project.replan import plan_here

    part = replace(read_plan_file(path), shard=shard or Shard(1, 1))
    return part, plan_here(part, path, directory, file, settings)
