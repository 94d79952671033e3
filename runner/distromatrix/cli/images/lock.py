"""`distromatrix images lock`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

import click

from distromatrix.cli.images.carry import say
from distromatrix.cli.options import open_project, options
from distromatrix.cli.output import echo
from distromatrix.cli.trust import allow
from distromatrix.errors import EXIT_FAILED, EXIT_OK, ImageError, InputError
from distromatrix.model import Distro, Selection
from distromatrix.project.project import Project
from distromatrix.project.session import open_images, opened_engine

if TYPE_CHECKING:
    from distromatrix.load.lock import Entry

_AT_ONCE = 4  # registries do not like more


@click.command(name="lock")
@options("selection", "directory", "file", "engine", "trust")
@click.option("--check", is_flag=True, help="Write nothing; exit with 1 if the lock would change.")
def lock(
    selection: Selection,
    directory: Path,
    file: Path | None,
    check: bool,
) -> int:
    """Pin each distro's current image in distros.lock, for all later runs.

    Pulled images are locked by digest and archives by SHA-256. Bootstrapped images cannot be
    locked; the file says so. With selectors, entries of other distros are left alone.

    \b
    Examples:
      distromatrix images lock
      distromatrix images lock debian-12        update one distro
      distromatrix images lock --check          check in CI that the lock is up to date
    """
    from distromatrix.files.whole import whole_file
    from distromatrix.load.lock import LOCK, as_text

    project = open_project(directory, file)
    if project.settings.offline:
        raise InputError("images lock contacts registries, which `offline` forbids")
    plan = project.plan(selection, locked=False)
    allow(plan)
    running = {c.distro for c in plan.cells if c.engine is not None}
    distros = tuple(d for d in plan.distros if d.name in running)
    old = dict(project.lock.entries) if project.lock else {}
    new = {name: e for name, e in old.items() if name in _known(project, old)}
    new |= _resolved(project, distros, old)
    changes = list(_changes(old, new))
    for line in changes:
        echo(line)
    path = project.matrix.root / LOCK
    if check:
        echo(f"{path}: {_counted(changes)} would change", err=True)
        return EXIT_FAILED if changes else EXIT_OK
    if new != old or not path.exists():
        with whole_file(path, sync=True) as out:
            out.write(as_text(new).encode())
    echo(f"{path}: {_counted(changes)} changed, {len(new)} in all", err=True)
    return EXIT_OK


def _known(project: Project, entries: Mapping[str, Entry]) -> set[str]:
    """The distros that there are: of the matrix, and where that is not enough, of all."""
    from distromatrix.load.catalogue import Catalogue

    known = {d.name for d in project.matrix.distros}
    return known if set(entries) <= known else set(Catalogue.read(project.matrix.root).names)


def _resolved(
    project: Project, distros: tuple[Distro, ...], old: Mapping[str, Entry]
) -> dict[str, Entry]:
    """What each distro's image is now. Raises ImageError with all that cannot be had."""
    found: dict[str, Entry] = {}
    failures: list[str] = []
    with opened_engine(project.settings) as engine:
        images = open_images(engine, project.settings, {}, say)

        def one(distro: Distro) -> None:
            try:
                found[distro.name] = images.resolve(distro, old.get(distro.name))
            except ImageError as error:
                failures.append(str(error))

        with ThreadPoolExecutor(_AT_ONCE) as pool:
            list(pool.map(one, distros))
    if failures:
        raise ImageError("\n".join([*sorted(failures), "nothing was written"]))
    return found


def _changes(old: Mapping[str, Entry], new: Mapping[str, Entry]) -> Iterator[str]:
    """A line for each entry that is another now; what is for information is none."""
    from distromatrix.load.catalogue import natural

    for name in sorted({*old, *new}, key=natural):
        before, after = (_words(entries.get(name)) for entries in (old, new))
        if not before:
            yield f"{name}: {after}"
        elif before != after:
            yield f"{name}: {before} → {after}" if after else f"{name}: removed (unknown distro)"


def _words(entry: Entry | None) -> str:
    from distromatrix.load.shapes.lock import LockedArchiveShape, LockedPullShape

    if entry is None:
        return ""
    if isinstance(entry, LockedPullShape):
        return f"pull {entry.pull} {entry.digest}" + (f" ({entry.arch})" if entry.arch else "")
    if isinstance(entry, LockedArchiveShape):
        return f"archive {entry.archive} sha256:{entry.sha256}"
    kind, what = next(iter(entry.model_dump().items()))
    return f"{kind} {what}, which cannot be locked"


def _counted(changes: list[str]) -> str:
    return f"{len(changes)} entr{'y' if len(changes) == 1 else 'ies'}"
