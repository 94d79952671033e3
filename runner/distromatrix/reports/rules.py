"""The rules that would make what failed in a run expected, ready to be pasted into its matrix."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from glob import escape
from pathlib import Path

from distromatrix.collect.errors import CollectError
from distromatrix.collect.retried import parse_cell
from distromatrix.collect.text import one_line
from distromatrix.model import Case, Cell, CellResult, FailureKind, Plan, RunResult, Verdict
from distromatrix.record.expectations import CRASHED, Marker
from distromatrix.reports.commands import report_rules
from distromatrix.wording import counted

MOST_CASES = 10_000  # that failed in a cell: where there are more, the cell as a whole is named
_MAX_NAME = 1024  # characters, as reports are read
_WIDTH = 120  # of a rule on one line
_MOST_LINES = 10  # of rules in short
_MOST_READ = 16 * 1024**2  # bytes of reports that are looked at for these

Where = tuple[str, str, str]  # the distro, suite and variant of a cell; of a rule, globs or ''


@dataclass(frozen=True, slots=True)
class _Rule:
    """What a rule says beside where it holds: `cases`, or in which `kinds` it is."""

    kinds: tuple[FailureKind, ...] = ()
    statuses: tuple[int, ...] = ()


def rules_for(
    plan: Plan, results: Iterable[CellResult], folder: Path
) -> tuple[tuple[str, ...], ...]:
    """The rules, each as its lines of YAML with the reason left open; none where nothing failed
    against the rules there are. `folder` is the run's; the reports of the cells that failed are
    read."""
    cells = {cell.id: cell for cell in plan.cells}
    whole: dict[_Rule, list[Where]] = defaultdict(list)
    named: dict[_Rule, dict[Where, tuple[str, ...]]] = defaultdict(dict)
    for result in results:
        cell = cells.get(result.id)
        if cell is None or result.verdict is not Verdict.FAILED or not result.failed_by:
            continue
        if cell.not_gating or (result.flaky and not result.failing):
            continue  # it does not count, or passes as well
        names = _names(folder / "cells" / cell.id, cell, result)
        crashed = tuple(sorted(result.statuses)) if max((*result.statuses, 0)) >= CRASHED else ()
        if names:
            named[_Rule(statuses=crashed)][_place(cell)] = names
        if kinds := _kinds(cell, result, bool(names)):
            statuses = () if {"run", "setup"}.isdisjoint(kinds) else crashed
            whole[_Rule(kinds=kinds, statuses=statuses)].append(_place(cell))
    known = [_place(cell) for cell in plan.cells] + [_parts(one.id) for one in plan.excluded]
    cover = _Cover(known)
    found = [one for rule, where in whole.items() for one in _written(rule, cover(where))]
    for rule, cells_of in named.items():
        ways = [_spelt(rule, way, cover) for way in (_by_cell(cells_of), _by_case(cells_of))]
        ways.sort(key=lambda rules: (len(rules), sum(map(len, rules))))
        found += ways[0]
    return tuple(found)


def rules_in_short(plan: Plan, result: RunResult, folder: Path) -> tuple[str, ...]:
    """The first of them, as many as fit; then which command writes all, where that is more."""
    command = report_rules(plan, result.run)
    if _size(result.cells, folder) > _MOST_READ:
        return (command,)
    rules = rules_for(plan, result.cells, folder)
    shown: list[str] = []
    for number, lines in enumerate(rules):
        if len(shown) + len(lines) > _MOST_LINES:
            more = counted(len(rules) - number, f"{'more ' * bool(shown)}rule")
            return (*shown, f"{more}: {command}")
        shown += lines
    return tuple(shown)


def _size(results: Iterable[CellResult], folder: Path) -> int:
    """How many bytes of reports `rules_for` would read."""
    failed = (one for one in results if one.verdict is Verdict.FAILED and not one.runs)
    reports = (folder / "cells" / one.id / "junit.xml" for one in failed)
    return sum(path.stat().st_size for path in reports if path.is_file())


def _place(cell: Cell) -> Where:
    return cell.distro, cell.suite, cell.variant or ""


def _parts(cell_id: str) -> Where:
    distro, suite, *variant = cell_id.split("/")
    return distro, suite, variant[0] if variant else ""


def _names(folder: Path, cell: Cell, result: CellResult) -> tuple[str, ...]:
    """The cases that failed in a cell and that a rule can name: all, or none, where they are too
    many, or one passed that is called the same."""
    told = tuple(dict.fromkeys(one_line(case.name, _MAX_NAME) for case in result.failing))
    if result.runs:  # each has a report; what failed in all of them is in the result
        return told
    failing: dict[str, None] = {}
    passed: set[str] = set()
    marker = Marker(cell.expect_fail)

    def fails(case: Case) -> None:
        if marker.mark(case).status in ("failed", "error") and len(failing) <= MOST_CASES:
            failing[case.name] = None

    def passes(case: Case) -> None:
        if case.status == "passed" and not case.flaky and case.name in failing:
            passed.add(case.name)

    try:
        parse_cell(folder, result, fails)
        if failing:
            parse_cell(folder, result, passes)
    except (CollectError, OSError):
        return told
    return () if passed or len(failing) > MOST_CASES else tuple(failing)


def _kinds(cell: Cell, result: CellResult, named: bool) -> tuple[FailureKind, ...]:
    """In which kinds of failure the cell as a whole must be expected to fail, beside the cases
    that are `named`, now or by the rules there are."""
    known = any(rule.cases for rule in cell.expect_fail) and bool(result.xfailed)
    stopped = {"timeout", "memory"} & set(result.failed_by)
    by_cases = named or (known and bool(stopped) and not result.failing)
    return tuple(kind for kind in result.failed_by if kind != "run" or not by_cases)


_Named = list[tuple[tuple[str, ...], tuple[Where, ...]]]  # cases, and the cells they are of


def _by_cell(cells: Mapping[Where, tuple[str, ...]]) -> _Named:
    """Cells of which just the same cases failed, together."""
    found: dict[tuple[str, ...], list[Where]] = defaultdict(list)
    for where, names in cells.items():
        found[tuple(sorted(names))].append(where)
    return [(names, tuple(where)) for names, where in found.items()]


def _by_case(cells: Mapping[Where, tuple[str, ...]]) -> _Named:
    """Cases that failed in just the same cells, together."""
    places: dict[str, list[Where]] = defaultdict(list)
    for where, names in cells.items():
        for name in names:
            places[name].append(where)
    found: dict[tuple[Where, ...], list[str]] = defaultdict(list)
    for name, there in places.items():
        found[tuple(there)].append(name)
    return [(tuple(names), where) for where, names in found.items()]


class _Cover:
    """Finds globs that match just some of the cells there are."""

    def __init__(self, known: Iterable[Where]) -> None:
        self._on: dict[tuple[str, str], set[str]] = defaultdict(set)  # a column's distros
        self._there: dict[str, set[tuple[str, str]]] = defaultdict(set)  # a distro's columns
        for distro, suite, variant in known:
            self._on[suite, variant].add(distro)
            self._there[distro].add((suite, variant))
        self._several = {suite for suite, variant in self._on if variant}

    def __call__(self, where: Iterable[Where]) -> tuple[Where, ...]:
        """Globs for distro, suite and variant ('' where a rule need not say it)."""
        wanted = frozenset(where)
        columns: dict[tuple[str, str], set[str]] = defaultdict(set)
        for distro, suite, variant in wanted:
            columns[suite, variant].add(distro)
        by_distro: dict[str, set[tuple[str, str]]] = defaultdict(set)
        for column, distros in columns.items():
            for glob in self._distros(distros, *column):
                by_distro[glob].add(column)
        found = [
            (distro, suite, variant)
            for distro, there in by_distro.items()
            for suite, variant in self._columns(distro, there)
        ]
        return tuple(sorted(found))

    def _distros(self, wanted: set[str], suite: str, variant: str) -> Iterable[str]:
        """Globs for the distros on which a suite and variant is wanted."""
        if not variant and suite in self._several:
            return wanted  # no rule says 'without a variant'; a distro has one or the other
        return _globs(wanted, self._on[suite, variant])

    def _columns(self, distro: str, wanted: set[tuple[str, str]]) -> Iterator[tuple[str, str]]:
        """Globs for the suites and variants that are wanted on the distros of a glob."""
        every: dict[str, set[str]] = defaultdict(set)
        for one in [distro] if distro in self._there else self._there:
            if not distro or fnmatchcase(one, distro):
                for suite, variant in self._there[one]:
                    every[suite].add(variant)
        asked: dict[str, set[str]] = defaultdict(set)
        for suite, variant in wanted:
            asked[suite].add(variant)
        whole = {suite for suite, variants in asked.items() if variants == every[suite]}
        yield from ((glob, "") for glob in _globs(whole, set(every)))
        for suite, variants in asked.items():
            if suite not in whole:
                yield from ((suite, glob) for glob in _globs(variants, every[suite]))


def _globs(wanted: set[str], every: set[str]) -> Iterator[str]:
    """As few globs as match just the names that are wanted, of all that there are: '' for all, if
    they are several: a rule for the only one of today is none for those of tomorrow."""
    if wanted == every and len(every) > 1:
        yield ""
        return
    left = set(wanted)
    stems = {name[: at + 1] for name in wanted for at, letter in enumerate(name) if letter in "-."}
    for glob in sorted((f"{stem}*" for stem in stems), key=len):
        matched = {name for name in every if fnmatchcase(name, glob)}
        if len(matched) > 1 and matched <= wanted and not matched.isdisjoint(left):
            left -= matched
            yield glob
    yield from sorted(left)


def _spelt(rule: _Rule, named: _Named, cover: _Cover) -> list[tuple[str, ...]]:
    return [one for cases, where in named for one in _written(rule, cover(where), cases)]


def _written(
    rule: _Rule, where: Iterable[Where], cases: tuple[str, ...] = ()
) -> Iterator[tuple[str, ...]]:
    """The rules, each as lines of YAML."""
    for distro, suite, variant in where:
        keys = {"distro": distro, "suite": suite, "variant": variant, "expect": "fail"}
        said = [f"{key}: {value}" for key, value in keys.items() if value]
        if rule.kinds not in ((), ("run",)):
            said.append(f"phase: {_one_or_more(rule.kinds)}")
        if rule.statuses:
            said.append(f"expect_status: {_one_or_more(rule.statuses)}")
        quoted = [json.dumps(escape(case), ensure_ascii=False) for case in cases]
        said.append('reason: ""')
        first = f"- {{{', '.join(said)}"
        line = f"{first}, cases: [{', '.join(quoted)}]}}" if cases else f"{first}}}"
        if len(line) <= _WIDTH or not cases:
            yield (line,)
            continue
        more = [f"    {case}," for case in quoted]
        yield (f"{first}, cases: [", *more[:-1], f"    {quoted[-1]}]}}")


def _one_or_more(values: tuple[object, ...]) -> str:
    said = ", ".join(map(str, values))
    return said if len(values) == 1 else f"[{said}]"
