"""`distromatrix add-distro`."""

from __future__ import annotations

import re
import shlex
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, get_args

import click

from distromatrix.cli.option_types import field
from distromatrix.cli.options import completing, options
from distromatrix.cli.output import echo
from distromatrix.errors import Fault, InputError
from distromatrix.model import Family, Libc, PackageManagerName
from distromatrix.project.project import all_distros, find_distro, host_facts

if TYPE_CHECKING:
    from distromatrix.load.template import Given

_SCHEMAS = ("../runner/distromatrix/schemas/distro.schema.json", "distro.schema.json")


@click.command(name="add-distro")
@click.argument("name")
@click.option(
    "--like",
    metavar="OTHER",
    help="Start from this distribution.",
    shell_complete=completing("distros"),
)
@options(
    "directory",
    helps={"directory": "Project directory whose distros/ to write to (default: the current one)."},
)
@click.option("--title", type=field("Text"), help="Full name.")
@click.option("--pull", type=field("ImageRef"), metavar="REF", help="Image, with registry.")
@click.option(
    "--archive",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Image made of this root filesystem tarball; its sha256 is filled in.",
)
@click.option("--eol", type=field("Day"), metavar="DAY", help="Last day of any support.")
@click.option("--family", type=click.Choice(get_args(Family)), help="Distribution family.")
@click.option(
    "--package-manager", type=click.Choice(get_args(PackageManagerName)), help="Package manager."
)
@click.option("--libc", type=click.Choice(get_args(Libc)), help="C library.")
def command(
    name: str, like: str | None, directory: Path, archive: Path | None, **said: str | None
) -> None:
    """Create distros/NAME.yaml with every key, for you to edit.

    With --like, the file is valid and starts as a copy of that distribution. Otherwise required
    keys that you do not give are left blank, and reported when the file is read. Existing files
    are never overwritten.

    \b
    Examples:
      distromatrix add-distro fedora-46 --like fedora-45
      distromatrix add-distro ours-1 --like debian-12 --pull quay.io/ours/debian:1
      distromatrix add-distro ours-2 --like alpine-3.20 --archive ./rootfs.tar.gz
      distromatrix add-distro mine-1 --family other --package-manager none --libc musl
    """
    from distromatrix.load.template import Given, from_nothing, like_another

    given = Given(name=_checked(name), **{key: text or "" for key, text in said.items()})
    file = _file(directory, name)
    if archive is not None:
        given = replace(given, archive=_archive_name(archive), sha256=_sha256(archive))
    head = _schema_line(file.parent)
    if like is None:
        _write(file, from_nothing(given, head))
    else:
        _write(file, like_another(given, find_distro(like, all_distros(directory)), head))
    echo(f"wrote {file}")
    if archive is not None:
        _say_where_to_keep(archive, file)
    _say_what_next(directory, file, given, like)


def _checked(name: str) -> str:
    from distromatrix.load.shapes.fields import NAME
    from distromatrix.wording import quoted

    if not re.fullmatch(NAME, name) or ".." in name:
        allowed = "use lower-case letters, digits, `.`, `_` and `-`"
        raise InputError(f"invalid distro name {quoted(name)}: {allowed}")
    return name


def _archive_name(archive: Path) -> str:
    try:
        return str(field("FileName").convert(archive.name, None, None))
    except click.BadParameter as error:
        raise InputError(f"--archive: {error.message}: rename it") from None


def _sha256(archive: Path) -> str:
    from hashlib import file_digest

    try:
        if archive.exists() and not archive.is_file():
            raise InputError(Fault(str(archive), 0, 0, "is not a regular file"))
        with archive.open("rb") as file:
            return file_digest(file, "sha256").hexdigest()
    except OSError as error:
        said = f"cannot be read: {error.strerror}"
        raise InputError(Fault(str(archive), 0, 0, said)) from error


def _file(directory: Path, name: str) -> Path:
    """Where it will be. Raises InputError where something is already."""
    if not directory.is_dir():
        raise InputError(Fault(str(directory), 0, 0, "is not a folder"))
    folder = directory / "distros"
    for there in (folder / f"{name}.yaml", folder / f"{name}.yml"):
        if there.exists() or there.is_symlink():
            raise InputError(Fault(str(there), 0, 0, "already exists"))
    return folder / f"{name}.yaml"


def _schema_line(folder: Path) -> str:
    """What lets an editor complete the file, where the schema lies at hand."""
    found = next((path for path in _SCHEMAS if (folder / path).is_file()), None)
    return f"# yaml-language-server: $schema={found}\n" if found else ""


def _write(file: Path, text: str) -> None:
    from distromatrix.files.given import write_new

    try:
        write_new(file.parent.parent, f"distros/{file.name}", text)
    except FileExistsError:
        raise InputError(Fault(str(file), 0, 0, "already exists")) from None
    except OSError as error:
        said = f"cannot be written: {error.strerror}"
        raise InputError(Fault(str(file), 0, 0, said)) from error


def _say_where_to_keep(archive: Path, file: Path) -> None:
    """Where an archive must lie to be found, unless it does."""
    from distromatrix.load.settings import load_settings

    here = archive.resolve().parent
    if here not in {folder.resolve() for folder in (file.parent, *load_settings().archives)}:
        echo(
            f"put {archive.name} beside it, or tell where it is (`archives:` in your settings), or"
        )
        echo(f"  export DISTROMATRIX_ARCHIVES={shlex.quote(str(here))}")


def _say_what_next(directory: Path, file: Path, given: Given, like: str | None) -> None:
    first = "first what its comments name" if like else "blank and commented keys"
    project = "" if directory == Path() else f" -C {shlex.quote(str(directory))}"
    echo()
    echo(f"Next: edit it ({first}), then run")
    echo(f"  distromatrix distros {given.name}{project}")
    matrix = _matrix_with(directory, given.name)
    if matrix is None:
        default = file.parent.parent / "matrix" / "default.yaml"
        echo(f"add it to `distros:` in {default}, then run")
    elif matrix.name != "default.yaml":
        project += f" -m {shlex.quote(str(matrix))}"
    echo(f"  distromatrix images build {given.name}{project}")
    echo(f"  distromatrix run {given.name}{project}")
    echo(f"and once you have seen it work, add  verified: {host_facts().today}")


def _matrix_with(directory: Path, name: str) -> Path | None:
    """A matrix of the project, below `directory`, that has the distro already by a glob: the
    default one before others."""
    from distromatrix.load import load_matrix

    found = sorted(directory.glob("matrix/*.yaml"), key=lambda f: (f.name != "default.yaml", f))
    for file in found:
        with suppress(InputError):
            matrix = load_matrix(file, today=host_facts().today)
            if any(distro.name == name for distro in matrix.distros):
                return file.relative_to(directory)
    return None
