"""How long a plan of 10,000 cells takes, and loading the matrix it is made of.

`python benchmarks/plan.py`; median of five, in seconds.
"""

from __future__ import annotations

import tempfile
from datetime import date
from pathlib import Path
from statistics import median
from time import perf_counter

from distromatrix.load import load_matrix
from distromatrix.model import HostFacts, Selection
from distromatrix.plan.make import make_plan

TODAY = date(2026, 11, 23)
FACTS = HostFacts(arch="x86_64", cpus=2, memory=1 << 33, today=TODAY)
DISTROS, SUITES, VARIANTS, RULES, TIMES = 20, 25, 20, 50, 5


def write_project(root: Path) -> Path:
    """A project with 20 distros × 25 suites × 20 variants and 50 rules."""
    (root / "matrix").mkdir()
    (root / "distros").mkdir()
    for i in range(DISTROS):
        (root / "distros" / f"bench-{i}.yaml").write_text("like: debian-12\n")
    suites = "".join(
        f"  suite-{i}: {{run: 'true', packages: [python, make], env: {{A: b}}}}\n"
        for i in range(SUITES)
    )
    variants = "".join(f"  v{i}: {{env: {{V: '{i}'}}, packages: [git]}}\n" for i in range(VARIANTS))
    rules = "".join(
        f"  - {{distro: bench-{i % DISTROS}, suite: suite-*, variant: v{i % VARIANTS}, "
        + ("skip: no}\n" if i % 2 else "env: {R: r}, packages: [curl]}\n")
        for i in range(RULES)
    )
    file = root / "matrix" / "default.yaml"
    file.write_text(f"distros: [bench-*]\nsuites:\n{suites}variants:\n{variants}rules:\n{rules}")
    return file


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        file = write_project(Path(folder))
        loads, plans, cells = [], [], 0
        for _ in range(TIMES):
            start = perf_counter()
            matrix = load_matrix(file, today=TODAY)
            loaded = perf_counter()
            plan = make_plan(matrix, FACTS, Selection(selectors=("bench-*/suite-*/v*", "bench-1")))
            plans.append(perf_counter() - loaded)
            loads.append(loaded - start)
            cells = len(plan.cells)
    print(f"load  {median(loads):6.3f} s  ({DISTROS} distros, {SUITES} suites, {RULES} rules)")
    print(f"plan  {median(plans):6.3f} s  ({cells} cells)")


if __name__ == "__main__":
    main()
