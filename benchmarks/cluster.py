"""What a cluster of many hosts adds to a run: cells that sleep, on the fake engine.

    python benchmarks/cluster.py
    python benchmarks/cluster.py --workers 100 --cells 20000 --sleep 8
    python benchmarks/cluster.py --workers 10 --cells 300 --sleep 2 --skewed

Each worker is a Dask worker of one thread, as `dask worker` is; ten share a process, with a fake
engine and folders of their own, as a hundred processes take more memory than a desk has. They do
not watch themselves (Dask's system monitor, its profiler, and the clock that wakes a worker fifty
times a second): a hundred that do keep two processors busy without a cell.

Prints how long the run took against the bound (what all cells slept, spread evenly over the
workers, or the longest of them), by the journal; and of client and scheduler the most memory, and
what a cell costs of the processor. A run of a tenth of the cells comes first (400 at most): in it
workers import what they need, and what it took of client and scheduler does not count as a cell's.
What the scheduler takes for the workers' heartbeats, cells or none, is measured for twenty seconds
without a run, and said beside.

`--sleep` says how long a cell sleeps in the middle; it must be so long that the workers' own work,
for which each would have a computer, is not bounded by this one's processors (the last line tells
what that was: below 1.4 of 2 is well). `--skewed`: the lengths have a heavy tail (Pareto, shape
1.2, from `--sleep` on to forty times as long), and a second run, which remembers them, is measured,
too.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from command import write_product

from distromatrix.plan.balance import bound

TICK = os.sysconf("SC_CLK_TCK")
TOGETHER = 10  # workers in a process
FEW = 400  # cells of the first run, at most
MANY = 4000  # cells: from so many on, they are of forty distros
START_WITHIN = 600.0  # seconds
IDLE = 20.0  # seconds
UNWATCHED = {
    "DASK_DISTRIBUTED__ADMIN__SYSTEM_MONITOR__INTERVAL": "1h",
    "DASK_DISTRIBUTED__ADMIN__TICK__INTERVAL": "1s",
    "DASK_DISTRIBUTED__WORKER__PROFILE__ENABLED": "False",
}


def distros_of(cells: int) -> list[str]:
    """Some of them: a matrix file has no room for thousands of suites."""
    return [f"bench-{number}" for number in range(4 if cells < MANY else 40)]


def lengths(cells: int, sleep: float, *, skewed: bool) -> list[float]:
    """How long each suite sleeps, in seconds: on each distro the same."""
    chance, suites = random.Random("cluster"), range(-(-cells // len(distros_of(cells))))
    if skewed:
        return [round(min(sleep * chance.paretovariate(1.2), 40 * sleep), 2) for _ in suites]
    return [round(sleep * chance.uniform(0.8, 1.2), 2) for _ in suites]


def write_suites(folder: Path, seconds: list[float], distros: list[str]) -> None:
    """A product with a suite for every length, on all distros."""
    suites = "".join(f"  s{n:04}: {{run: sleep {s}}}\n" for n, s in enumerate(seconds))
    write_product(folder, distros, f"defaults: {{cpus: 0.1, memory: 64M}}\nsuites:\n{suites}")


def own(folder: Path) -> dict[str, str]:
    """The variables of a process that has all its folders in this one."""
    names = ("DISTROMATRIX_FAKE", "XDG_CACHE_HOME", "XDG_DATA_HOME", "XDG_CONFIG_HOME")
    fakes = {"PYTHONPATH": str(Path(__file__).parents[1] / "tests/fakes")}
    return os.environ | {name: str(folder / name.lower()) for name in names} | fakes


def started(args: list[str], folder: Path, **env: str) -> subprocess.Popen[bytes]:
    folder.mkdir(parents=True)
    with (folder / "log").open("wb") as log:
        return subprocess.Popen(
            [sys.executable, *args],
            stdout=log,
            stderr=subprocess.STDOUT,
            env=own(folder) | env,
            cwd=folder,
        )


async def serve(address: str, workers: int) -> None:
    """Be so many workers, until the scheduler is gone."""
    from distributed import Worker

    made = [
        Worker(address, nthreads=1, memory_limit=0, dashboard=False, local_directory=f"dask-{n}")
        for n in range(workers)
    ]
    await asyncio.gather(*made)  # type: ignore[arg-type]  # Dask is not typed
    await asyncio.gather(*(one.finished() for one in made))


@contextmanager
def cluster(place: Path, workers: int) -> Iterator[tuple[str, int, list[int]]]:
    """Its address, and the process ids of the scheduler and of the workers."""
    from distributed import Client

    file = place / "scheduler.json"
    options = ["--host", "127.0.0.1", "--port", "0", "--no-dashboard"]
    options += ["--scheduler-file", str(file)]
    processes = [started(["-m", "distributed.cli.dask_scheduler", *options], place / "scheduler")]
    try:
        until = time.monotonic() + START_WITHIN
        while not file.exists() and time.monotonic() < until:
            time.sleep(0.1)
        address = json.loads(file.read_text("utf-8"))["address"]
        for first in range(0, workers, TOGETHER):
            serving = [
                __file__,
                "--serve",
                address,
                "--workers",
                str(min(TOGETHER, workers - first)),
            ]
            processes.append(started(serving, place / f"workers-{first}", **UNWATCHED))
        with Client(address, set_as_default=False) as client:  # type: ignore[no-untyped-call]
            client.wait_for_workers(workers, timeout=START_WITHIN)
        yield str(file), processes[0].pid, [one.pid for one in processes[1:]]
    finally:
        for one in processes:
            one.kill()
        for one in processes:
            one.wait()


def used(pid: int) -> float:
    """Seconds of the processor that a process has had, with its children that have ended."""
    fields = Path(f"/proc/{pid}/stat").read_text("utf-8").rpartition(")")[2].split()
    return sum(int(value) for value in fields[11:15]) / TICK


def peak(pid: int) -> float:
    """The most memory that a process has had, in MB."""
    lines = Path(f"/proc/{pid}/status").read_text("utf-8").splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM:")) / 1000


def run(folder: Path, place: Path, address: str) -> tuple[float, float, float]:
    """One run: seconds by its journal, the client's seconds of the processor, and its most
    memory in MB."""
    place.mkdir(exist_ok=True)
    command = [sys.executable, "-m", "distromatrix", "run", "--cluster", address]
    env = own(place)
    del env["DISTROMATRIX_FAKE"]  # which remembers nothing
    with (place / "client.log").open("wb") as log:
        one = subprocess.Popen(
            [*command, "-C", str(folder)], stdout=log, stderr=subprocess.STDOUT, env=env
        )
        _, status, usage = os.wait4(one.pid, 0)
    one.returncode = os.waitstatus_to_exitcode(status)
    if one.returncode:
        for fault in folder.glob(".distromatrix/runs/latest/cells/*/*/fault.txt"):
            sys.stderr.write(fault.read_text(encoding="utf-8"))
        sys.exit(
            f"the run ended with {one.returncode}\n{(place / 'client.log').read_text()[-3000:]}"
        )
    journal = folder / ".distromatrix/runs/latest/journal.jsonl"
    last = json.loads(journal.read_text(encoding="utf-8").splitlines()[-1])
    return last["seconds"], usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1000


def checked(folder: Path, cells: int) -> None:
    """See that all cells have passed."""
    file = folder / ".distromatrix/runs/latest/results.json"
    found: Mapping[str, Any] = json.loads(file.read_text(encoding="utf-8"))
    if found["verdict"] != "passed" or len(found["cells"]) != cells:
        sys.exit(f"not all cells passed: {found['verdict']}, {len(found['cells'])}")


def measured(workers: int, cells: int, sleep: float, *, skewed: bool) -> None:
    seconds, distros = lengths(cells, sleep, skewed=skewed), distros_of(cells)
    cells = len(seconds) * len(distros)
    least = bound(seconds * len(distros), workers)
    short = lengths(min(cells // 10, FEW), sleep, skewed=False)
    few = len(short) * 4
    runs = ["without history", "with history"] if skewed else [""]
    with tempfile.TemporaryDirectory() as name:
        place = Path(name)
        write_suites(place / "few", short, distros_of(few))
        write_suites(place / "product", seconds, distros)
        with cluster(place, workers) as (address, scheduler, others):
            idle = used(scheduler)
            _, first, _ = run(place / "few", place / "client", address)
            checked(place / "few", few)
            told_first = used(scheduler) - idle
            idle = used(scheduler)
            time.sleep(IDLE)
            beats = (used(scheduler) - idle) / IDLE
            for which in runs:
                before = used(scheduler), sum(map(used, others))
                took, client, most = run(place / "product", place / "client", address)
                told = used(scheduler) - before[0]
                work = sum(map(used, others)) - before[1]
                checked(place / "product", cells)
                each = 1000 / (cells - few)
                print(
                    f"{cells} cells on {workers} workers{which and f', {which}'}: {took:.1f} s, "
                    f"{took / least:.3f} of the bound {least:.1f} s\n"
                    f"  client     {each * (client - first):.2f} ms of the processor a cell, "
                    f"{client:.1f} s in all, {most:.0f} MB\n"
                    f"  scheduler  {each * (told - told_first):.2f} ms of the processor a cell, "
                    f"{told:.1f} s in all, {peak(scheduler):.0f} MB\n"
                    f"             of them {beats * took:.1f} s for heartbeats, cells or none\n"
                    f"  workers    {1000 * work / cells:.1f} ms of the processor a cell, "
                    f"{work / took:.2f} processors busy",
                    flush=True,
                )


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n\n", 1)[0])
    parser.add_argument("--workers", type=int, default=10)
    parser.add_argument("--cells", type=int, default=1000)
    parser.add_argument("--sleep", type=float, default=2.0, metavar="SECONDS")
    parser.add_argument("--skewed", action="store_true")
    parser.add_argument("--serve", metavar="ADDRESS", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.serve:
        asyncio.run(serve(args.serve, args.workers))
        return
    measured(args.workers, args.cells, args.sleep, skewed=args.skewed)


if __name__ == "__main__":
    main()
