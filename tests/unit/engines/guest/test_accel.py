"""Acceleration: what is concluded from how QEMU behaves, with a QEMU of our own making."""

from __future__ import annotations

import json
import os
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from distromatrix.engines.guest import acceleration as accel
from distromatrix.engines.guest import qemu_program
from distromatrix.engines.guest import trial_boot as accel_boot
from distromatrix.engines.guest.acceleration import Accel, acceleration, known_acceleration
from distromatrix.errors import InfrastructureError
from distromatrix.model import AccelWanted

UP = f"echo '{accel_boot.MARKER.decode()}'"
HANG = "exec sleep 1000"
ABORT = "echo 'qemu: error: failed to set MSR 0x10a to 0x69' >&2; kill -ABRT $$"


class World:
    """A machine whose /dev/kvm opens, and whose QEMU does as it is told for each CPU model."""

    def __init__(self, folder: Path) -> None:
        self.cache = folder / "cache"
        self.kernel = folder / "vmlinuz"
        self.kernel.write_text("kernel")
        self.qemu = folder / "qemu"
        self.calls = folder / "calls"
        self.calls.touch()

    def qemu_does(self, *, kvm: dict[str, str], tcg: str = UP) -> None:
        branches = "".join(f"*'-accel kvm -cpu {cpu}'*) {does} ;;" for cpu, does in kvm.items())
        self.qemu.write_text(
            f'#!/bin/sh\n[ "$1" = --version ] && echo fake && exit\necho "$*" >>{self.calls}\n'
            f'case "$*" in {branches} *tcg*) {tcg} ;; esac\n'
        )
        self.qemu.chmod(0o755)

    @property
    def boots(self) -> list[str]:
        return self.calls.read_text().splitlines()

    def ask(self, wanted: AccelWanted = "auto", memory: int = 512 << 20) -> Accel:
        return acceleration(self.kernel, memory=memory, cpus=2, wanted=wanted, cache=self.cache)


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    made = World(tmp_path)
    monkeypatch.setattr(qemu_program, "find_qemu", lambda: made.qemu)
    monkeypatch.setattr(accel, "kvm_fault", lambda: "")
    monkeypatch.setattr(accel, "KVM", Path("/dev/null"))
    monkeypatch.setattr(accel, "_FIRST", 3.0)
    monkeypatch.setattr(accel, "_SECOND", 1.0)
    return made


def test_a_kernel_that_comes_up_proves_kvm(world: World) -> None:
    world.qemu_does(kvm={"host": UP})
    found = world.ask()
    assert (found.kind, found.cpu, found.scale) == ("kvm", "host", 1.0)
    assert found.arguments == ("-accel", "kvm", "-cpu", "host")
    (line,) = world.boots
    assert f"-kernel {world.kernel}" in line
    assert "-m 512M" in line
    assert "-smp 2" in line
    assert "-machine pc" in line


def test_what_comes_up_slowly_is_waited_for(world: World) -> None:
    world.qemu_does(kvm={"host": f"echo loading; sleep 0.5; {UP}; {HANG}"})
    assert world.ask().kind == "kvm"


def test_a_plainer_cpu_is_tried_where_the_hosts_own_is_refused(world: World) -> None:
    world.qemu_does(kvm={"host": ABORT, "max": ABORT, "Nehalem": UP})
    found = world.ask()
    assert (found.kind, found.cpu) == ("kvm", "Nehalem")


def test_each_way_to_fail_is_told_in_words(world: World) -> None:
    panic = "echo '[ 1.0] Kernel panic - not syncing: no init'; echo bye"
    world.qemu_does(kvm={"host": ABORT, "max": HANG, "Nehalem": panic})
    found = world.ask()
    assert (found.kind, found.cpu) == ("tcg", "max")
    assert found.scale > 1
    assert found.arguments == ("-accel", "tcg,thread=multi", "-cpu", "max")
    for words in (
        "KVM opens, but QEMU aborts: failed to set MSR 0x10a to 0x69 (-cpu host)",
        "the kernel does not come up within",
        "the kernel ends before a program runs: [ 1.0] Kernel panic - not syncing: no init",
        "under TCG the same kernel came up",
    ):
        assert words in found.reason


def test_an_exit_status_and_the_line_that_tells_are_shown(world: World) -> None:
    fault = "echo 'qemu: warning: x' >&2; echo 'qemu: Could not access KVM' >&2; exit 1"
    world.qemu_does(kvm=dict.fromkeys(("host", "max", "Nehalem"), fault))
    words = "QEMU ends with status 1: Could not access KVM (-cpu host, max, Nehalem)"
    assert words in world.ask().reason


def test_kvm_that_was_asked_for_is_not_replaced(world: World) -> None:
    world.qemu_does(kvm=dict.fromkeys(("host", "max", "Nehalem"), ABORT))
    with pytest.raises(InfrastructureError, match=r"accel: kvm .*MSR 0x10a") as error:
        world.ask("kvm")
    assert not error.value.transient


def test_emulation_that_was_asked_for_boots_nothing(world: World) -> None:
    world.qemu_does(kvm={"host": UP})
    assert world.ask("tcg").kind == "tcg"
    assert world.boots == []


def test_a_proof_of_kvm_counts_for_that_guest_only(world: World) -> None:
    world.qemu_does(kvm={"host": UP})
    assert world.ask() == world.ask()
    assert len(world.boots) == 1
    world.ask(memory=1 << 30)
    assert len(world.boots) == 2
    world.kernel.write_text("another kernel")
    world.ask()
    assert len(world.boots) == 3


def test_kvm_that_failed_where_emulation_did_not_is_not_tried_again(world: World) -> None:
    world.qemu_does(kvm=dict.fromkeys(("host", "max", "Nehalem"), ABORT))
    first = world.ask()
    boots = len(world.boots)
    world.kernel.write_text("another kernel")
    assert world.ask(memory=1 << 30) == first
    assert len(world.boots) == boots


def test_a_kernel_that_comes_up_nowhere_says_nothing_of_other_kernels(world: World) -> None:
    panic = "echo 'Kernel panic - not syncing: bad'"
    world.qemu_does(kvm=dict.fromkeys(("host", "max", "Nehalem"), panic), tcg=panic)
    assert "nor does it come up under TCG: the kernel ends" in world.ask().reason
    world.kernel.write_text("a good kernel")
    world.qemu_does(kvm={"host": UP})
    assert world.ask().kind == "kvm"


def test_another_qemu_or_boot_is_proved_anew(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    world.qemu_does(kvm=dict.fromkeys(("host", "max", "Nehalem"), ABORT))
    assert world.ask().kind == "tcg"
    world.qemu_does(kvm={"host": UP})
    assert world.ask().kind == "kvm"
    boot_id = world.cache / "boot_id"
    boot_id.write_text("the next boot\n")
    monkeypatch.setattr(accel, "_BOOT_ID", boot_id)
    boots = len(world.boots)
    world.ask()
    assert len(world.boots) == boots + 1
    (kept,) = json.loads((world.cache / "acceleration.json").read_text())
    assert kept["of"]["boot"] == "the next boot"


def test_a_qemu_that_someone_else_ends_is_started_again(world: World) -> None:
    once = f"[ -e {world.cache}/x ] && {UP} || {{ touch {world.cache}/x; kill -TERM $$; }}"
    world.qemu_does(kvm={"host": once})
    world.cache.mkdir()
    assert world.ask().kind == "kvm"


def test_a_verdict_that_someone_else_made_is_not_kept(world: World) -> None:
    world.qemu_does(kvm=dict.fromkeys(("host", "max", "Nehalem"), "kill -KILL $$"))
    assert "ended by someone else" in world.ask().reason
    assert not (world.cache / "acceleration.json").exists()


@pytest.mark.parametrize("text", ["", "{", "[1]", '[{"of": {}}]', '[{"kind": "kvm"}]', '{"a": 1}'])
def test_a_corrupt_file_is_made_anew(world: World, text: str) -> None:
    world.cache.mkdir()
    (world.cache / "acceleration.json").write_text(text)
    world.qemu_does(kvm={"host": UP})
    assert world.ask().kind == "kvm"
    assert json.loads((world.cache / "acceleration.json").read_text())[0]["accel"]["kind"] == "kvm"


def test_many_who_ask_at_once_prove_it_once(world: World) -> None:
    world.qemu_does(kvm={"host": f"sleep 0.3; {UP}"})
    with ThreadPoolExecutor(4) as pool:
        answers = list(pool.map(lambda _: world.ask(), range(4)))
    assert len(set(answers)) == 1
    assert len(world.boots) == 1


def test_what_was_proved_is_known_without_a_kernel(world: World) -> None:
    world.qemu_does(kvm={"host": UP})
    assert known_acceleration(world.cache) is None
    found = world.ask()
    assert known_acceleration(world.cache) == found


def test_no_process_is_left_of_a_qemu_that_hangs_with_children(world: World) -> None:
    child = world.cache.parent / "child"
    hang = f"sleep 1000 & echo $! >{child}; sleep 1000"
    world.qemu_does(kvm=dict.fromkeys(("host", "max", "Nehalem"), hang))
    world.ask()
    assert gone(int(child.read_text()))


def test_without_kvm_nothing_is_booted(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    world.qemu_does(kvm={})
    monkeypatch.setattr(accel, "kvm_fault", lambda: "there is no /dev/kvm")
    assert world.ask().reason == "there is no /dev/kvm"
    assert known_acceleration(world.cache) == world.ask()
    assert world.boots == []
    with pytest.raises(InfrastructureError, match="there is no /dev/kvm"):
        world.ask("kvm")


def test_no_qemu_is_answered_with_what_installs_it(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(qemu_program, "find_qemu", lambda: None)
    with pytest.raises(InfrastructureError, match="doctor --guests --fix"):
        world.ask()
    assert known_acceleration(world.cache) is None


def test_a_device_that_is_absent_or_hidden_is_told_with_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(accel.platform, "machine", lambda: "x86_64")
    monkeypatch.setattr(accel, "KVM", tmp_path / "kvm")
    assert "modprobe kvm_intel" in accel.kvm_fault()
    monkeypatch.setattr(accel, "KVM", Path("/dev/null"))
    assert "something hides it" in accel.kvm_fault()


def test_a_device_one_may_not_open_is_told_with_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(accel.platform, "machine", lambda: "x86_64")
    monkeypatch.setattr(accel, "KVM", Path("/dev/null"))
    monkeypatch.setattr(accel, "_KVM_DEVICE", os.makedev(1, 3))
    assert accel.kvm_fault() == ""
    monkeypatch.setattr(accel.os, "access", lambda *_: False)
    assert "usermod -aG kvm" in accel.kvm_fault()


def test_elsewhere_than_on_x86_64_nothing_is_claimed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(accel.platform, "machine", lambda: "riscv64")
    assert "riscv64 it is untested" in accel.kvm_fault()


def test_the_made_file_system_has_what_a_kernel_starts() -> None:
    with accel_boot.initramfs() as file:
        data = file.read_bytes()
    assert not file.exists()
    assert data.startswith(b"070701")
    assert len(data) % 4 == 0
    for name in (b"dev\0", b"dev/console\0", b"init\0", b"TRAILER!!!\0"):
        assert name in data


def gone(pid: int) -> bool:
    for _ in range(200):
        try:
            state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
        except OSError:
            return True
        if state == "Z":
            return True
        time.sleep(0.01)
    return False
