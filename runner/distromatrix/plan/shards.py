"""A plan cut into shards, and those as jobs of a CI: pure functions of the plan, of how long
each cell is expected to take, and of how many there shall be. Everywhere the same.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from distromatrix.errors import InputError
from distromatrix.model import SHARDS, Cell, Plan, Shard
from distromatrix.plan.balance import balanced
from distromatrix.plan.needs import GUESTS

_NAMED = 2  # distros of a job that its name tells; more are only counted
UNKNOWN = 30.0  # seconds that a cell is taken for of which nothing is known


@dataclass(frozen=True, slots=True, kw_only=True)
class ShardJob:
    """One job of a CI. `runner`: the labels of the machine that it wants; `cells`: the ids of
    its cells; `guests`: some of them run in guests."""

    name: str
    runner: tuple[str, ...]
    cells: tuple[str, ...]
    shard: Shard
    guests: bool


def shards(plan: Plan, seconds: Mapping[str, float], of: int) -> tuple[tuple[Cell, ...], ...]:
    """The cells of each of `of` shards, in the plan's order; the last are empty where there are
    more shards than cells to run. The cells of one shard that run all want the same runner, but
    where `of` is 1; one that does not run goes with the first of its distro that does.

    Raises InputError for less shards than there are runners.
    """
    if of == 1:
        return (plan.cells,)
    groups = _by_runner(plan)
    _check_count(groups, of)
    weights = {cell.id: round(1000 * seconds.get(cell.id, UNKNOWN)) for cell in plan.cells}
    place = {cell.id: index for index, cell in enumerate(plan.cells)}
    parts: list[list[Cell]] = []
    for labels, count in _counts(groups, weights, of).items():
        parts += balanced(groups[labels], weights, count)
    parts = [sorted(part, key=lambda cell: place[cell.id]) for part in parts if part]
    parts.sort(key=lambda part: place[part[0].id])
    return _with_idle(plan, [*parts, *([] for _ in range(of - len(parts)))])


def shard_of(plan: Plan, seconds: Mapping[str, float], shard: Shard) -> Plan:
    """The plan with the cells of one shard alone. Raises InputError as `shards` does."""
    if shard.of == 1:
        return plan
    cells = shards(plan, seconds, shard.of)[shard.number - 1]
    used = {cell.distro for cell in cells}
    return replace(
        plan,
        cells=cells,
        excluded=(),
        distros=tuple(distro for distro in plan.distros if distro.name in used),
    )


def jobs(
    plan: Plan, seconds: Mapping[str, float], wanted: int | None = None
) -> tuple[ShardJob, ...]:
    """The plan as jobs: one for each cell that runs, or balanced groups where those would be
    more than 256, or where so many are `wanted` (fewer where fewer cells run); none where it has
    no cells.

    Raises InputError as `shards` does.
    """
    if not plan.cells:
        return ()
    running = sum(cell.engine is not None for cell in plan.cells)
    of = max(1, min(wanted or SHARDS, running))
    _check_count(_by_runner(plan), of)
    parts = shards(plan, seconds, of)
    names = _names(parts)
    return tuple(
        ShardJob(
            name=names[index],
            runner=_runner(plan, part),
            cells=tuple(cell.id for cell in part),
            shard=Shard(index + 1, of),
            guests=any(cell.engine in GUESTS for cell in part),
        )
        for index, part in enumerate(parts)
    )


def _by_runner(plan: Plan) -> dict[tuple[str, ...], list[Cell]]:
    groups: dict[tuple[str, ...], list[Cell]] = {}
    for cell in plan.cells:
        if cell.engine is not None:
            groups.setdefault(plan.runners.get(cell.engine, ()), []).append(cell)
    return groups


def _check_count(groups: Mapping[tuple[str, ...], Sequence[Cell]], of: int) -> None:
    if of < len(groups):
        wanted = ", ".join(sorted(" ".join(group) for group in groups))
        few = "1 shard is" if of == 1 else f"{of} shards are"
        raise InputError(
            f"{few} too few: the plan's cells want {len(groups)} different runners ({wanted}), "
            "and a shard runs on one"
        )


def _counts(
    groups: Mapping[tuple[str, ...], Sequence[Cell]], weights: Mapping[str, int], of: int
) -> dict[tuple[str, ...], int]:
    """How many shards the cells of each runner get: one, and each more goes to those of which a
    shard has most to do, as long as that makes it less."""
    counts = dict.fromkeys(groups, 1)
    totals = {labels: sum(weights[c.id] for c in cells) for labels, cells in groups.items()}
    longest = {labels: max(weights[c.id] for c in cells) for labels, cells in groups.items()}

    def gain(labels: tuple[str, ...]) -> tuple[bool, float, tuple[str, ...]]:
        load = totals[labels] / counts[labels]
        return load > longest[labels], load, labels

    for _ in range(of - len(groups)):
        more = [labels for labels in groups if counts[labels] < len(groups[labels])]
        if not more:
            break
        counts[max(more, key=gain)] += 1
    return counts


def _with_idle(plan: Plan, parts: Sequence[Sequence[Cell]]) -> tuple[tuple[Cell, ...], ...]:
    """The same with the cells that do not run, each part in the plan's order."""
    homes: dict[str, int] = {}
    part_of = {cell.id: index for index, part in enumerate(parts) for cell in part}
    for cell in plan.cells:
        if cell.id in part_of:
            homes.setdefault(cell.distro, part_of[cell.id])
    whole: list[list[Cell]] = [[] for _ in parts]
    for cell in plan.cells:
        whole[part_of.get(cell.id, homes.get(cell.distro, 0))].append(cell)
    return tuple(map(tuple, whole))


def _runner(plan: Plan, part: Sequence[Cell]) -> tuple[str, ...]:
    """Where nothing runs, any will do."""
    engines = [cell.engine for cell in part if cell.engine is not None]
    wanted = dict.fromkeys(plan.runners.get(engine, ()) for engine in engines)
    first = next(iter(wanted), next(iter(plan.runners.values()), ()))
    return first or ("ubuntu-latest",)


def _names(parts: Sequence[Sequence[Cell]]) -> list[str]:
    """What the jobs are called: what their cells share; no two alike."""
    named = [_shared(part) for part in parts]
    alike = Counter(name for name, _ in named)
    names = []
    for index, (name, count) in enumerate(named):
        shard = Shard(index + 1, len(parts))
        if count == 1:
            names.append(name)  # an id is no other's
        elif not name:
            names.append(f"shard {shard} ({_many(count)})")
        elif alike[name] == 1:
            names.append(f"{name} ({_many(count)})")
        else:
            names.append(f"{name} ({_many(count)}, shard {shard})")
    return names


def _shared(part: Sequence[Cell]) -> tuple[str, int]:
    """What the cells that run have in common, '' where nothing, and how many they are."""
    running = [cell for cell in part if cell.engine is not None]
    if len(running) == 1:
        return running[0].id, 1
    distros = dict.fromkeys(cell.distro for cell in running)
    suites = dict.fromkeys(cell.suite for cell in running)
    shared = [*(distros if len(distros) == 1 else ()), *(suites if len(suites) == 1 else ())]
    if not shared and len(distros) <= _NAMED:
        return ", ".join(distros), len(running)
    return "/".join(shared), len(running)


def _many(count: int) -> str:
    return f"{count} cell{'' if count == 1 else 's'}"
