"""What a container runs and holds, seen from outside, where nothing in it can say otherwise: by the
engine, and by this host's /proc where the engine's host is this one and we are its root."""

from __future__ import annotations

import contextlib
import os
import stat
import subprocess
from pathlib import Path
from time import monotonic, sleep

from distromatrix.engines.contract import API_TIMEOUT
from distromatrix.engines.docker.container import Container

# Seconds in which what was left running has to be gone; then its machine ends with it.
SIGNALLED_WITHIN = 5.0


def ends_alone(container: Container) -> bool:
    """Whether its process 1 comes to be the only one in it within SIGNALLED_WITHIN seconds; true
    where that is not seen from here. Raises InfrastructureError."""
    if not (first := _first(container)):
        return True
    until = monotonic() + SIGNALLED_WITHIN
    while (others := _processes(first, container.id) - {first}) and monotonic() < until:
        sleep(0.005)
    return not others


def written(container: Container, most: int) -> int:
    """Bytes in its own layer, with files that were removed and are open still. Those with holes
    count whole; but where that makes it more than `most`, and one may look, as they lie on the
    disk. Raises InfrastructureError, OSError, ValueError."""
    with container.calling("measure") as client:
        (listed,) = client.containers(size=True, all=True, filters={"id": container.id})
    size = int(listed.get("SizeRw") or 0)
    first = _first(container) if os.geteuid() == 0 else 0
    if not first or not (processes := _processes(first, container.id)):
        return size
    if size > most:
        data = container.inspect().get("GraphDriver", {}).get("Data") or {}
        upper = Path(data.get("UpperDir") or "/nowhere")
        size = blocks(upper) if upper.is_dir() else size
    return size + _removed(first, processes)


def _first(container: Container) -> int:
    """The id here of its process 1; 0 where it is none of this host's."""
    local = container.api.url.startswith("unix:")
    return int(container.inspect()["State"]["Pid"]) if local else 0


def _processes(first: int, container: str) -> set[int]:
    """Those in a process's control group and below it: that is its container's if it has its id.
    None where it has not: then this host is not the engine's."""
    with contextlib.suppress(OSError, ValueError):
        for line in Path(f"/proc/{first}/cgroup").read_text().splitlines():
            _, kinds, path = line.split(":", 2)
            if container in path and (kinds == "pids" or not kinds):
                top = Path("/sys/fs/cgroup", kinds, path.lstrip("/"))
                files = (top, *top.rglob("*/")) if top.is_dir() else ()
                return {
                    int(pid) for one in files for pid in (one / "cgroup.procs").read_text().split()
                }
    return set()


def blocks(folder: Path) -> int:
    """What lies in a folder, as du counts it: each file once, however many names it has. Raises
    OSError, ValueError."""
    command = ["du", "-skx", "--", str(folder)]
    done = subprocess.run(
        command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, timeout=API_TIMEOUT, check=False
    )
    return int(done.stdout.split()[0]) * 1024


def _removed(first: int, processes: set[int]) -> int:
    """Bytes of the files without a name that they have open, on the disks that process 1 sees as
    `/` and as the product's."""
    disks: set[int] = set()
    found: dict[tuple[int, int], int] = {}
    for path in ("", "distromatrix"):
        with contextlib.suppress(OSError):
            disks.add(Path(f"/proc/{first}/root/{path}").stat().st_dev)
    for process in processes:
        with contextlib.suppress(OSError):
            for file in Path(f"/proc/{process}/fd").iterdir():
                with contextlib.suppress(OSError):
                    one = file.stat()
                    if stat.S_ISREG(one.st_mode) and not one.st_nlink and one.st_dev in disks:
                        found[one.st_dev, one.st_ino] = one.st_blocks * 512
    return sum(found.values())
