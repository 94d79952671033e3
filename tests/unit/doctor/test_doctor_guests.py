"""doctor on guests: what it says of a machine, and what it would do, without touching one."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import pytest
from doctor_hosts import ADA, ROOT

from distromatrix.doctor import guests, guests_fix
from distromatrix.doctor.command import CommandResult
from distromatrix.doctor.fix import fix
from distromatrix.doctor.guests import guest_checks
from distromatrix.doctor.guests_fix import mend_guests
from distromatrix.doctor.host import families
from distromatrix.doctor.kernel import fetch_kernel, find_kernel
from distromatrix.doctor.model import Check
from distromatrix.engines.guest.acceleration import Accel
from distromatrix.engines.guest.qemu_program import is_static
from distromatrix.errors import InfrastructureError
from distromatrix.model import AccelWanted

SLOW = Accel(kind="tcg", cpu="max", reason="KVM opens, but QEMU aborts", scale=8.0)
FAST = Accel(kind="kvm", cpu="host", reason="a kernel booted", scale=1.0)
# What answers on a machine that has all, by a part of the command line.
ANSWERS = {
    "vagrant --version": CommandResult(0, "Vagrant 2.3.4\n"),
    "plugin list": CommandResult(0, "vagrant-libvirt (0.11.2, system)\n"),
    "virsh --version": CommandResult(0, "9.0.0\n"),
}


class Machine:
    """Stands for a machine: what is installed, what its commands answer, what was run."""

    def __init__(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.cache = tmp_path
        self.host = ROOT
        self.accel: Accel | None = FAST
        self.absent: set[str] = set()
        self.answers = dict(ANSWERS)
        self.ran: list[str] = []
        self.said: list[str] = []
        self.busybox_is_static = True
        kvm = tmp_path / "kvm"
        kvm.touch()
        monkeypatch.setattr(guests, "KVM", kvm)
        monkeypatch.setattr(guests, "find_qemu", lambda: self.which("qemu"))
        monkeypatch.setattr(guests, "qemu_version", lambda: "QEMU emulator version 7.2")
        for module in (guests, guests_fix):
            monkeypatch.setattr(module, "known_acceleration", lambda *_, **__: self.accel)
        monkeypatch.setattr(guests, "is_static", lambda _: self.busybox_is_static)

    def which(self, name: str) -> str | None:
        return None if Path(name).name in self.absent else f"/usr/bin/{Path(name).name}"

    def run(self, command: str) -> CommandResult:
        self.ran.append(command)
        found = (answer for part, answer in self.answers.items() if part in command)
        return next(found, CommandResult(0))

    def checks(self, wanted: AccelWanted = "auto", required: bool = True) -> dict[str, Check]:
        found = guest_checks(
            self.host, self.cache, wanted, required=required, run=self.run, which=self.which
        )
        return {check.name: check for check in found}

    def mend(self) -> list[str]:
        """The commands that the guests' own mends run, without those that only ask."""
        self.ran = []
        mend_guests(self.checks().values(), self.host, self.run, self.said.append, cache=self.cache)
        return [c for c in self.ran if not c.startswith(("virsh", "env"))]


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Machine:
    return Machine(tmp_path, monkeypatch)


def test_a_machine_with_all_that_guests_need_is_fine(machine: Machine) -> None:
    checks = machine.checks()
    assert {name: check.status for name, check in checks.items()} == dict.fromkeys(
        ("QEMU", "guest disks", "guest network", "acceleration", "Vagrant", "libvirt"), "ok"
    )
    assert checks["QEMU"].found == "QEMU emulator version 7.2"
    assert checks["Vagrant"].found == (
        "Vagrant 2.3.4, vagrant-libvirt 0.11.2; other providers (VirtualBox, VMware, Hyper-V, "
        "Proxmox) are passed through, untested"
    )
    assert checks["libvirt"].found == "libvirt 9.0.0"
    assert machine.mend() == []


@pytest.mark.parametrize(
    ("absent", "name", "thing"),
    [
        ("qemu", "QEMU", "qemu"),
        ("mke2fs", "guest disks", "qemu"),
        ("busybox", "guest disks", "qemu"),
        ("slirp4netns", "guest network", "qemu"),
        ("vagrant", "Vagrant", "vagrant"),
        ("virsh", "libvirt", "libvirt"),
    ],
)
def test_what_is_not_there_is_told_with_what_does_not_work_and_the_command(
    machine: Machine, absent: str, name: str, thing: str
) -> None:
    machine.absent = {absent}
    check = machine.checks()[name]
    assert (check.status, check.install) == ("missing", thing)
    assert "without it" in check.why
    assert "apt-get install" in check.mend[0]


def test_unless_guests_are_asked_for_nothing_is_missing_and_nothing_is_mended(
    machine: Machine,
) -> None:
    machine.absent = {"qemu", "mke2fs", "slirp4netns", "vagrant", "virsh"}
    machine.accel = None
    checks = machine.checks(required=False)
    assert {check.status for check in checks.values()} == {"warning"}
    assert all(check.mend for check in checks.values())
    for check in checks.values():
        assert (check.install, check.commands, check.prove) == (None, (), False)


def test_a_busybox_with_libraries_does_not_serve(machine: Machine) -> None:
    machine.busybox_is_static = False
    assert "static busybox" in machine.checks()["guest disks"].found


def test_fakeroot_is_for_those_who_are_not_root(machine: Machine) -> None:
    machine.absent = {"fakeroot"}
    assert machine.checks()["guest disks"].status == "ok"
    machine.host = ADA
    assert "no fakeroot" in machine.checks()["guest disks"].found


def test_vagrant_without_its_plugin_is_told(machine: Machine) -> None:
    machine.answers["plugin list"] = CommandResult(0, "No plugins installed.\n")
    check = machine.checks()["Vagrant"]
    assert check.status == "missing"
    assert "without its plugin vagrant-libvirt" in check.found
    assert any("vagrant plugin install" in command for command in check.mend)


def test_emulation_is_told_with_its_reason_and_its_price(machine: Machine) -> None:
    machine.accel = SLOW
    check = machine.checks()["acceleration"]
    assert check.status == "warning"
    assert check.found == "software emulation: KVM opens, but QEMU aborts"
    assert "8 times" in check.why
    assert machine.checks("tcg")["acceleration"].status == "ok"
    assert machine.checks("kvm")["acceleration"].status == "missing"


def test_rights_on_kvm_are_given_to_a_user(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    machine.host, machine.accel = ADA, SLOW
    assert machine.checks()["acceleration"].commands == ()
    monkeypatch.setattr(guests.os, "access", lambda *_: False)
    assert machine.checks()["acceleration"].commands == ("sudo usermod -aG kvm ada",)


def test_what_is_not_proved_is_proved(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    machine.accel = None
    asked: list[Path] = []
    monkeypatch.setattr(guests_fix, "find_kernel", lambda *_: Path("/boot/vmlinuz"))
    monkeypatch.setattr(guests_fix, "acceleration", lambda kernel, **_: asked.append(kernel))
    assert machine.mend() == []
    assert machine.said == [guests_fix.PROOF]
    assert asked == [Path("/boot/vmlinuz")]


def test_without_a_kernel_nothing_is_proved_and_the_rest_goes_on(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    def none(*_: object) -> Path:
        raise InfrastructureError("no kernel was found")

    machine.accel = None
    monkeypatch.setattr(guests_fix, "find_kernel", none)
    machine.mend()
    assert "acceleration is not proved: no kernel was found" in machine.said


def test_what_will_be_done_for_guests_is_said_beforehand(machine: Machine) -> None:
    machine.accel, machine.absent = None, {"qemu", "virsh", "vagrant"}
    said: list[str] = []
    assert not fix(
        machine.checks().values(), ask=lambda _: False, say=said.append, run=machine.run, host=ROOT
    )
    text = "\n".join(said)
    assert "apt-get install -y --no-install-recommends qemu-system-x86 " in text
    assert "(and where the distribution has them: vagrant vagrant-libvirt)" in text
    assert "a kernel is booted in KVM" in text


def test_other_families_are_told_what_is_known_of_them(machine: Machine) -> None:
    machine.host = replace(ROOT, title="Fedora 43", family=families()["fedora"], init="systemd")
    machine.absent = {"qemu", "virsh"}
    checks = machine.checks()
    assert checks["libvirt"].mend[0] == "dnf install -y libvirt-daemon-kvm slirp4netns"
    assert checks["QEMU"].mend == ("# install qemu by the documentation of Fedora 43",)


def elf(*kinds: int) -> bytes:
    """The head of a 64-bit program whose segments are of those kinds (elf(5))."""
    head = bytearray(64)
    head[:5] = b"\x7fELF\x02"
    head[32:40] = (64).to_bytes(8, "little")
    head[54:56] = (56).to_bytes(2, "little")
    head[56:58] = len(kinds).to_bytes(2, "little")
    return bytes(head) + b"".join(kind.to_bytes(4, "little") + bytes(52) for kind in kinds)


def test_a_static_program_has_no_loader(tmp_path: Path) -> None:
    program = tmp_path / "busybox"
    for text, static in ((elf(1, 1), True), (elf(1, 3), False), (b"#!/bin/sh", False)):
        program.write_bytes(text)
        assert is_static(program) is static
    assert not is_static(tmp_path / "none")


class Mirror:
    """Answers apt's commands as a mirror with that package would."""

    def __init__(self, *lines: str) -> None:
        self.lines = lines
        self.ran: list[str] = []

    def run(self, command: str) -> CommandResult:
        self.ran.append(command)
        if "dpkg-deb" in command:
            folder = re.search(r"cd (\S+) &&", command)
            assert folder
            boot = Path(folder[1]) / "tree/boot"
            boot.mkdir(parents=True)
            (boot / "vmlinuz-6.1").write_text("kernel")
        return CommandResult(0, "\n".join(self.lines))


def test_this_hosts_own_kernel_is_taken_where_it_may_be_read(tmp_path: Path) -> None:
    own = tmp_path / "boot/vmlinuz-6.1"
    own.parent.mkdir()
    own.touch()
    mirror = Mirror()
    found = find_kernel(
        tmp_path / "kept", ROOT, mirror.run, lambda _: None, root=tmp_path, release="6.1"
    )
    assert found == own
    assert mirror.ran == []


def test_else_a_kernel_is_fetched_once(tmp_path: Path) -> None:
    mirror = Mirror("linux-image-cloud-amd64", "  Depends: linux-image-6.1.0-1-cloud-amd64")
    for _ in range(2):
        found = find_kernel(
            tmp_path / "kept", ROOT, mirror.run, lambda _: None, root=tmp_path, release="6.1"
        )
        assert found.read_text() == "kernel"
    assert len(mirror.ran) == 3
    assert "apt-get download linux-image-6.1.0-1-cloud-amd64" in mirror.ran[1]
    assert list(found.parent.iterdir()) == [found]


def test_no_kernel_to_fetch_is_told(tmp_path: Path) -> None:
    with pytest.raises(InfrastructureError, match="no kernel was found to prove acceleration"):
        fetch_kernel(tmp_path / "vmlinuz", ROOT, Mirror("E: none").run, lambda _: None)
