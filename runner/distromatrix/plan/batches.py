"""Which cells go to a worker together."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from distromatrix.model import Cell
from distromatrix.plan.needs import GUESTS
from distromatrix.plan.shards import UNKNOWN

_SHARES = 4  # batches for each place: the last ones even out what was guessed wrong
MIB = 1 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """Some cells of one distro that want the same of their worker. `seconds`: how long they are
    expected to take; `needs`: what they take of each of a worker's resources."""

    number: int
    cells: tuple[str, ...]
    seconds: float
    needs: Mapping[str, int]


def needs_of(cell: Cell, most: Mapping[str, int], wanted: Sequence[str] = ()) -> dict[str, int]:
    """What a cell takes (cpus in thousandths, memory in MiB) of a worker that has at `most` so
    much: where it declares more, it has one for itself. `wanted`: engines of guests that its cases
    may want."""
    needs = {"cpus": math.ceil(cell.cpus * 1000), "memory": math.ceil(cell.memory / MIB)}
    needs = {name: min(value, most[name]) for name, value in needs.items()}
    guests = [cell.engine] if cell.engine in GUESTS else wanted
    return needs | {name: 1 for name in guests if name and most.get(name)}


def batches(
    cells: Sequence[Cell],
    needs: Mapping[str, Mapping[str, int]],
    seconds: Mapping[str, float],
    places: int,
    *,
    ordered: bool = False,
) -> tuple[Batch, ...]:
    """All cells in batches, those that take longest first; `needs` and `seconds` by cell. As a
    batch cannot be divided any more, none is longer than a share of what each of the `places` has
    to do, but for cells that alone are. `ordered`: each cell alone, in the order of `cells`."""
    expected = {cell.id: seconds.get(cell.id, UNKNOWN) for cell in cells}
    share = sum(expected.values()) / max(places * _SHARES, 1)
    alike: dict[object, list[list[Cell]]] = {}
    filled: dict[object, float] = {}
    for cell in cells if ordered else sorted(cells, key=lambda c: -expected[c.id]):
        kind = (cell.distro, tuple(sorted(needs[cell.id].items())))
        groups = alike.setdefault(kind, [])
        if ordered or not groups or filled[kind] + expected[cell.id] > share:
            groups.append([])
            filled[kind] = 0.0
        groups[-1].append(cell)
        filled[kind] += expected[cell.id]
    found = [group for groups in alike.values() for group in groups]
    place = {cell.id: number for number, cell in enumerate(cells)}

    def first(group: list[Cell]) -> tuple[float, int]:
        length = sum(expected[cell.id] for cell in group)
        return (0.0 if ordered else -length, place[group[0].id])

    return tuple(
        Batch(
            number=number,
            cells=tuple(cell.id for cell in group),
            seconds=sum(expected[cell.id] for cell in group),
            needs=needs[group[0].id],
        )
        for number, group in enumerate(sorted(found, key=first))
    )
