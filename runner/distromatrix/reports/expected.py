"""What became of rules that expect failures: what passed against them, and what they never met."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from distromatrix.model import CellResult, Plan, Unmatched, Verdict
from distromatrix.wording import some_of

_CELLS = 6  # named in one line


@dataclass(frozen=True, slots=True, kw_only=True)
class Against:
    """A case that passed though a rule expects it to fail (`case` '': a whole cell), why the rule
    does, or what is said of the cell, and where."""

    case: str
    reason: str
    cells: tuple[str, ...]


def passed_against(results: Iterable[CellResult]) -> tuple[Against, ...]:
    """What passed against a rule, the cells first that did as a whole."""
    whole: dict[tuple[str, str], list[str]] = defaultdict(list)
    cases: dict[tuple[str, str], list[str]] = defaultdict(list)
    for cell in results:
        if cell.verdict is Verdict.XPASSED and not cell.xpassed:
            whole["", cell.reason].append(cell.id)
        for case in cell.xpassed:
            cases[case.name, case.expected].append(cell.id)
    return tuple(
        Against(case=case, reason=reason, cells=tuple(dict.fromkeys(cells)))
        for (case, reason), cells in (*whole.items(), *cases.items())
    )


def passed_by_gating(results: tuple[CellResult, ...]) -> Iterator[tuple[bool, tuple[Against, ...]]]:
    """The same in cells that count, then in those that do not; where there is any."""
    for gating in (True, False):
        if found := passed_against(c for c in results if gating is not bool(c.not_gating)):
            yield gating, found


def unmatched_lines(plan: Plan, results: Iterable[CellResult]) -> tuple[str, ...]:
    """A line for each glob of a rule that no case is called by: in none of the cells that it is
    for, or in some."""
    asked: dict[tuple[str, str], set[str]] = defaultdict(set)
    for cell in plan.cells:
        for rule in cell.expect_fail:
            for glob in rule.cases:
                asked[glob, rule.reason].add(cell.id)
    found: dict[tuple[str, str], dict[str, Unmatched]] = defaultdict(dict)
    for result in results:
        for one in result.unmatched:
            found[one.glob, one.reason][result.id] = one
    return tuple(_line(key, where, asked[key]) for key, where in found.items())


def _line(key: tuple[str, str], where: dict[str, Unmatched], asked: set[str]) -> str:
    glob, reason = key
    everywhere = asked <= where.keys()
    scope = "of any cell" if everywhere and len(asked) > 1 else f"of {some_of(list(where), _CELLS)}"
    near = next((one.near for one in where.values() if one.near), "")
    mean = f"; did you mean `{near}`?" if near else ""
    return f"a rule expects `{glob}` to fail, but no case {scope} that ran has that name{mean}" + (
        f" ({reason})" if reason else ""
    )
