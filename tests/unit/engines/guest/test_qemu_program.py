"""QEMU is one program, wherever it lies: who plans, who looks and who boots find the same."""

from __future__ import annotations

import sys
import time
from pathlib import Path

import pytest

from distromatrix.doctor import guests as doctor_guests
from distromatrix.doctor.host import Host
from distromatrix.engines.guest import available, qemu_program
from distromatrix.engines.qemu import process as qemu_process
from distromatrix.engines.qemu.engine import QemuEngine
from distromatrix.errors import EngineUnavailableError
from fake_engine.engine import FakeEngine

HOST = Host(
    title="RHEL 9", family=None, user="root", root=True, sudo=False, init="systemd", dockerd=False
)


@pytest.fixture
def rhel(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A host whose QEMU is `qemu-kvm`, outside of $PATH."""
    program = tmp_path / "libexec/qemu-kvm"
    program.parent.mkdir()
    program.symlink_to(sys.executable)
    monkeypatch.setenv("PATH", "/nowhere")
    monkeypatch.delenv("DISTROMATRIX_FAKE", raising=False)
    monkeypatch.setattr(qemu_program, "_RHEL", program)
    monkeypatch.setattr(available, "_for_disks", lambda: "")
    return program


def test_a_qemu_outside_of_path_is_there_for_plan_doctor_and_engine(
    rhel: Path, tmp_path: Path
) -> None:
    said = f"Python {sys.version.partition(' ')[0]}"
    assert available.guests_here("x86_64")["qemu"] == ""
    checks = doctor_guests.guest_checks(HOST, tmp_path, required=True, which=lambda _: None)
    qemu = next(check for check in checks if check.name == "QEMU")
    assert (qemu.status, qemu.found) == ("ok", said)
    QemuEngine(FakeEngine(tmp_path), cache=tmp_path).ping()


def test_a_qemu_outside_of_path_is_what_is_started_and_found_again(
    rhel: Path, tmp_path: Path
) -> None:
    process = qemu_process.start(["-c", "import time; time.sleep(600)"], tmp_path)
    try:
        end = time.monotonic() + 60
        while qemu_process.running().get(tmp_path.resolve()) != process.pid:
            assert time.monotonic() < end
            time.sleep(0.01)
    finally:
        process.kill()
        process.wait()


def test_what_qemu_says_is_told_without_its_name(tmp_path: Path) -> None:
    for line in ("qemu-kvm: no KVM: here", f"{qemu_program.PROGRAM}: no KVM: here", "no KVM: here"):
        (tmp_path / qemu_process.LOG).write_text(f"{line}\n")
        assert qemu_process.said(tmp_path) == "no KVM: here"


def test_where_there_is_none_all_say_what_installs_it(rhel: Path, tmp_path: Path) -> None:
    rhel.unlink()
    assert "QEMU is not installed; `dis" in available.guests_here("x86_64")["qemu"]
    for needs_it in (
        QemuEngine(FakeEngine(tmp_path), cache=tmp_path).ping,
        qemu_program.qemu_version,
    ):
        with pytest.raises(EngineUnavailableError, match=r"not installed .*--guests --fix"):
            needs_it()


def test_one_that_does_not_start_is_no_good_to_doctor(rhel: Path, tmp_path: Path) -> None:
    rhel.unlink()
    rhel.write_text("#!/bin/sh\nexit 3\n")
    rhel.chmod(0o755)
    checks = doctor_guests.guest_checks(HOST, tmp_path, required=True, which=lambda _: None)
    qemu = next(check for check in checks if check.name == "QEMU")
    assert qemu.status == "missing"
    assert "QEMU does not start" in qemu.found
