"""`distromatrix completion`, and the names that shells complete by it."""

from __future__ import annotations

from pathlib import Path

import click
from click.shell_completion import (
    BashComplete,
    CompletionItem,
    FishComplete,
    ShellComplete,
    ZshComplete,
    add_completion_class,
)

from distromatrix.cli.output import echo
from distromatrix.errors import DistromatrixError


class _Complete(ShellComplete):
    """With what click leaves out: `--tag=q` is three words to bash, and to others one, all of
    which they replace."""

    def get_completions(self, args: list[str], incomplete: str) -> list[CompletionItem]:
        """click's, of a value that begins so after these words."""
        if args[-1:] == ["="]:
            args = args[:-1]
        found = super().get_completions(args, incomplete)
        option, equals, _ = incomplete.partition("=")
        if equals and option.startswith("--"):
            for item in found:
                item.value = f"{option}={item.value}"
        return found


class _Bash(_Complete, BashComplete):
    # click's script would take `*/unit` for the files that match.
    source_template = BashComplete.source_template.replace(
        "local IFS", "local -; set -f\n    local IFS"
    )


class _Zsh(_Complete, ZshComplete):
    pass


class _Fish(_Complete, FishComplete):
    pass


SHELLS: dict[str, type[ShellComplete]] = {"bash": _Bash, "zsh": _Zsh, "fish": _Fish}


def complete_as_here() -> None:
    """Have click complete by these, when a shell asks."""
    for name, shell in SHELLS.items():
        add_completion_class(shell, name)


@click.command(name="completion")
@click.argument("shell", type=click.Choice(tuple(SHELLS)))
def command(shell: str) -> None:
    """Print the script by which a shell completes commands, options, and the names of cells,
    distros, tags and sets.

    It calls `distromatrix` for each completion, and so knows the matrix as it is. Bash must be
    4.4 or newer.

    \b
    Examples:
      distromatrix completion bash >> ~/.bashrc
      distromatrix completion zsh >> ~/.zshrc    after compinit
      distromatrix completion fish > ~/.config/fish/completions/distromatrix.fish
    """
    root = click.get_current_context().find_root().command
    script = SHELLS[shell](root, {}, "distromatrix", "_DISTROMATRIX_COMPLETE").source()
    echo(script, lines=True, end="")


def known(kind: str, ctx: click.Context, begun: str) -> list[str]:
    """The names of the project, of `cells`, `distros`, `tags` or `sets`, that begin so. None
    where it cannot be read: the command itself will say why."""
    try:
        names = _names(kind, ctx.params.get("directory") or Path(), ctx.params.get("file"), begun)
    except (DistromatrixError, OSError):
        return []
    return [name for name in dict.fromkeys(names) if name.startswith(begun)]


def _names(kind: str, directory: Path, file: Path | None, begun: str) -> list[str]:
    from distromatrix.load.settings import Settings
    from distromatrix.model import Selection
    from distromatrix.project.project import all_distros, load_project

    if kind == "distros":
        return [distro.name for distro in all_distros(directory)]
    project = load_project(directory, file, Settings())
    if kind == "sets":
        return [one.name for one in project.matrix.sets]
    cells = project.plan(Selection(), locked=False).cells
    if kind == "tags":
        return [tag for cell in cells for tag in cell.tags]
    # Distros first; their cells where only one is left, or when it is spelt out.
    distros = [name for name in dict.fromkeys(c.distro for c in cells) if name.startswith(begun)]
    everywhere = [f"*/{cell.suite}" for cell in cells if begun.startswith("*")]
    below = [cell.id for cell in cells] if len(distros) < 2 else []
    return [*distros, *below, *everywhere]
