"""The command line. Each command is one module here, imported only when it is called."""

from __future__ import annotations

import gc
import os
import signal
import sys
from importlib import import_module
from types import FrameType
from typing import Any, NoReturn

import click

from distromatrix import __version__
from distromatrix.cli.output import echo, exit_code, open_streams
from distromatrix.errors import EXIT_INFRASTRUCTURE, EXIT_INPUT, EXIT_OK, DistromatrixError

# New objects after which Python looks for circles among them; its 700 are reached by imports alone,
# whose objects stay.
_GARBAGE = 50_000

COMMANDS = {
    "init": "Create a matrix for a product.",
    "run": "Test the product on the distributions in its matrix.",
    "plan": "Show what would run, on which engine, and why.",
    "distros": "List the available distributions.",
    "add-distro": "Create the file of a new distribution.",
    "images": "Manage the images that cells run on.",
    "guests": "Build Vagrant boxes, and manage kept guests.",
    "report": "Show the report of a run again.",
    "history": "Show since when cells and cases fail.",
    "why": "Show what may be why a cell fails only there.",
    "bisect": "Find the commit of the product that broke a cell.",
    "facts": "Show what differs between the machines of a run.",
    "shell": "Open a shell in a cell's machine.",
    "cluster": "Check the hosts of a cluster.",
    "clean": "Remove what dead runs left behind.",
    "doctor": "Check this machine for missing requirements, and fix them.",
    "trust": "Review and allow a checkout's access to this host.",
    "schema": "Print a JSON Schema for editors.",
    "completion": "Print a shell's completion script.",
}


class LazyGroup(click.Group):
    """A group whose commands are `distromatrix.cli.NAME:command`, imported when used (`-` in a
    command's name is `_` in its module's)."""

    # The four below override click.Group and are documented there.
    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002, D102
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002, D102
        if cmd_name not in COMMANDS:
            return None
        command = import_module(f"distromatrix.cli.{cmd_name.replace('-', '_')}").command
        assert isinstance(command, click.Command)  # noqa: S101 - holds the naming rule above
        return command

    def resolve_command(  # noqa: D102
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args and args[0] not in COMMANDS and not args[0].startswith("-"):
            from distromatrix.wording import did_you_mean

            hint = did_you_mean(args[0], COMMANDS)
            raise click.UsageError(f"no such command: {args[0]}{hint and f'; {hint}'}", ctx)
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002, D102
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))


@click.group(
    cls=LazyGroup,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="Exit codes: 0 success, 1 a cell failed, 2 invalid input, 3 nothing selected, "
    "69 infrastructure failure, 74 output could not be written, 130/143 interrupted.",
)
@click.version_option(__version__, prog_name="distromatrix")
def root() -> None:
    """Run a product's own test suite on every Linux distribution, in parallel.

    \b
    Examples:
      distromatrix init                      create matrix/default.yaml
      distromatrix run                       run every cell of the matrix
      distromatrix run debian-12 'alpine-*'  run some distributions
      distromatrix run '*/unit'              run one suite on every distribution
      distromatrix plan                      show what would run, and why
      distromatrix doctor                    check this machine
    """


def _terminated(number: int, _frame: FrameType | None) -> NoReturn:
    raise SystemExit(128 + number)


def _show_usage(error: click.UsageError) -> None:
    """One line; but a group without a command shows its help."""
    where = error.ctx.command_path if error.ctx else "distromatrix"
    said = error.format_message().rstrip(".")
    if "\n" not in said:
        said = f"{where}: {said} (see `{where} --help`)"
    echo(said, err=True, lines=True)


def _show_fault(*fault: Any) -> None:
    """A traceback is as long as it is, and may quote anything."""
    from traceback import format_exception

    echo("".join(format_exception(*fault)), err=True, lines=True, end="")


def main(args: list[str] | None = None) -> NoReturn:
    """The console script: the one place where errors become exit codes."""
    gc.set_threshold(_GARBAGE)
    # Its plugins are looked for in all that is installed; none of them is ours to run.
    os.environ.setdefault("PYDANTIC_DISABLE_PLUGINS", "__all__")
    open_streams()
    sys.excepthook = _show_fault
    # As with Ctrl-C, so that what was begun is ended; `run` has an answer of its own.
    signal.signal(signal.SIGTERM, _terminated)
    if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:  # nohup(1)
        signal.signal(signal.SIGHUP, _terminated)
    code = exit_code(_call(args))
    gc.freeze()  # what goes with the process need not be looked through
    sys.exit(code)


def _call(args: list[str] | None) -> int:
    if "_DISTROMATRIX_COMPLETE" in os.environ:  # a shell asks
        from distromatrix.cli.completion import complete_as_here

        complete_as_here()
    try:
        code = root.main(args=args, prog_name="distromatrix", standalone_mode=False)
    except click.UsageError as error:
        _show_usage(error)
        code = error.exit_code
    except click.ClickException as error:
        echo(f"Error: {error.format_message()}", err=True)
        code = error.exit_code
    except click.Abort:
        echo("aborted", err=True)
        code = 130
    except DistromatrixError as error:
        echo(error, err=True, lines=True)
        code = error.exit_code
    except KeyboardInterrupt:
        code = 130
    except OSError as error:
        from distromatrix.files.user_folders import GONE, is_gone

        if is_gone(error):
            echo(GONE, err=True)
            return EXIT_INPUT
        where = f"{error.filename}: " if error.filename else ""
        echo(f"{where}{error.strerror or error}", err=True)
        code = EXIT_INFRASTRUCTURE
    return code if isinstance(code, int) else EXIT_OK
