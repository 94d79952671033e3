"""Real direct guests: what a kernel of one's own gives, that a restored one is nobody's twin, and
how each of its ends is told."""

from __future__ import annotations

import os
import secrets
import signal
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import pytest
from breaking_world import small_disk

from distromatrix.engines import open_engine
from distromatrix.engines.contract import (
    LABEL_CELL,
    LABEL_FOLDER,
    LABEL_HOST,
    LABEL_RUN,
    Command,
    Machine,
    MachineSpec,
)
from distromatrix.engines.docker.images import DockerImages
from distromatrix.engines.image_store import Image
from distromatrix.engines.qemu import process as qemu_process
from distromatrix.engines.qemu.engine import QemuEngine
from distromatrix.errors import CannotStartError, InfrastructureError, MachineGoneError

pytestmark = [pytest.mark.engine, pytest.mark.guest]

BUSYBOX = "/distromatrix/guest/busybox"


@pytest.fixture
def engine() -> Iterator[QemuEngine]:
    """With the user's templates: all guests here are of one size."""
    made = open_engine("qemu")
    assert isinstance(made, QemuEngine)
    yield made
    made.close()


class Guests:
    """Opens them, and closes all."""

    def __init__(self, engine: QemuEngine, image: str, folder: Path) -> None:
        self._engine = engine
        self._image = image
        self.run = folder
        self.opened: list[Machine] = []

    def __call__(self, **other: object) -> Machine:
        name = f"distromatrix-test-{secrets.token_hex(6)}"
        labels = {LABEL_RUN: name, LABEL_FOLDER: str(self.run), LABEL_HOST: "h", LABEL_CELL: "d/u"}
        values = {"name": name, "image": self._image, "labels": labels, **other}
        machine = self._engine.open(MachineSpec(**values))  # type: ignore[arg-type]
        self.opened.append(machine)
        return machine


@pytest.fixture
def guests(engine: QemuEngine, guest_image: str, tmp_path: Path) -> Iterator[Guests]:
    made = Guests(engine, guest_image, tmp_path)
    yield made
    for machine in made.opened:
        machine.close()
    names = {machine.name for machine in made.opened}
    assert not names & {left.name for left in engine.leftovers()}
    assert not names & {folder.name for folder in qemu_process.running()}


def told(machine: Machine, script: str, status: int = 0) -> str:
    lines: list[bytes] = []
    done = machine.run(Command(script, output=lines.append, timeout=300))
    text = b"".join(lines).decode()
    assert done.status == status, text
    return text.strip()


def test_it_has_its_own_kernel_and_may_do_with_it_what_it_wants(guests: Guests) -> None:
    script = """test -d "/lib/modules/$(uname -r)"
modprobe dummy && grep -q ^dummy /proc/modules
echo 1 >/proc/sys/kernel/sysrq
mount -t tmpfs none /mnt && umount /mnt
echo done"""
    assert told(guests(), script) == "done"


def test_it_has_the_variables_of_its_image_for_who_joins_too(
    guests: Guests, engine: QemuEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    find = DockerImages.find
    own = {"PATH": "/opt/bin:/usr/bin:/bin", "SAID": 'it\'s $HOME, "two"', "TWO": "image's"}

    def with_variables(images: DockerImages, tag: str) -> Image | None:
        found = find(images, tag)
        return found and replace(found, env=own)

    monkeypatch.setattr(DockerImages, "find", with_variables)
    machine = guests()
    script = 'echo "$PATH|$SAID|$TWO"'
    said = f"{own['PATH']}|{own['SAID']}|"
    assert told(machine, script) == f"{said}image's"
    joined = engine.join(machine.address)
    assert told(joined, script) == f"{said}image's"
    lines: list[bytes] = []
    machine.run(Command(script, env={"TWO": "mine"}, output=lines.append))
    assert lines == [f"{said}mine\n".encode()]
    joined.close()


def test_one_that_fills_the_disk_of_its_host_is_ended_and_told_as_such(
    guests: Guests, engine: QemuEngine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    machines = tmp_path / "machines"
    with small_disk(machines, "24m"):
        monkeypatch.setattr(engine, "_machines", machines)
        machine = guests()
        with pytest.raises(MachineGoneError, match="the disk of this host is full") as caught:
            machine.run(Command("head -c 64000000 /dev/urandom >/big; sync; sleep 60", timeout=300))
        assert not caught.value.transient
        with pytest.raises(InfrastructureError, match="No space left on device") as caught_next:
            with suppress(OSError), (machines / "others").open("wb") as others:
                while others.write(bytes(1 << 12)):
                    others.flush()
            guests()
        assert not caught_next.value.transient
        for one in guests.opened:
            one.close()
        assert [left.name for left in machines.iterdir()] == ["others"]


def test_restored_guests_are_no_twins(guests: Guests) -> None:
    script = """for one in uuid boot_id; do cat /proc/sys/kernel/random/$one; done
head -c 16 /dev/urandom | od -An -tx1; cat /proc/sys/kernel/hostname
cat /sys/class/net/eth0/address; date +%s"""
    began = time.time()
    one, two = (told(guests(), script).splitlines() for _ in range(2))
    for mine, others in zip(one[:-1], two[:-1], strict=True):
        assert mine != others
    for said in (one, two):
        assert began - 2 <= int(said[-1]) <= time.time() + 2


def test_none_sees_what_another_does(guests: Guests) -> None:
    one, two = guests(), guests()
    told(one, "echo mine >/mine; modprobe dummy")
    assert told(two, "[ ! -e /mine ]; ! grep ^dummy /proc/modules || exit 9; echo clean") == "clean"


def test_a_script_goes_on_after_the_restart_that_it_asked_for(guests: Guests) -> None:
    script = """echo "boot ${DISTROMATRIX_REBOOT_COUNT:-0}, $(cat /kept 2>/dev/null)"
[ "${DISTROMATRIX_REBOOT_COUNT:-0}" = 0 ] || exit 7
modprobe dummy; echo kept >/kept
distromatrix-reboot"""
    machine = guests(user="root")
    assert told(machine, script, status=7) == "boot 0, \nboot 1, kept"
    assert told(machine, "! grep ^dummy /proc/modules || exit 9; cat /kept") == "kept"


@pytest.mark.slow
def test_whoever_the_suite_is_may_restart_it_and_a_plain_reboot_does(guests: Guests) -> None:
    machine = guests(user="1234:4321")
    assert told(machine, '[ "$DISTROMATRIX_REBOOT_COUNT" ] || distromatrix-reboot; id -u') == "1234"
    root = guests()
    plain = f'[ "$DISTROMATRIX_REBOOT_COUNT" ] || {{ {BUSYBOX} reboot -f; sleep 60; }}; echo up'
    assert told(root, plain) == "up"


def test_a_panic_is_told_in_the_kernels_words_and_its_console_stays(guests: Guests) -> None:
    machine = guests()
    with pytest.raises(MachineGoneError, match="gave up: Kernel panic - not syncing: sysrq"):
        told(machine, "echo c >/proc/sysrq-trigger; sleep 60")
    with pytest.raises(MachineGoneError):
        machine.run(Command(":"))
    machine.close()
    console = guests.run / "cells/d/u/guest/qemu/console.log"
    assert "sysrq triggered crash" in console.read_text(errors="replace")


def test_other_ends_are_told_apart(guests: Guests) -> None:
    with pytest.raises(MachineGoneError, match="powered itself off"):
        told(guests(), f"{BUSYBOX} poweroff -f; sleep 60")
    machine = guests()
    folders = {folder.name: process for folder, process in qemu_process.running().items()}
    os.kill(folders[machine.name], signal.SIGKILL)
    with pytest.raises(MachineGoneError, match="was killed from outside"):
        told(machine, "sleep 60")
    assert guests().run(Command("kill -TERM $$")).status == 143
    over = guests(memory=512 * 1024**2).run(Command("tail /dev/zero", timeout=300))
    assert (over.status, over.oom) == (137, True)


@pytest.mark.slow  # but for its console, the contract has this
def test_what_it_wrote_comes_back_after_a_kill(guests: Guests) -> None:
    machine = guests()
    told(machine, "echo kept >/kept")
    machine.kill()
    assert b"kept\n" in b"".join(machine.get("/kept"))
    with pytest.raises(FileNotFoundError):  # nor does the boot for that stay
        machine.get("/missing")
    assert machine.name not in {folder.name for folder in qemu_process.running()}
    machine.close()
    console = guests.run / "cells/d/u/guest/qemu/console.log"
    assert console.read_text(errors="replace").count("distromatrix: ready") == 2


def test_commands_at_once_wait_for_each_other(guests: Guests) -> None:
    machine = guests()
    with ThreadPoolExecutor(20) as threads:
        said = list(threads.map(lambda n: told(machine, f"sleep 0.1; echo {n}"), range(20)))
    assert said == [str(n) for n in range(20)]


def test_without_a_network_it_has_none(guests: Guests) -> None:
    alone, other = guests(network=False), guests()
    script = "cat /sys/class/net/eth0/operstate"
    assert told(alone, script) == "down"
    assert told(other, script) in ("up", "unknown")


def test_an_image_without_a_kernel_cannot_start(engine: QemuEngine, docker_alpine: str) -> None:
    name = f"distromatrix-test-{secrets.token_hex(6)}"
    with pytest.raises(CannotStartError, match="no kernel"):
        engine.open(MachineSpec(name=name, image=docker_alpine))


def test_processes_are_bounded_and_leave_the_engine_its_turn(guests: Guests) -> None:
    machine = guests(pids=60)
    spin = "i=0; while [ $i -lt 99 ]; do (while :; do :; done) & i=$((i+1)); done"
    assert machine.run(Command(spin)).status not in (0, None)  # it cannot fork
    assert machine.signal_left("KILL")
    assert machine.run(Command("exit 7")).status == 7
    leave = "(echo 0 >/sys/fs/cgroup/own/cgroup.procs; exec sleep 999) &"
    assert machine.run(Command(f"mkdir /sys/fs/cgroup/own; {leave}")).status == 0
    assert machine.signal_left("KILL")  # who has left the group, too
    assert machine.run(Command("! grep -q . /sys/fs/cgroup/own/cgroup.procs")).status == 0
