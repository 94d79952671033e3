"""Cells dealt out to so many shards that all take about as long: pure, and everywhere the same.

Longest first, to the shard with the least so far (LPT, Graham 1969); then once more with a
preference for the shard that has cells of the same distro, as long as none grows much longer:
a shard makes ready an image for each of its distros, on a machine that has none.
`benchmarks/shards.py` holds both against the theoretical bound.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from heapq import heapify, heapreplace

from distromatrix.model import Cell

# How much longer than on average a shard may get for having fewer distros, in turn until it goes.
_SLACK = (1.01, 1.02, 1.04)

Parts = list[list[Cell]]


def balanced(cells: Sequence[Cell], weights: Mapping[str, int], count: int) -> Parts:
    """The cells, at least `count`, in as many parts; `weights` by id, whole numbers, so that no
    rounding differs between machines."""
    ordered = sorted(cells, key=lambda cell: (-weights[cell.id], cell.id))
    parts = longest_first(ordered, weights, count)
    shared = [_load(part, weights) for part in parts if len(part) > 1]
    if not shared:
        return parts
    for slack in _SLACK:
        most = max(*shared, int(slack * sum(shared) / len(shared)))
        if found := _by_distro(ordered, weights, count, most):
            return _none_empty(found, weights)
    return parts


def longest_first(ordered: Iterable[Cell], weights: Mapping[str, int], count: int) -> Parts:
    """LPT; `ordered`: the longest first, and those alike by id."""
    parts: Parts = [[] for _ in range(count)]
    loads = [(0, index) for index in range(count)]
    heapify(loads)
    for cell in ordered:
        load, index = loads[0]
        parts[index].append(cell)
        heapreplace(loads, (load + weights[cell.id], index))
    return parts


def makespan(seconds: Iterable[float], at_once: int) -> float:
    """When the last of them ends, where each is begun in turn, as soon as one of so many places
    is free."""
    ends = [0.0] * at_once
    for each in seconds:
        heapreplace(ends, ends[0] + each)
    return max(ends)


def bound(weights: Iterable[float], count: int) -> float:
    """What the longest of `count` parts takes at least, however they are cut."""
    found = sorted(weights, reverse=True)
    return max(sum(found) / count, found[0]) if found else 0.0


def _by_distro(
    ordered: Sequence[Cell], weights: Mapping[str, int], count: int, most: int
) -> Parts | None:
    """LPT among the parts that have the cell's distro already; among all where that would make
    one longer than `most`. None where it then still is: but for a part with one cell."""
    parts: Parts = [[] for _ in range(count)]
    loads = [0] * count
    homes: dict[str, list[int]] = {}
    for cell in ordered:
        weight, home = weights[cell.id], homes.setdefault(cell.distro, [])
        room = [index for index in home if loads[index] + weight <= most]
        index = min(room or range(count), key=lambda index: (loads[index], index))
        if not room:
            if parts[index] and loads[index] + weight > most:
                return None
            home.append(index)
        parts[index].append(cell)
        loads[index] += weight
    return parts


def _none_empty(parts: Parts, weights: Mapping[str, int]) -> Parts:
    """So many parts were wanted: each that is empty gets half of the longest that has cells for
    two."""
    full = [part for part in parts if part]
    for _ in range(len(parts) - len(full)):
        several = [index for index, part in enumerate(full) if len(part) > 1]
        index = max(several, key=lambda index: (_load(full[index], weights), -index))
        full[index : index + 1] = longest_first(full[index], weights, 2)
    return full


def _load(part: Iterable[Cell], weights: Mapping[str, int]) -> int:
    return sum(weights[cell.id] for cell in part)
