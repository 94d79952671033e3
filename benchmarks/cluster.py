"""What a cluster of many hosts adds to a run: cells that sleep, on the fake engine.

    python benchmarks/cluster.py
    python benchmarks/cluster.py --workers 100 --cells 20000 --sleep 60
    python benchmarks/cluster.py --workers 3 --cells 60 --skewed

Each worker is a real `dask worker` of one thread, with a fake engine and folders of its own. Prints
how long the run took against the bound (what all cells slept, spread evenly over the workers, or
the longest of them), by the journal, the seconds of the processor of client and scheduler, for each
cell, and the most memory that either had. `--sleep` says how long a cell sleeps in the middle; it
must be so long that the workers' own work is not bounded by this machine's processors (the last
line tells what that was). `--skewed`: the lengths have a heavy tail (Pareto, shape 1.2, from
`--sleep` on to forty times as long), and a second run, which remembers them, is measured, too.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import random
import subprocess
import sys
import tarfile
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from distromatrix.plan.balance import bound

DISTROS = ("bench-1", "bench-2", "bench-3", "bench-4")
DISTRO = """\
title: Bench
family: other
package_manager: none
libc: glibc
image: [{archive: {file: empty.tar, sha256: SHA}}]
"""
TICK = os.sysconf("SC_CLK_TCK")
AT_A_TIME = 4  # workers that are started together
START_WITHIN = 600.0  # seconds


def lengths(cells: int, sleep: float, *, skewed: bool) -> list[float]:
    """How long each cell sleeps, in seconds."""
    chance = random.Random("cluster")
    if skewed:
        return [round(min(sleep * chance.paretovariate(1.2), 40 * sleep), 2) for _ in range(cells)]
    return [round(sleep * chance.uniform(0.8, 1.2), 2) for _ in range(cells)]


def write_product(folder: Path, seconds: list[float]) -> None:
    """A suite for every length; distros take turns."""
    (folder / "matrix").mkdir(parents=True)
    (folder / "distros").mkdir()
    with tarfile.open(folder / "distros/empty.tar", "w"):
        pass
    digest = hashlib.sha256((folder / "distros/empty.tar").read_bytes()).hexdigest()
    for name in DISTROS:
        (folder / f"distros/{name}.yaml").write_text(DISTRO.replace("SHA", digest), "utf-8")
    suites = "".join(
        f"  s{n:05}: {{distros: [{DISTROS[n % len(DISTROS)]}], run: sleep {s}}}\n"
        for n, s in enumerate(seconds)
    )
    (folder / "matrix/default.yaml").write_text(
        f"product: .\ndistros: [{', '.join(DISTROS)}]\n"
        f"defaults: {{cpus: 0.1, memory: 64M}}\nsuites:\n{suites}",
        encoding="utf-8",
    )


def own(folder: Path) -> dict[str, str]:
    """The variables of a process that has all its folders in this one."""
    names = ("DISTROMATRIX_FAKE", "XDG_CACHE_HOME", "XDG_DATA_HOME", "XDG_CONFIG_HOME")
    return os.environ | {name: str(folder / name.lower()) for name in names}


def started(args: list[str], folder: Path) -> subprocess.Popen[bytes]:
    folder.mkdir(parents=True)
    with (folder / "log").open("wb") as log:
        return subprocess.Popen(
            [sys.executable, "-m", "distributed.cli." + args[0], *args[1:]],
            stdout=log,
            stderr=subprocess.STDOUT,
            env=own(folder),
            cwd=folder,
        )


@contextmanager
def cluster(place: Path, workers: int) -> Iterator[tuple[str, int, list[int]]]:
    """Its address, and the process ids of the scheduler and of the workers."""
    from distributed import Client

    file = place / "scheduler.json"
    options = ["--host", "127.0.0.1", "--port", "0", "--no-dashboard"]
    processes = [
        started(["dask_scheduler", *options, "--scheduler-file", str(file)], place / "scheduler")
    ]
    try:
        until = time.monotonic() + START_WITHIN
        while not file.exists() and time.monotonic() < until:
            time.sleep(0.1)
        address = json.loads(file.read_text("utf-8"))["address"]
        with Client(address, set_as_default=False) as client:  # type: ignore[no-untyped-call]
            for first in range(0, workers, AT_A_TIME):
                for number in range(first, min(first + AT_A_TIME, workers)):
                    folder = place / f"worker-{number}"
                    one = [address, "--nthreads", "1", "--no-nanny", "--no-dashboard"]
                    one += ["--memory-limit", "0", "--local-directory", str(folder / "dask")]
                    processes.append(started(["dask_worker", *one], folder))
                client.wait_for_workers(min(first + AT_A_TIME, workers), timeout=START_WITHIN)
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
    with (place / "client.log").open("wb") as log:
        one = subprocess.Popen(
            [*command, "-C", str(folder)], stdout=log, stderr=subprocess.STDOUT, env=own(place)
        )
        _, status, usage = os.wait4(one.pid, 0)
    one.returncode = os.waitstatus_to_exitcode(status)
    if one.returncode:
        sys.exit(
            f"the run ended with {one.returncode}\n{(place / 'client.log').read_text()[-3000:]}"
        )
    journal = folder / ".distromatrix/runs/latest/journal.jsonl"
    last = json.loads(journal.read_text(encoding="utf-8").splitlines()[-1])
    return last["seconds"], usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1000


def results_of(folder: Path) -> Mapping[str, Any]:
    found: Mapping[str, Any] = json.loads(
        (folder / ".distromatrix/runs/latest/results.json").read_text(encoding="utf-8")
    )
    return found


def measured(workers: int, cells: int, sleep: float, *, skewed: bool) -> None:
    seconds = lengths(cells, sleep, skewed=skewed)
    least = bound(seconds, workers)
    with tempfile.TemporaryDirectory() as name:
        place = Path(name)
        product = place / "product"
        write_product(product, seconds)
        with cluster(place, workers) as (address, scheduler, others):
            for which in ("first run", "second run")[: 1 + skewed]:
                before = used(scheduler), sum(map(used, others))
                took, client, most = run(product, place / "client", address)
                told = used(scheduler) - before[0]
                work = sum(map(used, others)) - before[1]
                found = results_of(product)
                if found["verdict"] != "passed" or len(found["cells"]) != cells:
                    sys.exit(f"not all cells passed: {found['verdict']}, {len(found['cells'])}")
                each = 1000 * (client + told) / cells
                print(
                    f"{cells} cells on {workers} workers, {which}: {took:.1f} s, "
                    f"{took / least:.3f} of the bound {least:.1f} s; client {client:.1f} s of the "
                    f"processor and {most:.0f} MB, scheduler {told:.1f} s and "
                    f"{peak(scheduler):.0f} MB: {each:.2f} ms a cell\n"
                    f"  workers: {1000 * work / cells:.1f} ms of the processor a cell, "
                    f"{work / took:.2f} processors busy",
                    flush=True,
                )


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n\n", 1)[0])
    parser.add_argument("--workers", type=int, default=10)
    parser.add_argument("--cells", type=int, default=1000)
    parser.add_argument("--sleep", type=float, default=2.0, metavar="SECONDS")
    parser.add_argument("--skewed", action="store_true")
    args = parser.parse_args()
    measured(args.workers, args.cells, args.sleep, skewed=args.skewed)


if __name__ == "__main__":
    main()
