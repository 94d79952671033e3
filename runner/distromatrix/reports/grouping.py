"""What failed, grouped by where it failed: the question the whole matrix is there to answer."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

from distromatrix.model import RAN, RED, Blame, Case, Cell, CellResult, Distro, Phase, Plan, Verdict
from distromatrix.record.expectations import CRASHED

WHOSE: dict[Blame, str] = {
    "matrix": "the matrix asks for what does not exist",
    "": "infrastructure failure, not a product failure",
}
_OF_IMAGES = (Phase.IMAGE, Phase.PACKAGES, Phase.PREPARE)
NOT_GATING = ", not gating"
WORDINGS = 3  # of a failure, that are shown
# What differs from run to run makes no other wording: addresses, and how long something ran.
_VOLATILE = re.compile(r"0x[0-9a-fA-F]{6,}|\(for [\d:]+\)")
_EVERYWHERE, _ALONE = 0, 6  # ranks, see _where
_NOT_PARTIAL = (_EVERYWHERE, _ALONE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Wording:
    """What is said of a failure in some of its cells: the message of a case, or the reason of a
    whole cell. Not masked."""

    text: str
    cells: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """One case, or a whole cell without cases (`case` None), and the cells it failed in.
    `column` is the suite, or `suite/variant`; `wordings`: what is said of it there, the most
    frequent first. `case` is that of the first wording."""

    column: str
    case: Case | None
    wordings: tuple[Wording, ...]
    cells: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """Failures with the same footprint. `label` says where: `fails only on musl`; `partial`:
    that it does so on some of the distros that ran it, and not on others; `gating`: in one of its
    cells it counts (the label says so where it does not)."""

    label: str
    partial: bool
    gating: bool
    distros: tuple[str, ...]
    failures: tuple[Failure, ...]

    @property
    def cells(self) -> tuple[str, ...]:
        """The ids of all cells concerned, each once."""
        return _cells_of(self.failures)

    @property
    def by_column(self) -> tuple[tuple[tuple[Failure, ...], tuple[str, ...]], ...]:
        """The failures of each suite, with the ids of the cells concerned."""
        found: dict[str, list[Failure]] = defaultdict(list)
        for failure in self.failures:
            found[failure.column].append(failure)
        return tuple((tuple(those), _cells_of(those)) for those in found.values())


def _cells_of(failures: Iterable[Failure]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(cell for f in failures for cell in f.cells))


def column_of(cell: Cell) -> str:
    """What a cell runs, wherever: `suite` or `suite/variant`."""
    return f"{cell.suite}/{cell.variant}" if cell.variant else cell.suite


def group_failures(plan: Plan, results: Iterable[CellResult]) -> tuple[Group, ...]:
    """The failures of a run, those that say most first, those that do not count last.

    Compared are, suite by suite, the distros on which it ran to a verdict on the product;
    cells that are `error` or `skipped` tell nothing of it. What failed is one failure wherever
    it did, in whatever words: a case by its name, a whole cell by its phase and by how it ended
    (see _how). What fails as expected counts for
    where something fails, and is listed only along with what does not. What is flaky fails only
    sometimes: that is not of these.
    """
    cells = {cell.id: cell for cell in plan.cells}
    order = {distro: n for n, distro in enumerate(dict.fromkeys(c.distro for c in plan.cells))}
    ran: dict[str, dict[str, CellResult]] = defaultdict(dict)
    for result in results:
        if result.id in cells and result.verdict in RAN:
            ran[column_of(cells[result.id])][cells[result.id].distro] = result
    facts = {distro.name: distro for distro in plan.distros}
    groups: dict[tuple[bool, int, str, tuple[str, ...]], list[Failure]] = defaultdict(list)
    for column, by_distro in ran.items():
        for where in _failures(by_distro).values():
            unexpected = [d for d, (case, _) in where.items() if not _expected(case, by_distro[d])]
            if not unexpected:
                continue
            gating = not all(by_distro[d].not_gating for d in unexpected)
            distros = tuple(sorted(where, key=lambda d: order[d]))
            rank, label = _where(distros, tuple(by_distro), facts)
            said = {by_distro[d].id: where[d] for d in distros}
            label += "" if gating else NOT_GATING
            groups[not gating, rank, label, distros].append(_failure(column, said))
    ordered = sorted(groups.items(), key=lambda group: (group[0][:2], -len(group[1]), group[0][2]))
    return tuple(
        Group(
            label=label,
            partial=rank not in _NOT_PARTIAL,
            gating=not idle,
            distros=distros,
            failures=tuple(failures),
        )
        for (idle, rank, label, distros), failures in ordered
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class FaultGroup:
    """Why cells could not be tested. `blame`: as of their results; `gating`: as of a group."""

    phase: Phase | None
    blame: Blame
    gating: bool
    reason: str
    cells: tuple[CellResult, ...]


def group_faults(results: Iterable[CellResult]) -> tuple[FaultGroup, ...]:
    """The cells that are `error`, by whose fault it is and by what is said of them, in the order
    of their first, those that do not count last."""
    found: dict[tuple[Blame, Phase | None, str], list[CellResult]] = defaultdict(list)
    for result in results:
        if result.verdict is Verdict.ERROR:
            found[result.blame, result.phase, result.reason].append(result)
    faults = [
        FaultGroup(
            blame=blame,
            phase=phase,
            gating=not all(cell.not_gating for cell in cells),
            reason=reason,
            cells=tuple(cells),
        )
        for (blame, phase, reason), cells in found.items()
    ]
    return tuple(sorted(faults, key=lambda fault: (not fault.gating, not fault.blame)))


def fault_title(fault: FaultGroup) -> str:
    """What stands above faults of one kind."""
    return f"could not be tested: {WHOSE[fault.blame]}{'' if fault.gating else NOT_GATING}"


def by_reason(said: Iterable[tuple[str, str]]) -> dict[str, tuple[str, ...]]:
    """Reasons, each with the ids of its cells, of pairs of both."""
    found: dict[str, list[str]] = defaultdict(list)
    for reason, cell in said:
        found[reason or "no reason given"].append(cell)
    return {reason: tuple(ids) for reason, ids in found.items()}


class ImageFaults:
    """Of an image that several cells want, and that could not be had, the fault is told once.
    Each cell is asked for once, in the order in which they are told."""

    def __init__(self) -> None:
        self._first: dict[tuple[str, Phase | None, str], str] = {}

    def told_by(self, result: CellResult) -> str:
        """The cell with which it was told, '' if it is to be told with this one."""
        if result.verdict is not Verdict.ERROR or result.phase not in _OF_IMAGES:
            return ""
        key = (result.id.partition("/")[0], result.phase, result.reason)
        first = self._first.setdefault(key, result.id)
        return "" if first == result.id else first

    def once(self, result: CellResult) -> CellResult:
        """The result as it is to be told."""
        if not (first := self.told_by(result)):
            return result
        return replace(result, reason=f"as {first}", attempts=1, tail=(), hints=())


_Said = tuple[Case | None, str]  # the case, or None for a whole cell; what is said of it


def _failures(by_distro: Mapping[str, CellResult]) -> dict[tuple[str, ...], dict[str, _Said]]:
    """What tells one failure from another -> the distros where it failed."""
    found: dict[tuple[str, ...], dict[str, _Said]] = defaultdict(dict)
    for distro, result in by_distro.items():
        cases = (*result.failing, *result.xfailed)
        for case in cases:
            found["case", case.name].setdefault(distro, (case, case.message))
        if result.verdict not in RED or result.failing:
            continue
        if result.verdict is Verdict.FAILED and result.xfailed:
            told = True  # it is something else that no rule expects
        else:
            told = not cases and (not result.flaky or bool(result.retries))
        if told:
            found["cell", *_how(result)][distro] = (None, result.reason)
    return found


def _expected(case: Case | None, result: CellResult) -> bool:
    """Whether a rule expects that this case, or the whole cell, fails there."""
    return case.status == "xfailed" if case else result.verdict is Verdict.XFAILED


def _how(result: CellResult) -> tuple[str, ...]:
    """How a cell ended: which status it was makes no difference, but for a signal's and for a
    command that is not there."""
    special = (str(status) for status in result.statuses if status >= CRASHED)
    return (str(result.phase), *sorted(result.failed_by), *special)


def _failure(column: str, said: Mapping[str, _Said]) -> Failure:
    """A failure of the cells `said`."""
    wordings: dict[str, list[str]] = defaultdict(list)
    texts: dict[str, _Said] = {}
    for cell, one in said.items():
        key = _VOLATILE.sub("", one[1])
        wordings[key].append(cell)
        texts.setdefault(key, one)
    keys = sorted(wordings, key=lambda key: -len(wordings[key]))
    return Failure(
        column=column,
        case=texts[keys[0]][0],
        wordings=tuple(Wording(text=texts[k][1], cells=tuple(wordings[k])) for k in keys),
        cells=tuple(said),
    )


def _where(
    failed: tuple[str, ...], ran: tuple[str, ...], facts: Mapping[str, Distro]
) -> tuple[int, str]:
    """How telling it is (0: most), and what to call it, that of `ran` just `failed` failed."""
    names = ", ".join(failed)
    if set(failed) == set(ran):
        if len(ran) == 1:
            return _ALONE, f"fails on {names}, the only one that ran it"
        return _EVERYWHERE, f"fails everywhere ({len(ran)} of {len(ran)})"
    for rank, (attribute, suffix) in enumerate((("libc", ""), ("family", " family")), start=1):
        values = {str(getattr(facts[d], attribute)) for d in failed if d in facts}
        if len(values) != 1 or not all(d in facts for d in ran):
            continue
        value = values.pop()
        if {d for d in ran if getattr(facts[d], attribute) == value} != set(failed):
            continue
        if attribute == "family" and len(failed) == 1:
            break  # then its name says more
        one = len(failed) == 1
        where = f"{names} ({value})" if one else f"{value}{suffix} ({names})"
        return rank, f"fails only on {where}"
    if len(failed) == 1:
        return 3, f"fails only on {names}"
    passed = [d for d in ran if d not in failed]
    if len(passed) == 1 and len(ran) > 3:
        return 4, f"fails everywhere but on {passed[0]} ({len(failed)} of {len(ran)})"
    return 5, f"fails on {names} ({len(failed)} of {len(ran)})"
