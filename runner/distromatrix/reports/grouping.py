"""What failed, grouped by where it failed: the question the whole matrix is there to answer."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from distromatrix.model import Case, Cell, CellResult, Distro, Phase, Plan, Verdict

_FAILED = (Verdict.FAILED, Verdict.XFAILED)
_RAN = (Verdict.PASSED, Verdict.FAILED, Verdict.XFAILED, Verdict.XPASSED)
_EVERYWHERE, _ALONE = 0, 6  # ranks, see _where
_NOT_PARTIAL = (_EVERYWHERE, _ALONE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """One case, or a whole cell without cases (`case` None), and the cells it failed in.
    `column` is the suite, or `suite/variant`; `reason` what is said of a whole cell."""

    column: str
    case: Case | None
    reason: str
    cells: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """Failures with the same footprint. `label` says where: `fails only on musl`; `partial`:
    that it does so on some of the distros that ran it, and not on others."""

    label: str
    partial: bool
    distros: tuple[str, ...]
    failures: tuple[Failure, ...]

    @property
    def cells(self) -> tuple[str, ...]:
        """The ids of all cells concerned, each once."""
        return tuple(dict.fromkeys(cell for f in self.failures for cell in f.cells))


def column_of(cell: Cell) -> str:
    """What a cell runs, wherever: `suite` or `suite/variant`."""
    return f"{cell.suite}/{cell.variant}" if cell.variant else cell.suite


def group_failures(plan: Plan, results: Iterable[CellResult]) -> tuple[Group, ...]:
    """The failures of a run, those that say most first.

    Compared are, suite by suite, the distros on which it ran to a verdict on the product;
    cells that are `error` or `skipped` tell nothing of it. What fails as expected counts for
    where something fails, and is listed only along with what does not. What is flaky fails only
    sometimes: that is not of these.
    """
    cells = {cell.id: cell for cell in plan.cells}
    order = {distro: n for n, distro in enumerate(dict.fromkeys(c.distro for c in plan.cells))}
    ran: dict[str, dict[str, CellResult]] = defaultdict(dict)
    for result in results:
        if result.id in cells and result.verdict in _RAN:
            ran[column_of(cells[result.id])][cells[result.id].distro] = result
    facts = {distro.name: distro for distro in plan.distros}
    groups: dict[tuple[int, str, tuple[str, ...]], list[Failure]] = defaultdict(list)
    for column, by_distro in ran.items():
        for (_, case, reason), where in _failures(by_distro).items():
            if all(by_distro[d].verdict is Verdict.XFAILED for d in where):
                continue
            distros = tuple(sorted(where, key=lambda d: order[d]))
            rank, label = _where(distros, tuple(by_distro), facts)
            groups[rank, label, distros].append(
                Failure(
                    column=column,
                    case=where[distros[0]] if case else None,
                    reason=reason,
                    cells=tuple(by_distro[d].id for d in distros),
                )
            )
    made = (
        (
            rank,
            Group(
                label=label,
                partial=rank not in _NOT_PARTIAL,
                distros=distros,
                failures=tuple(failures),
            ),
        )
        for (rank, label, distros), failures in groups.items()
    )
    return tuple(g for _, g in sorted(made, key=lambda m: (m[0], -len(m[1].failures), m[1].label)))


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """What broke in the infrastructure, and the cells that it broke."""

    phase: Phase | None
    reason: str
    cells: tuple[CellResult, ...]


def group_faults(results: Iterable[CellResult]) -> tuple[Fault, ...]:
    """The cells that are `error`, by what is said of them, in the order of their first."""
    found: dict[tuple[Phase | None, str], list[CellResult]] = defaultdict(list)
    for result in results:
        if result.verdict is Verdict.ERROR:
            found[result.phase, result.reason].append(result)
    return tuple(
        Fault(phase=phase, reason=reason, cells=tuple(cells))
        for (phase, reason), cells in found.items()
    )


def _failures(
    by_distro: Mapping[str, CellResult],
) -> dict[tuple[str, bool, str], dict[str, Case | None]]:
    """(name, whether it is a case, reason) -> the distros where it failed."""
    found: dict[tuple[str, bool, str], dict[str, Case | None]] = defaultdict(dict)
    for distro, result in by_distro.items():
        if result.verdict not in _FAILED:
            continue
        for case in result.failing:
            found[case.name, True, ""].setdefault(distro, case)
        if not result.failing and not result.flaky:
            found["", False, result.reason][distro] = None
    return found


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
