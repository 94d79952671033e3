"""`distromatrix init`."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING

import click

from distromatrix.cli.options import options
from distromatrix.cli.output import echo
from distromatrix.errors import InputError
from distromatrix.files.user_folders import require_current_folder
from distromatrix.project.project import all_distros, host_facts

if TYPE_CHECKING:
    from distromatrix.init import Survey


@click.command(name="init")
@options("directory", helps={"directory": "Product directory (default: the current one)."})
@click.option(
    "--distros", metavar="GLOBS", help="Distributions to test on: names or globs, comma-separated.",
)  # fmt: skip
@click.option("--print", "to_stdout", is_flag=True, help="Print the file instead of writing it.")
def command(directory: Path, distros: str | None, to_stdout: bool) -> None:
    """Create matrix/default.yaml for a product.

    \b
    Detects tox, pytest, unittest and nox, go.mod, Cargo.toml, package.json, CMake, Meson,
    configure scripts, debian/tests and Makefiles with a check or test target. Runs nothing of the
    product, and overwrites nothing.

    \b
    Examples:
      distromatrix init
      distromatrix init --distros 'debian-*,alpine-*'
      distromatrix init --print
    """
    from distromatrix.init import look
    from distromatrix.init.choose import chosen, suggested

    file = directory / "matrix" / "default.yaml"
    require_current_folder(directory)
    if not directory.is_dir():
        raise InputError(f"{directory}: is not a folder")
    if not to_stdout and (file.exists() or file.is_symlink()):
        raise InputError(f"{file}: already exists; init overwrites nothing (see --print)")
    there = all_distros(directory)
    globs = chosen(distros, there)
    found = look(directory)
    text = found.text(globs, suggested(globs, there, host_facts().today))
    if to_stdout:
        echo(text, lines=True, end="")
    else:
        _write(file, text)
    _tell(found, directory, file, to_stdout=to_stdout)
    if not to_stdout and "\nindex: host\n" in text:
        echo("the first run will ask whether cells may use this machine's package indexes")


def _write(file: Path, text: str) -> None:
    from distromatrix.files.given import write_new

    try:
        write_new(file.parent.parent, "matrix/default.yaml", text)
    except OSError as error:
        raise InputError(f"{file}: cannot be written: {error.strerror}") from error


def _tell(found: Survey, directory: Path, file: Path, *, to_stdout: bool) -> None:
    """What was found, and what to do next; on stderr where stdout has the file."""
    for warning in found.warnings:
        echo(f"warning: {warning}", err=True)
    for name, source in found.suites:
        echo(f"{source} → suite {name}", err=to_stdout)
    for finding in found.findings:
        if not finding.drafts:
            echo(f"{finding.source}: {finding.what}", err=to_stdout)
        for note in finding.notes:
            echo(f"note: {note}", err=to_stdout)
    if not found.suites:
        echo("found no tests of this product", err=to_stdout)
    if to_stdout:
        return
    echo(f"wrote {file}" + ("" if found.suites else "; add your test command to it"))
    where = "" if directory == Path() else f" -C {shlex.quote(click.format_filename(directory))}"
    echo(f"next: distromatrix plan{where}, distromatrix run{where}")
