"""`distromatrix init`."""

from __future__ import annotations

import os
import shlex
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import click
from click.core import ParameterSource

from distromatrix.cli.options import completing, options, settings_here
from distromatrix.cli.output import ask_for, can_ask, echo
from distromatrix.errors import InfrastructureError, InputError
from distromatrix.files.user_folders import cache_folder, require_current_folder
from distromatrix.project.project import all_distros, host_facts
from distromatrix.wording import some_of

if TYPE_CHECKING:
    from distromatrix.init import Survey
    from distromatrix.init.choose import Choice
    from distromatrix.load.settings import Settings
    from distromatrix.model import Distro

_SHOWN = 8  # of many distros


@click.command(name="init")
@options("directory", helps={"directory": "Product directory (default: the current one)."})
@click.option(
    "--distros", metavar="GLOBS", shell_complete=completing("distros"),
    help="Distributions to test on: names or globs, comma-separated.",
)  # fmt: skip
@click.option("--minimal", is_flag=True, help="Test on two releases of one distribution.")
@click.option(
    "--wide", is_flag=True, help="Test on all that are supported upstream, in reach or not."
)
@click.option(
    "--suites", metavar="GLOBS",
    help="Keep only these of the suites that are found: names or globs, comma-separated.",
)  # fmt: skip
@click.option(
    "--root/--user", "root", default=None, help="Run the suites as root, or as a user (default)."
)
@click.option(
    "--from", "source", type=click.Choice(("debian", "tmt")),
    help="Write out the suites of debian/tests, or of the tests of tmt, and of nothing else.",
)  # fmt: skip
@click.option("--print", "to_stdout", is_flag=True, help="Print the file instead of writing it.")
def command(
    directory: Path,
    distros: str | None,
    minimal: bool,
    wide: bool,
    suites: str | None,
    root: bool | None,
    source: str | None,
    to_stdout: bool,
) -> None:
    """Create matrix/default.yaml for a product.

    \b
    Detects tox, pytest, unittest and nox, go.mod, Cargo.toml, package.json, CMake, Meson,
    configure scripts, debian/tests, tmt's tests, and Makefiles with a check or test target. Runs
    nothing of the product, and overwrites nothing.

    Proposes the newest release of each family of distributions whose image is in reach: in the
    engine's store, in its registry, or to be built from a mirror. On a terminal it asks where to
    test, which suites to keep, and whether they run as root; options answer that, too.

    \b
    Examples:
      distromatrix init
      distromatrix init --minimal
      distromatrix init --distros 'debian-*,alpine-*' --suites unit
      distromatrix init --from debian
      distromatrix init --wide --print
    """
    from distromatrix.init import look, written_out
    from distromatrix.init.choose import living, named, suggested

    file = directory / "matrix" / "default.yaml"
    require_current_folder(directory)
    if not directory.is_dir():
        raise InputError(f"{directory}: is not a folder")
    _require_product(directory)
    if not to_stdout and (file.exists() or file.is_symlink()):
        raise InputError(f"{file}: already exists; init overwrites nothing (see --print)")
    found = written_out(directory, source) if source else look(directory)
    found = found if suites is None else found.only(suites)
    there = [distro for distro in all_distros(directory) if found.family in ("", distro.family)]
    supported = living(there, host_facts().today)
    choice = None if distros is None else named(distros, there)
    asking = can_ask() and not to_stdout and not os.environ.get("CI")
    _show(found, to_stdout=to_stdout)
    choice = choice or _where(there, supported, minimal=minimal, wide=wide, asking=asking)
    if asking and suites is None and len(found.suites) > 1:
        names = ", ".join(name for name, _ in found.suites)
        found = ask_for("Suites to keep: names or globs", names, found.only)
    if asking and root is None and not source:
        root = ask_for("Run them as `user` or as `root`", "user", _as_root)
    text = found.text(
        choice.names,
        suggested(choice.names, supported),
        why=choice.why,
        away=choice.away,
        root=bool(root),
    )
    if to_stdout:
        echo(text, lines=True, end="")
    else:
        _write(file, text)
    _tell(found, choice, directory, file, to_stdout=to_stdout)
    if not to_stdout and "\nindex: host\n" in text:
        echo("the first run will ask whether cells may use this machine's package indexes")


def _require_product(directory: Path) -> None:
    """A home folder is hardly ever meant."""
    given = click.get_current_context().get_parameter_source("directory")
    here = directory.resolve()
    home = Path(os.path.expanduser("~")).resolve()  # noqa: PTH111 - which raises where none is known
    if given is not ParameterSource.COMMANDLINE and here in (home, Path("/")):
        what = "your home folder" if here == home else "the root folder"
        raise InputError(
            f"{here}: is {what}, not a product's: go to the product's, or name it with -C"
        )


def _where(
    distros: Sequence[Distro],
    supported: Sequence[Distro],
    *,
    minimal: bool,
    wide: bool,
    asking: bool,
) -> Choice:
    """The distros to test on. `distros`: all that the user may name."""
    from distromatrix.init import choose

    away = _away(supported)
    usual = choose.candidates(supported)
    if wide:
        return choose.wide(supported, away)
    if minimal:
        return choose.few(usual, away)
    proposed = choose.proposed(usual, away)
    if not asking:
        return proposed
    names = ", ".join(proposed.names)

    def chosen(answer: str) -> Choice:
        if answer == names:
            return proposed
        if answer in ("minimal", "wide"):
            few = answer == "minimal"
            return choose.few(usual, away) if few else choose.wide(supported, away)
        return choose.named(answer, distros)

    echo(f"proposed: {proposed.why}", err=True)
    return ask_for("Test on: names or globs, `minimal` or `wide`", names, chosen)


def _as_root(answer: str) -> bool:
    if answer not in ("user", "root"):
        raise InputError("expected `user` or `root`")
    return answer == "root"


def _away(distros: Sequence[Distro]) -> dict[str, str]:
    """Those of which no image is in the engine's store or in reach now, and why."""
    from distromatrix.doctor.reach import ask_all, not_in_reach

    settings = settings_here()
    stored = ask_all({"": lambda: _stored(distros, settings)}, None)[""]
    if stored is None:
        echo("note: no container engine answers: `distromatrix doctor` says more", err=True)
    return not_in_reach([d for d in distros if d.name not in (stored or ())], settings)


def _stored(distros: Sequence[Distro], settings: Settings) -> set[str] | None:
    """Those whose base images the engine's store has; None where no engine answers."""
    from distromatrix.images import Images
    from distromatrix.project.session import opened_engine

    found = set()
    try:
        with opened_engine(settings) as engine:
            images = Images(engine, settings, cache=cache_folder(), emit=lambda _: None)
            for distro in distros:
                with suppress(InfrastructureError):  # one for another architecture
                    found |= {distro.name} if images.stored_base(distro) else set()
    except (InfrastructureError, OSError):
        return None
    return found


def _write(file: Path, text: str) -> None:
    from distromatrix.files.given import write_new

    try:
        write_new(file.parent.parent, "matrix/default.yaml", text)
    except OSError as error:
        raise InputError(f"{file}: cannot be written: {error.strerror}") from error


def _show(found: Survey, *, to_stdout: bool) -> None:
    """What was found; on stderr where stdout has the file."""
    for warning in found.warnings:
        echo(f"warning: {warning}", err=True)
    for _, line in found.suites:
        echo(line, err=to_stdout)
    for finding in found.findings:
        if not finding.drafts:
            echo(f"{finding.source}: {finding.what}", err=to_stdout)
        for note in finding.notes:
            echo(f"note: {note}", err=to_stdout)
    if not found.suites:
        echo("found no tests of this product", err=to_stdout)


def _tell(found: Survey, choice: Choice, directory: Path, file: Path, *, to_stdout: bool) -> None:
    """What was chosen, and what to do next; on stderr where stdout has the file."""
    if choice.why:
        echo(f"distros: {some_of(choice.names, _SHOWN)}: {choice.why}", err=to_stdout)
    if choice.away:
        echo(f"not in reach here: {', '.join(choice.away)}", err=to_stdout)
    if to_stdout:
        return
    echo(f"wrote {file}" + ("" if found.suites else "; add your test command to it"))
    where = "" if directory == Path() else f" -C {shlex.quote(click.format_filename(directory))}"
    echo(f"next: distromatrix plan{where}, distromatrix run{where}")
