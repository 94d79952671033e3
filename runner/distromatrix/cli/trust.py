"""`distromatrix trust`, and the question of the commands that act."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import click

from distromatrix.cli.options import open_project, options, said
from distromatrix.cli.output import ask, can_ask, echo
from distromatrix.model import Plan, Product, Selection
from distromatrix.project.project import all_distros, find_root

if TYPE_CHECKING:
    from distromatrix.trust import Reach


def allow(plan: Plan, *, stored: bool = False) -> None:
    """See that the user has said yes to all by which a plan reaches this host, and on a terminal
    ask. `stored`: the plan was read back. Raises InputError."""
    from distromatrix.trust import given_here, require

    given = given_here(said("trust"), "--trust")
    require(plan, given, stored=stored, ask=_ask if can_ask() else None)


def _ask(left: Sequence[Reach]) -> bool:
    echo("This checkout requests access to your host:", err=True)
    for one in left:
        echo(f"  {one}", err=True)
    return ask("Allow this from now on, until any of it changes?")


@click.command(name="trust")
@options("directory", "file")
@click.option("--yes", is_flag=True, help="Allow everything without asking.")
@click.option(
    "--digest", is_flag=True, help="Print the digests for --trust and $DISTROMATRIX_TRUST."
)
@click.option("--list", "listed", is_flag=True, help="List the projects that you allowed.")
@click.option("--forget", is_flag=True, help="Revoke what you allowed this project.")
def command(
    directory: Path, file: Path | None, yes: bool, digest: bool, listed: bool, forget: bool
) -> None:
    """Review and allow a checkout's access to this host.

    What you allow applies to this directory, these values, and the content of the files that they
    name; any change asks again. Digests do not depend on the directory. Other commands that need
    access ask for it on a terminal, for what they use.

    \b
    Examples:
      distromatrix trust                       review and allow
      distromatrix trust --yes -C ~/src/mine   allow without asking
      DISTROMATRIX_TRUST=$(distromatrix trust --digest)   in CI, for a branch that you trust
      distromatrix trust --forget              revoke
    """
    from distromatrix.trust import missing, reach_of, refusal
    from distromatrix.trust.kept import everything, keep, take_back, yes_of

    if yes + digest + listed + forget > 1:
        raise click.UsageError("--yes, --digest, --list and --forget cannot be combined")
    if listed:
        for project, count in everything():
            echo(f"{project}: {count}")
        return
    if forget:
        there = take_back(find_root(directory, file))
        echo("revoked" if there else "nothing was allowed", err=True)
        return
    plan = _whole(directory, file)
    reaches = reach_of(plan)
    if digest:
        echo(",".join(one.digest for one in reaches))
        return
    left = missing(reaches, plan.root)
    for one in reaches:
        echo(f"{'  ' if one in left else '✓ '}{one}")
    if not left:
        said = "everything is allowed" if reaches else "requests no access to this host"
        echo(said, err=True)
        return
    if not yes and not (can_ask() and _ask(left)):
        raise refusal(left, plan)
    keep(plan.root, yes_of(plan.root) | {one.digest for one in left})


def _whole(directory: Path, file: Path | None) -> Plan:
    """All that a project's matrix and its distros' files may ask for."""
    distros = all_distros(directory)
    if file is None and not (directory / "matrix" / "default.yaml").exists():
        root = directory.resolve()
        return Plan(matrix=root, root=root, product=Product(path=root), cells=(), distros=distros)
    plan = open_project(directory, file).plan(Selection())
    others = [one for one in distros if one.name not in {own.name for own in plan.distros}]
    return replace(plan, distros=(*plan.distros, *others))
