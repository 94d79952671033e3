"""`distromatrix completion`, and the names that shells complete by it."""

from __future__ import annotations

from pathlib import Path

import click

from distromatrix.cli.output import echo
from distromatrix.errors import DistromatrixError


@click.command(name="completion")
@click.argument("shell", type=click.Choice(("bash", "zsh", "fish")))
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
    from click.shell_completion import get_completion_class

    if made := get_completion_class(shell):
        root = click.get_current_context().find_root().command
        script = made(root, {}, "distromatrix", "_DISTROMATRIX_COMPLETE").source()
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
