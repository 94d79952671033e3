"""Acceleration, found out with the real QEMU and a real kernel."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from kernels import cloud_kernel

from distromatrix.engines.guest import trial_boot as accel_boot
from distromatrix.engines.guest.acceleration import (
    acceleration,
    known_acceleration,
    kvm_fault,
)
from distromatrix.engines.guest.qemu_program import find_qemu
from given import unobtainable

pytestmark = [pytest.mark.engine, pytest.mark.alone]


def test_a_real_kernel_decides_and_is_booted_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if (qemu := find_qemu()) is None:
        unobtainable("there is no QEMU: distromatrix doctor --guests --fix")
    kernel = cloud_kernel()
    boots: list[accel_boot.Outcome] = []

    def counted(command: tuple[str, ...], limit: float) -> accel_boot.Outcome:
        boots.append(accel_boot.boot(command, limit))
        return boots[-1]

    monkeypatch.setattr("distromatrix.engines.guest.acceleration.boot", counted)
    found = acceleration(kernel, memory=512 << 20, cpus=2, cache=tmp_path)
    if kvm_fault():
        assert (found.kind, found.reason) == ("tcg", kvm_fault())
        return
    # Of the boots one came up: in KVM, or under TCG after KVM had failed.
    assert [outcome.up for outcome in boots].count(True) == 1
    assert found.kind == ("kvm" if boots[-1].up and "in KVM" in found.reason else "tcg")
    assert sum(outcome.seconds for outcome in boots) < 20
    proved = len(boots)
    assert acceleration(kernel, memory=512 << 20, cpus=2, cache=tmp_path) == found
    assert known_acceleration(tmp_path) == found
    assert len(boots) == proved
    (kept,) = json.loads((tmp_path / "acceleration.json").read_text())
    assert kept["of"]["qemu"] == str(qemu.resolve())


def test_a_program_of_ours_runs_under_a_real_kernel(tmp_path: Path) -> None:
    qemu = find_qemu()
    if qemu is None or os.uname().machine != "x86_64":
        unobtainable("there is no QEMU for x86_64: distromatrix doctor --guests --fix")
    kernel = cloud_kernel()
    with accel_boot.initramfs() as root:
        command = accel_boot.trial(qemu, kernel, root, machine="q35", memory=512 << 20, cpus=1)
        outcome = accel_boot.boot((*command, "-accel", "tcg", "-cpu", "max"), 60.0)
    assert outcome.up, outcome.why
