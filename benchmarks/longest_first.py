"""How long 40 cells with a heavy tail take: in the matrix file's order, as a first run begins them,
and the longest first, as a second run does by what the first has remembered.

    python benchmarks/longest_first.py --jobs 4
    python benchmarks/longest_first.py --reckoned

Each matrix is drawn anew: what its cells sleep is Pareto distributed (shape 1.2). Both runs of it
are whole processes, one after the other, on warm images; the bound is the greater of the longest
cell and the average load, by what the cells of that run took themselves. `--reckoned` runs nothing:
of 1,000 matrices it tells what both orders would take, with exact durations and no cost of engines.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

from distromatrix.plan.balance import bound, makespan

CELLS = 40
SHORTEST, LONGEST = 1.5, 60.0  # seconds


def heavy_tailed(seed: int) -> list[float]:
    chance = random.Random(f"longest first {seed}")
    return [round(min(SHORTEST * chance.paretovariate(1.2), LONGEST), 2) for _ in range(CELLS)]


def write_product(folder: Path, seconds: list[float]) -> None:
    (folder / "matrix").mkdir(parents=True)
    suites = "".join(f"  s{n:02}: {{run: sleep {s}}}\n" for n, s in enumerate(seconds))
    (folder / "matrix/default.yaml").write_text(
        "product: .\ndistros: [debian-12]\ndefaults: {cpus: 0.1, memory: 64M}\n"
        f"suites:\n{suites}",
        encoding="utf-8",
    )


def called(folder: Path, *args: str) -> str:
    command = [sys.executable, "-m", "distromatrix", *args, "-C", str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(f"{args} ended with {done.returncode}\n{done.stderr}")
    return done.stdout


def run(folder: Path, jobs: int) -> tuple[float, float]:
    """Seconds that a run took, and the bound of what its cells took."""
    found = json.loads(called(folder, "run", "--json", "-j", str(jobs)))
    latest = folder / ".distromatrix/runs/latest/journal.jsonl"
    last = json.loads(latest.read_text(encoding="utf-8").splitlines()[-1])
    return last["seconds"], bound([cell["seconds"] for cell in found["cells"]], jobs)


def measured(matrices: int, jobs: int) -> None:
    firsts, seconds, gains = [], [], []
    for seed in range(matrices):
        with tempfile.TemporaryDirectory() as place:
            os.environ["XDG_DATA_HOME"] = f"{place}/data"
            folder = Path(place) / "product"
            write_product(folder, heavy_tailed(seed))
            called(folder, "images", "build")
            (first, least), (second, least_again) = run(folder, jobs), run(folder, jobs)
        firsts.append(first / least)
        seconds.append(second / least_again)
        gains.append(second / first)
        print(
            f"matrix {seed}: file order {first:.2f} s ({firsts[-1]:.3f} of the bound), "
            f"longest first {second:.2f} s ({seconds[-1]:.3f}), ratio {gains[-1]:.3f}",
            flush=True,
        )
    print(
        f"{CELLS} cells, {jobs} at a time, {matrices} matrices: of the bound, "
        f"file order {spread(firsts)}, longest first {spread(seconds)}; ratio {spread(gains)}"
    )


def reckoned(matrices: int) -> None:
    for jobs in (2, 4, 8, 16):
        file_order, longest_first = [], []
        for seed in range(matrices):
            each = heavy_tailed(seed)
            least = bound(each, jobs)
            file_order.append(makespan(each, jobs) / least)
            longest_first.append(makespan(sorted(each, reverse=True), jobs) / least)
        print(
            f"{jobs} at a time: file order {spread(file_order)}, "
            f"longest first {spread(longest_first)} of the bound"
        )


def spread(found: list[float]) -> str:
    return f"{statistics.median(found):.3f} ({min(found):.3f} to {max(found):.3f})"


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n\n", 1)[0])
    parser.add_argument("--matrices", type=int, default=9)
    parser.add_argument("--jobs", type=int, default=4)
    parser.add_argument("--reckoned", action="store_true")
    args = parser.parse_args()
    if args.reckoned:
        reckoned(1000)
    else:
        measured(args.matrices, args.jobs)


if __name__ == "__main__":
    main()
