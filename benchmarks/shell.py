"""A command in a machine: by the engine's exec, and through shells that stay open.

    python benchmarks/shell.py [--times 200] [--image TAG]…

For each base image in Docker's store, side by side, in turn, in one run: `docker exec`, an exec
through the API, and `machine.run` of who opened the machine (`sh -e`, as the runner runs, and
`sh`, as tests and testinfra do) and of who joined it; back to back, and with 2 ms between
commands. Prints medians, ratios to the API's exec, and the processor time that a command costs
in the machine and in this process together.
"""

from __future__ import annotations

import argparse
import contextlib
import secrets
import statistics
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import docker

from distromatrix.engines import open_engine
from distromatrix.engines.contract import (
    LABEL_KIND,
    LABEL_RUN,
    Command,
    Engine,
    Machine,
    MachineSpec,
)

COMMANDS = {":": ":", "a program": "ls /etc/passwd"}
PAUSES = (0.0, 0.002)


def ways(machine: Machine, guest: Machine) -> dict[str, Callable[[str], object]]:
    """The ways to run a command."""
    api = docker.from_env().api
    name = machine.address.id

    def by_api(script: str) -> None:
        made = api.exec_create(name, ["/bin/sh", "-c", script])
        api.exec_start(made["Id"])
        api.exec_inspect(made["Id"])

    def by_cli(script: str) -> None:
        subprocess.run(
            ["docker", "exec", name, "/bin/sh", "-c", script], check=True, stdout=subprocess.DEVNULL
        )

    return {
        "docker exec": by_cli,
        "exec by the API": by_api,
        "machine.run, strict": lambda script: machine.run(Command(script)),
        "machine.run, not strict": lambda script: apart(machine, script),
        "joined, not strict": lambda script: apart(guest, script),
    }


def apart(machine: Machine, script: str) -> None:
    machine.run(Command(script, output=lambda _: None, errors=lambda _: None, strict=False))


def seconds(run: Callable[[str], object], script: str, pause: float, times: int) -> list[float]:
    """What each run took."""
    taken = []
    for _ in range(times):
        time.sleep(pause)
        began = time.perf_counter()
        run(script)
        taken.append(time.perf_counter() - began)
    return taken


def used(machine: Machine) -> float:
    """Seconds of processor time of the machine so far (cgroup v2 or v1), and of this process."""
    lines: list[bytes] = []
    machine.run(
        Command(
            "cat /sys/fs/cgroup/cpu.stat /sys/fs/cgroup/cpuacct/cpuacct.usage 2>/dev/null || :",
            output=lines.append,
        )
    )
    words = b"".join(lines).split()
    v2 = int(words[words.index(b"usage_usec") + 1]) / 1e6 if b"usage_usec" in words else 0.0
    return time.process_time() + (v2 or int(words[-1]) / 1e9)


@contextlib.contextmanager
def opened(engine: Engine, image: str) -> Iterator[tuple[Machine, Machine]]:
    run = f"bench-{secrets.token_hex(6)}"
    spec = MachineSpec(
        name=f"distromatrix-{run}", image=image, labels={LABEL_RUN: run}, network=False
    )
    machine = engine.open(spec)
    try:
        guest = engine.join(machine.address)
        yield machine, guest
        guest.close()
    finally:
        machine.close()


def measure(engine: Engine, image: str, times: int) -> None:
    print(f"\n{image}")
    with opened(engine, image) as (machine, guest):
        for title, script in COMMANDS.items():
            for pause in PAUSES:
                print(f"  {title}, {pause * 1000:.0f} ms between")
                taken: dict[str, list[float]] = {}
                cost: dict[str, float] = {}
                every = ways(machine, guest)
                for _round in range(4):
                    for way, run in every.items():
                        some = max(times // 4 // (10 if "exec" in way else 1), 2)
                        before = used(machine)
                        taken.setdefault(way, []).extend(seconds(run, script, pause, some))
                        cost[way] = cost.get(way, 0.0) + (used(machine) - before) / some / 4
                base = statistics.median(taken["exec by the API"])
                for way, all_of_it in taken.items():
                    median = statistics.median(all_of_it)
                    print(
                        f"    {way:25} {median * 1000:7.2f} ms  1/{base / median:5.1f}"
                        f"  processor {cost[way] * 1000:5.2f} ms"
                    )


def main() -> None:
    parser = argparse.ArgumentParser(description=Path(__file__).name)
    parser.add_argument("--times", type=int, default=200)
    parser.add_argument("--image", action="append")
    options = parser.parse_args()
    engine = open_engine("docker")
    images = options.image or sorted(
        image.tag for image in engine.images.list() if image.labels.get(LABEL_KIND) == "base"
    )
    for image in images:
        measure(engine, image, options.times)
    engine.close()


if __name__ == "__main__":
    main()
