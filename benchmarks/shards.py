"""How well 2,000 cells are cut into shards: the longest shard against the theoretical bound.

`python benchmarks/shards.py`; medians of seven matrices a row. What cells take is heavy-tailed:
a Pareto distribution (shape 1.2: the longest 1 % take a third of all time), independent or by
suite with each distro's factor, or lognormal. `fresh`: nothing is known of them; `exact`: what
they take; `noisy`: each off by up to 30 %. The bound is the greater of the average load and the
longest cell. `images`: pairs of shard and distro, each of which makes an image ready on a fresh
machine; in brackets what the plain longest-first rule has.
"""

from __future__ import annotations

import random
from collections.abc import Mapping
from statistics import median
from time import perf_counter

from distromatrix.model import Cell, Plan, Product
from distromatrix.plan.balance import Parts, bound, longest_first
from distromatrix.plan.shards import UNKNOWN, shards

DISTROS, SUITES, MATRICES = 40, 50, 7
COUNTS = (10, 50, 256)
HOUR = 3600.0


def the_plan() -> Plan:
    from pathlib import Path

    cells = tuple(
        Cell(
            id=f"distro-{d}/suite-{s}",
            distro=f"distro-{d}",
            suite=f"suite-{s}",
            engine="docker",
            reason="",
            run="true",
        )
        for d in range(DISTROS)
        for s in range(SUITES)
    )
    return Plan(matrix=Path(), root=Path(), product=Product(path=Path()), cells=cells)


def heavy_tailed(plan: Plan, kind: str, chance: random.Random) -> dict[str, float]:
    suites = {f"suite-{s}": chance.paretovariate(1.2) for s in range(SUITES)}
    distros = {f"distro-{d}": chance.lognormvariate(0, 0.3) for d in range(DISTROS)}

    def of(cell: Cell) -> float:
        if kind == "pareto":
            return 5 * chance.paretovariate(1.2)
        if kind == "by suite":
            return 5 * suites[cell.suite] * distros[cell.distro] * chance.lognormvariate(0, 0.2)
        return chance.lognormvariate(3, 1.2)

    return {cell.id: min(of(cell), HOUR) for cell in plan.cells}


def known(how: str, truth: Mapping[str, float], chance: random.Random) -> dict[str, float]:
    if how == "exact":
        return dict(truth)
    if how == "noisy":
        return {cell: seconds * chance.uniform(0.7, 1.3) for cell, seconds in truth.items()}
    return dict.fromkeys(truth, UNKNOWN)


def ratio(parts: Parts, truth: Mapping[str, float]) -> float:
    longest = max(sum(truth[cell.id] for cell in part) for part in parts)
    return longest / bound(truth.values(), len(parts))


def images(parts: Parts) -> int:
    return sum(len({cell.distro for cell in part}) for part in parts)


def plain(plan: Plan, seconds: Mapping[str, float], count: int) -> Parts:
    weights = {cell: round(1000 * value) for cell, value in seconds.items()}
    ordered = sorted(plan.cells, key=lambda cell: (-weights[cell.id], cell.id))
    return longest_first(ordered, weights, count)


def main() -> None:
    plan = the_plan()
    print(f"{len(plan.cells)} cells of {DISTROS} distros")
    print("| durations | known | shards | longest / bound (worst) | images | s |")
    print("| --- | --- | --- | --- | --- | --- |")
    for kind in ("pareto", "by suite", "lognormal"):
        for how in ("fresh", "exact", "noisy"):
            for count in COUNTS:
                row(plan, kind, how, count)


def row(plan: Plan, kind: str, how: str, count: int) -> None:
    ours, theirs, few, many, times = [], [], [], [], []
    for seed in range(MATRICES):
        chance = random.Random(f"{kind} {seed}")
        truth = heavy_tailed(plan, kind, chance)
        seconds = known(how, truth, chance)
        began = perf_counter()
        parts = [list(part) for part in shards(plan, seconds, count)]
        times.append(perf_counter() - began)
        ours.append(ratio(parts, truth))
        few.append(images(parts))
        other = plain(plan, seconds, count)
        theirs.append(ratio(other, truth))
        many.append(images(other))
    print(
        f"| {kind} | {how} | {count} "
        f"| {median(ours):.3f} ({max(ours):.3f}) [{median(theirs):.3f} ({max(theirs):.3f})] "
        f"| {median(few):.0f} [{median(many):.0f}] | {median(times):.3f} |"
    )


if __name__ == "__main__":
    main()
