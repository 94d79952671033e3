"""Guests: the first command in a cold one and in one from a saved state, a command's round trip,
and a plain `vagrant up` of the same system beside them.

    python benchmarks/guests.py [--distro debian-12] [--times 5] [--no-vagrant | --no-direct]

Everything is measured in one run, in turn, on images that are made beforehand; what is kept ready
is made anew in a folder of its own, which goes. Prints each figure, the ratios, and what direct
guests took of the processors, their removal included: that says more where other work runs beside.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import re
import secrets
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from distromatrix.engines import open_engine
from distromatrix.engines.contract import LABEL_RUN, Command, Engine, Machine, MachineSpec
from distromatrix.engines.qemu.disk import Disk
from distromatrix.engines.qemu.engine import QemuEngine
from distromatrix.engines.qemu.guest import QemuGuest
from distromatrix.engines.qemu.machine import QemuMachine, new_overlay

sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))
from given import guest_image_of

MEMORY = 512 * 1024**2
RUN = f"bench-{secrets.token_hex(4)}"


def spec(image: str) -> MachineSpec:
    name = f"distromatrix-{RUN}-{secrets.token_hex(3)}"
    return MachineSpec(name=name, image=image, memory=MEMORY, labels={LABEL_RUN: RUN})


def timed(what: Callable[[], object]) -> float:
    began = time.perf_counter()
    what()
    return time.perf_counter() - began


@contextlib.contextmanager
def opened(engine: Engine, image: str) -> Iterator[Machine]:
    machine = engine.open(spec(image))
    try:
        yield machine
    finally:
        machine.close()


def with_processors(what: Callable[[], float]) -> tuple[float, float]:
    """Its figure, and the seconds of processors that it took, in processes that have ended too."""
    before = sum(os.times()[:4])
    figure = what()
    return figure, sum(os.times()[:4]) - before


def first_command(engine: Engine, image: str) -> float:
    """Open a machine and run `true` in it; its removal is not counted."""
    began = time.perf_counter()
    with opened(engine, image) as machine:
        assert machine.run(Command("true")).status == 0
        return time.perf_counter() - began


def container_run(image: str) -> float:
    return timed(lambda: subprocess.run(["docker", "run", "--rm", image, "true"], check=True))


def round_trips(engine: Engine, image: str, times: int) -> list[float]:
    """As testinfra and the fixtures call it, with 20 ms between commands."""
    with opened(engine, image) as machine:
        machine.run(Command(":", strict=False))
        taken = []
        for _ in range(times):
            time.sleep(0.02)
            taken.append(timed(lambda: machine.run(Command(":", strict=False))))
        return taken


def cold_direct(engine: QemuEngine, image: str, cache: Path) -> float:
    """A direct guest booted from nothing but its disk, to its first command."""
    (folder,) = (cache / "guests").glob("distromatrix-template-disk-*")
    disk = Disk(folder)
    one = spec(image)
    home = cache / one.name
    home.mkdir()
    virtual, scale = engine.virtual(one, disk)
    began = time.perf_counter()
    new_overlay(home, disk.root, "raw")
    guest = QemuGuest(one, home, disk, virtual, scale=scale)
    machine = QemuMachine(guest, staged=False)
    try:
        guest.boot()
        assert machine.run(Command("true")).status == 0
        return time.perf_counter() - began
    finally:
        machine.close()


def plain_vagrant(cache: Path) -> tuple[float, float]:
    """`vagrant up` and the first `vagrant ssh` of what our template's Vagrantfile says, without
    what it says to Vagrant of how to wait."""
    (made,) = (cache / "guests/vagrant/templates").glob("distromatrix-template-*/Vagrantfile")
    folder = cache / "plain"
    folder.mkdir()
    name = made.parent.name
    text = made.read_text(encoding="utf-8").replace(name, f"distromatrix-{RUN}-plain")
    text, found = re.subn(
        r"# Vagrant asks for ssh.*?\(DistromatrixPatience\)\n", "", text, flags=re.S
    )
    assert found == 1
    (folder / "Vagrantfile").write_text(text, encoding="utf-8")
    env = {**os.environ, "VAGRANT_CHECKPOINT_DISABLE": "1"}

    def vagrant(*words: str) -> None:
        subprocess.run(["vagrant", *words], cwd=folder, env=env, check=True, capture_output=True)

    try:
        up = timed(lambda: vagrant("up", "--provider", "libvirt"))
        return up, timed(lambda: vagrant("ssh", "-c", "true"))
    finally:
        vagrant("destroy", "-f")


def show(
    what: str, taken: list[float], beside: float | None = None, cpu: list[float] | None = None
) -> None:
    median = statistics.median(taken)
    ratio = f"  1/{beside / median:.1f}" if beside else ""
    if cpu:
        ratio += f"  processors {statistics.median(cpu) * 1000:.0f} ms"
    span = f"({min(taken) * 1000:.1f} to {max(taken) * 1000:.1f})"
    print(f"{what:58} {median * 1000:9.1f} ms  {span}{ratio}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=Path(__file__).name)
    parser.add_argument("--distro", default="debian-12")
    parser.add_argument("--times", type=int, default=5)
    parser.add_argument("--no-vagrant", action="store_true")
    parser.add_argument("--no-direct", action="store_true")
    options = parser.parse_args()
    cache = Path(tempfile.mkdtemp(prefix="distromatrix-bench-", dir=Path.home()))
    containers = open_engine("docker")
    try:
        if not options.no_direct:
            of_direct(containers, options.distro, options.times, cache)
        if not options.no_vagrant:
            of_vagrant(containers, options.distro, options.times, cache)
    finally:
        containers.close()
        shutil.rmtree(cache, ignore_errors=True)


def of_direct(containers: Engine, distro: str, times: int, cache: Path) -> None:
    image = guest_image_of(containers, distro, "qemu")
    engine = QemuEngine(containers, cache=cache)
    show("direct: disk, boot, save, restore and first command", [first_command(engine, image)])
    cold, saved, loop = [], [], []
    for _ in range(times):
        cold.append(with_processors(lambda: cold_direct(engine, image, cache)))
        saved.append(with_processors(lambda: first_command(engine, image)))
        loop.append(container_run(image))
    container = statistics.median(loop)
    show("docker run --rm IMAGE true", loop)
    for what, pairs in (("cold", cold), ("from its saved state", saved)):
        taken, cpu = (list(figures) for figures in zip(*pairs, strict=True))
        show(f"direct, {what}: first command", taken, container, cpu)
    show("direct: a command's round trip", round_trips(engine, image, 20 * times))


def of_vagrant(containers: Engine, distro: str, times: int, cache: Path) -> None:
    from distromatrix.engines.vagrant.engine import VagrantEngine

    image = guest_image_of(containers, distro, "vagrant")
    engine = VagrantEngine(containers, cache)
    whole = first_command(engine, image)
    for left in engine.templates():
        if left.kind == "template":
            engine.remove(left)
    cold = first_command(engine, image)
    up, ssh = plain_vagrant(cache)
    show("plain vagrant up", [up])
    show("and its first vagrant ssh", [ssh])
    show("vagrant: box, up, save, restore and first command", [whole], up + ssh)
    show("vagrant, cold: up, save, restore and first command", [cold], up + ssh)
    saved = [first_command(engine, image) for _ in range(times)]
    show("vagrant, from its saved state: first command", saved, up + ssh)
    show("vagrant: a command's round trip", round_trips(engine, image, 20 * times), ssh)
    for left in (*engine.templates(), *engine.templates()):  # a box goes after what stands on it
        engine.remove(left)
    engine.close()


if __name__ == "__main__":
    main()
