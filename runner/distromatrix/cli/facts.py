"""`distromatrix facts`."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path, PurePath
from typing import TYPE_CHECKING

import click

from distromatrix.cli.options import completing, options
from distromatrix.cli.output import echo, echo_json
from distromatrix.errors import InputError
from distromatrix.project.project import find_root

if TYPE_CHECKING:
    from distromatrix.model import Facts

_WIDEST = 36  # characters of a value in a column


@click.command(name="facts")
@click.argument(
    "which", nargs=-1, required=True, metavar="DISTRO|CELL...", shell_complete=completing("cells")
)
@options("directory", "file")
@click.option("--run", metavar="RUN", help="Run whose machines to show (default: the latest).")
@options("as_json")
def command(
    which: tuple[str, ...], directory: Path, file: Path | None, run: str | None, as_json: bool
) -> None:
    """Show what machines of a run are made of; of several only what differs.

    Of each prepared image, os-release, kernel, libc, shell, programs and all packages are read
    once. A distro stands for its first cell; name a CELL for another one's image.

    \b
    Examples:
      distromatrix facts debian-11 debian-12
      distromatrix facts debian-12/unit debian-12/docs
      distromatrix facts alpine-3.20 --json
    """
    from distromatrix.collect.facts import read_facts
    from distromatrix.record.folder import find_run

    folder = find_run(find_root(directory, file), run)
    known = read_facts(folder)
    machines = {name: _find(name, known, folder.name) for name in dict.fromkeys(which)}
    rows = {key: values for name in machines for key, values in _rows(name, machines).items()}
    rows = {key: rows[key] for key in sorted(rows, key=lambda key: ("packages " in key, key))}
    if as_json:
        said = {name: asdict(one) for name, one in machines.items()}
        echo_json({"run": folder.name, "machines": said, "differs": rows})
        return
    if len(machines) == 1:  # in short
        (one,) = machines.values()
        rows = {
            key: values
            for key, values in rows.items()
            if not key.startswith("packages ") and key != f"commands {values[which[0]]}"
        }
        rows["packages"] = dict.fromkeys(machines, f"{len(one.packages):,} ({one.manager})")
    _show(rows, tuple(machines))


def _find(name: str, known: dict[str, Facts], run: str) -> Facts:
    """The facts of a distro or cell. Raises InputError."""
    from distromatrix.wording import did_you_mean

    cell = next((c for c in known if name == c or c.startswith(f"{name}/")), None)
    if cell is None:
        hint = did_you_mean(name, {c.partition("/")[0] for c in known})
        more = hint or "`distromatrix run` reads them"
        raise InputError(f"facts: {name}: run {run} has no facts of it ({more})")
    if why := known[cell].absent:
        raise InputError(f"facts: {name}: they could not be read: {why}")
    return known[cell]


def _rows(name: str, machines: dict[str, Facts]) -> dict[str, dict[str, str]]:
    """What a machine says, by what it is about, with what the others say there; of several only
    what is not the same."""
    found = {}
    flat = {other: _flat(one) for other, one in machines.items()}
    for key in flat[name]:
        values = {other: one.get(key, "") for other, one in flat.items()}
        if len(machines) == 1 or len(set(values.values())) > 1:
            found[key] = values
    return found


def _flat(facts: Facts) -> dict[str, str]:
    found: dict[str, str] = {}
    for key, value in asdict(facts).items():
        if key == "sources":
            continue
        if key == "commands":  # in which folder makes no difference
            found |= {f"{key} {name}": PurePath(path).name for name, path in value.items()}
        elif isinstance(value, dict):
            found |= {f"{key} {name}": inner for name, inner in value.items()}
        elif key != "absent":
            found[key] = ", ".join(value) if isinstance(value, tuple) else value
    return found


def _show(rows: dict[str, dict[str, str]], names: tuple[str, ...]) -> None:
    from distromatrix.collect.text import shorten

    if not rows:
        echo("nothing differs", err=True)
        return
    alone = len(names) == 1
    table = [("", *names)] if not alone else []
    table += [(key, *(values[name] or "-" for name in names)) for key, values in rows.items()]
    cut = [tuple(shorten(cell, 200 if alone else _WIDEST) for cell in row) for row in table]
    widths = [max(map(len, column)) for column in zip(*cut, strict=True)]
    for row in cut:
        line = "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        echo(line.rstrip())
