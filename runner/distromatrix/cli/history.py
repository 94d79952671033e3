"""`distromatrix history`."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from fnmatch import fnmatchcase
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from distromatrix.cli.options import completing, options
from distromatrix.cli.output import echo, echo_json, open_console
from distromatrix.collect.text import one_line
from distromatrix.errors import NothingSelectedError
from distromatrix.plan.select import Selector
from distromatrix.project.project import find_root
from distromatrix.record.past import Past, Seen, grown

if TYPE_CHECKING:
    from distromatrix.record.history import CaseOf, Known
    from distromatrix.reports.style import Look

_MOST = 200  # lines of each kind
_SHOWN = 40  # runs, as signs
_NAME = 300  # characters


@click.command(
    name="history",
    epilog="A NAME is a selector of cells (DISTRO/SUITE), one with a glob of cases behind it "
    "(DISTRO/SUITE::CASE), or a glob of cases of all cells. Exits with 3 if nothing has that name.",
)
@click.argument("names", nargs=-1, metavar="[NAME]...", shell_complete=completing("cells"))
@options("directory", "file", "history", "as_json")
def command(
    names: tuple[str, ...],
    directory: Path,
    file: Path | None,
    history: Path | None,
    as_json: bool,
) -> None:
    """Show since when cells and cases fail, how flaky they are, and what became slower.

    Without NAME: what fails now, what is flaky, and what became slower in all runs of the matrix.

    \b
    Examples:
      distromatrix history
      distromatrix history debian-11/unit            a cell, and its cases that ever failed
      distromatrix history 'debian-*/unit::*login*'  some cases of some cells
      distromatrix history test_login                a case, wherever it ran
      distromatrix history --history history.sqlite3 of CI's runs
    """
    from distromatrix.record.history import History

    root = find_root(directory, file)
    matrix = directory / file if file else root / "matrix" / "default.yaml"
    past = History.of(root, matrix, history)
    known, warning = past.known()
    worst = sorted(known, key=lambda one: -one.reds)
    found = _named(names, known) if names else tuple(filter(_counts, worst))
    seen = past.earlier(one.key for one in found)
    for line in filter(None, (warning, past.untold)):
        echo(f"warning: {line}", err=True)
    if as_json:
        echo_json([_as_json(key, runs) for key, runs in seen.items()])
    elif names:
        _show(seen)
    elif known:
        _overview(seen)
    else:
        echo("no runs are remembered yet", err=True)


def _counts(one: Known) -> bool:
    """Whether it can belong in an overview: all cells do, for their times."""
    return one.reds > 0 or not one.key[1]


def _named(names: Sequence[str], known: Sequence[Known]) -> tuple[Known, ...]:
    """Raises NothingSelectedError with each name that nothing has."""
    found: dict[CaseOf, Known] = {}
    idle = []
    for name in names:
        its = tuple(_matching(name, known))
        found |= {one.key: one for one in its}
        if not its:
            idle.append(f"no cell and no case is remembered as '{one_line(name)}'")
    if idle:
        raise NothingSelectedError("\n".join(idle))
    return tuple(found.values())


def _matching(name: str, known: Iterable[Known]) -> Iterable[Known]:
    known = tuple(known)
    left, _, right = name.partition("::")
    selector = Selector(left)
    in_cells = [one for one in known if selector.matches(one.key[0])]
    if in_cells and not right:
        return [one for one in in_cells if _counts(one)]
    of_cells = [one for one in in_cells if one.key[1] and _is_called(one.key[1], right)]
    return of_cells or [one for one in known if one.key[1] and _is_called(one.key[1], name)]


def _is_called(case: str, glob: str) -> bool:
    return any(fnmatchcase(one, glob) for one in (case, case.rpartition("::")[2]))


def _name(key: CaseOf) -> str:
    return one_line("::".join(filter(None, key)), _NAME)


def _overview(seen: dict[CaseOf, tuple[Seen, ...]]) -> None:
    pasts = {key: Past.of(runs, cell=not key[1]) for key, runs in seen.items()}
    flaky = [(k, p.describe(now=False).partition(": ")[2]) for k, p in pasts.items() if p.flaky]
    failing = [
        (k, p.describe(now=False).partition(" ")[2])
        for k, p in pasts.items()
        if p.red and not p.flaky
    ]
    slower = [(key, _slower(runs)) for key, runs in seen.items() if grown(runs)]
    for title, lines in (("failing", failing), ("flaky", flaky), ("slower", slower)):
        if lines:
            echo(title)
        for key, text in lines[:_MOST]:
            echo(f"  {_name(key)}")
            echo(f"      {text}")
        if len(lines) > _MOST:
            echo(f"  and {len(lines) - _MOST:,} more; name some to see them")
    if not (failing or flaky or slower):
        echo("nothing fails, nothing is flaky, nothing became slower")


def _show(seen: dict[CaseOf, tuple[Seen, ...]]) -> None:
    from distromatrix.reports.style import Look

    look = Look.of(open_console())
    for key, runs in tuple(seen.items())[:_MOST]:
        past = Past.of(runs, cell=not key[1])
        signs = "".join(_sign(look, one.status) for one in runs[-_SHOWN:])
        echo(_name(key))
        echo(f"  {signs}  the last of {len(runs)} runs: {runs[-1].when}")
        if text := past.describe(now=False):
            last = f"; last passed on {past.green.when}" if past.red and past.green else ""
            echo(f"  {text}{last}")
        if grown(runs):
            echo(f"  slower: {_slower(runs)}")
    if len(seen) > _MOST:
        echo(f"and {len(seen) - _MOST:,} more; name fewer to see them")


def _sign(look: Look, status: str) -> str:
    from distromatrix.model import Verdict

    if status == "flaky":
        return look.pick("≈", "~")
    return look.symbol(Verdict(status)) if status in set(Verdict) else "?"


def _slower(runs: Sequence[Seen]) -> str:
    from distromatrix.reports.style import duration

    before, after = grown(runs) or (0.0, 0.0)
    return f"{duration(before)} before, {duration(after)} now"


def _as_json(key: CaseOf, runs: Sequence[Seen]) -> dict[str, Any]:
    past = Past.of(runs, cell=not key[1])
    return {
        "cell": key[0],
        "case": key[1] or None,
        "failing_runs": past.red,
        "flaky": past.flaky,
        "runs": [
            {
                "run": one.run,
                "time": one.time,
                "commit": one.commit or None,
                "status": one.status,
                "seconds": one.seconds,
            }
            for one in runs
        ],
    }
