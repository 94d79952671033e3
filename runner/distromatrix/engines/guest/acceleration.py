"""Whether guests run in KVM or under software emulation: proved, not looked up.

KVM counts as usable only after the kernel that will be used was booted in it to a program that
runs, by the QEMU, CPU model, processors and memory that will be used. That /dev/kvm opens says
little: there are machines on which it makes a VM, and QEMU aborts or the kernel never comes up.
"""

from __future__ import annotations

import json
import os
import platform
import stat
import time
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Literal

from distromatrix.engines.guest import qemu_program
from distromatrix.engines.guest.trial_boot import Outcome, boot, initramfs, trial
from distromatrix.errors import InfrastructureError
from distromatrix.files.lock import hold
from distromatrix.files.whole import write_whole
from distromatrix.model import AccelWanted

MACHINE = "pc"  # it is up half a second before q35
KVM = Path("/dev/kvm")
_KVM_DEVICE = os.makedev(10, 232)  # Linux' Documentation/admin-guide/devices.txt
_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
_ARCHITECTURE = "x86_64"
# Under TCG `max` has all that QEMU can emulate: x86-64-v3, which EL 10 asks for, and so v2.
_TCG_CPU = "max"
# `host` gives the guest all that there is; the last, x86-64-v2, is what most others can do.
_KVM_CPUS = ("host", "max", "Nehalem")
# How many times as long as in KVM things take under TCG: on two cores, sha256sum took 4 times,
# gzip 6, 500 processes 7, and a loop in the shell 16 times as long; their geometric mean is 7.
TCG_SCALE = 8.0
_FIRST = 10.0  # seconds for the first boot; the cloud kernel of Debian needs 2.2 s under TCG
_SECOND = 3.0  # seconds for each further boot, at least
_ALL = 18.0  # seconds for all boots together
_LEAST = 1.0  # seconds below which a boot is not worth trying
_DOUBT = 600.0  # seconds that a verdict counts which the kernel itself may be to blame for

Kind = Literal["kvm", "tcg"]
_Facts = Mapping[str, str | int]


@dataclass(frozen=True, slots=True, kw_only=True)
class Accel:
    """How guests are run here, and why. `scale` is the factor for timeouts in guests."""

    kind: Kind
    cpu: str
    reason: str
    scale: float

    @property
    def arguments(self) -> tuple[str, ...]:
        """QEMU's arguments that ask for just this."""
        accel = "kvm" if self.kind == "kvm" else "tcg,thread=multi"
        return ("-accel", accel, "-cpu", self.cpu)

    @property
    def how(self) -> str:
        """The same in words."""
        return "in KVM" if self.kind == "kvm" else "under emulation"


@dataclass(frozen=True, slots=True, kw_only=True)
class _Verdict:
    """What a proof said. `of`: the facts under which it counts; `at`: seconds since the epoch;
    `sure`: False where it may be the kernel's fault and none of KVM's."""

    of: _Facts
    accel: Accel
    at: float = field(default_factory=time.time)
    sure: bool = True


def acceleration(
    kernel: Path,
    *,
    memory: int,
    cpus: int,
    wanted: AccelWanted = "auto",
    cache: Path,
    machine: str = MACHINE,
) -> Accel:
    """How to run guests of `memory` bytes and `cpus` processors with that kernel.

    `wanted`: auto, kvm or tcg. The verdict is kept in the folder `cache` for as long as this
    boot lasts and QEMU, /dev/kvm, and, where KVM works, the kernel and the guest's size stay
    the same. A proof takes a few seconds, 18 at most, and is made by one process at a time.
    Raises InfrastructureError where `kvm` is wanted and not usable, or there is no QEMU.
    """
    qemu = qemu_program.require_qemu()
    if wanted == "tcg":
        return emulated("software emulation, as accel: tcg asks for")
    if fault := kvm_fault():
        found = emulated(fault)
    else:
        facts = _facts(qemu, machine)
        guest = _identity("kernel", kernel) | {"memory": memory, "cpus": cpus}
        command = partial(trial, qemu, kernel, machine=machine, memory=memory, cpus=cpus)
        found = _kept_or_proved(facts, guest, command, cache).accel
    if wanted == "kvm" and found.kind != "kvm":
        message = f"accel: kvm is asked for, and KVM is not usable: {found.reason}"
        raise InfrastructureError(message, transient=False)
    return found


def known_acceleration(cache: Path, *, machine: str = MACHINE) -> Accel | None:
    """What was proved last, of whatever kernel, with this QEMU in this boot; where no boot is
    needed to know, that. None: nothing was proved yet. Starts nothing."""
    qemu = qemu_program.find_qemu()
    if qemu is None:
        return None
    if fault := kvm_fault():
        return emulated(fault)
    facts = _facts(qemu, machine).items()
    fitting = [v for v in _read(_file(cache)) if facts <= v.of.items()]
    return fitting[-1].accel if fitting else None


def kvm_fault() -> str:
    """Why KVM cannot be tried at all, and what to do about it, or ''. Boots nothing."""
    if platform.machine() != _ARCHITECTURE:
        return f"KVM is tried on {_ARCHITECTURE} only; on {platform.machine()} it is untested"
    try:
        status = KVM.stat()
    except OSError:
        return (
            f"there is no {KVM}: `modprobe kvm_intel` (or kvm_amd), and switch on virtualization "
            "in the firmware, or nested virtualization on the host above this one"
        )
    if not stat.S_ISCHR(status.st_mode) or status.st_rdev != _KVM_DEVICE:
        return f"{KVM} is not KVM's device: something hides it"
    if not os.access(KVM, os.R_OK | os.W_OK):
        return f"{KVM} may not be opened: `sudo usermod -aG kvm $USER`, and log in again"
    return ""


def _kept_or_proved(
    facts: _Facts, guest: _Facts, command: partial[tuple[str, ...]], cache: Path
) -> _Verdict:
    """The verdict of the file, else that of a proof, which is then in the file."""
    file = _file(cache)
    whole = {**facts, **guest}
    if kept := _fitting(_read(file), whole):
        return kept
    cache.mkdir(parents=True, exist_ok=True)
    with hold(file.with_suffix(".lock")):
        verdicts = _read(file)  # another process may just have proved it
        if kept := _fitting(verdicts, whole):
            return kept
        with initramfs() as root:
            verdict, keep = _prove(facts, whole, partial(command, root))
        if keep:
            _write(file, (*(v for v in verdicts if not v.of.items() <= whole.items()), verdict))
    return verdict


def _prove(
    facts: _Facts, whole: _Facts, command: partial[tuple[str, ...]]
) -> tuple[_Verdict, bool]:
    """Boot with one CPU model after the other; also whether the verdict may be kept.

    Where KVM fails, the same kernel is booted under TCG. If it comes up there, KVM is to blame,
    and no other kernel need be tried in it; and a KVM that takes longer than twice as long as
    TCG is not worth waiting for.
    """
    end = time.monotonic() + _ALL
    limit = _FIRST
    faults: dict[str, list[str]] = {}
    control = Outcome(up=False, seconds=0.0)
    killed = False
    for cpu in _KVM_CPUS:
        outcome = _boot(command, _kvm(cpu, ""), limit, end)
        if outcome.up:
            reason = f"a kernel booted in KVM in {outcome.seconds:.1f} s, with -cpu {cpu}"
            return _Verdict(of=whole, accel=_kvm(cpu, reason)), True
        killed |= outcome.killed
        if not faults:
            control = _boot(command, emulated(""), _FIRST, end)
            killed |= control.killed
            limit = min(_FIRST, max(_SECOND, 2 * control.seconds)) if control.up else _SECOND
        faults.setdefault(outcome.why, []).append(cpu)
    why = "; ".join(f"{why} (-cpu {', '.join(cpus)})" for why, cpus in faults.items())
    reason = f"KVM opens, but {why}"
    if control.up:
        reason += f"; under TCG the same kernel came up in {control.seconds:.1f} s"
        return _Verdict(of=facts, accel=emulated(reason)), not killed
    reason += f"; nor does it come up under TCG: {control.why}"
    return _Verdict(of=whole, accel=emulated(reason), sure=False), not killed


def _boot(command: partial[tuple[str, ...]], accel: Accel, limit: float, end: float) -> Outcome:
    """One boot; again, if someone else ended QEMU."""
    outcome = Outcome(up=False, seconds=0.0, why="there was no time left to try")
    for _ in range(2):
        left = min(limit, end - time.monotonic())
        if left < _LEAST:
            break
        outcome = boot((*command(), *accel.arguments), left)
        if not outcome.killed:
            break
    return outcome


def _kvm(cpu: str, reason: str) -> Accel:
    return Accel(kind="kvm", cpu=cpu, reason=reason, scale=1.0)


def emulated(reason: str) -> Accel:
    """Software emulation, and why."""
    return Accel(kind="tcg", cpu=_TCG_CPU, reason=reason, scale=TCG_SCALE)


def _facts(qemu: Path, machine: str) -> dict[str, str | int]:
    """What a verdict on KVM stands on, besides the kernel and the guest's size. QEMU's file
    stands for its version, which would have to be asked for each time."""
    status = KVM.stat()
    return {
        "boot": _BOOT_ID.read_text("ascii").strip(),
        "kvm": f"{status.st_dev}:{status.st_ino}:{status.st_rdev}",
        "machine": machine,
        "models": " ".join(_KVM_CPUS),
        **_identity("qemu", qemu),
    }


def _identity(name: str, path: Path) -> dict[str, str | int]:
    """What tells a file from the one that takes its place. Raises InfrastructureError."""
    try:
        path = path.resolve()
        status = path.stat()
    except OSError as error:
        raise InfrastructureError(f"{path}: {error.strerror}", transient=False) from None
    return {name: str(path), f"{name}-size": status.st_size, f"{name}-time": status.st_mtime_ns}


def _file(cache: Path) -> Path:
    return cache / "acceleration.json"


def _read(file: Path) -> tuple[_Verdict, ...]:
    """What is kept there, in the order of the proofs; nothing, if it cannot be read."""
    try:
        verdicts = tuple(_checked(entry) for entry in json.loads(file.read_bytes()))
    except (OSError, ValueError, TypeError, LookupError):
        return ()
    now = time.time()
    return tuple(v for v in verdicts if v.sure or 0 <= now - v.at < _DOUBT)


def _checked(entry: Any) -> _Verdict:
    """One entry of the file. Raises ValueError, TypeError or LookupError for what is not ours."""
    accel = Accel(**entry["accel"])
    if accel.kind not in ("kvm", "tcg") or not isinstance(entry["of"], dict):
        raise ValueError
    kinds = ((accel.cpu, str), (accel.reason, str), (accel.scale, float))
    if not all(isinstance(value, kind) for value, kind in kinds):
        raise TypeError
    return _Verdict(**{**entry, "accel": accel})


def _fitting(verdicts: Iterable[_Verdict], facts: _Facts) -> _Verdict | None:
    """The newest that counts under those facts."""
    fitting = [v for v in verdicts if v.of.items() <= facts.items()]
    return fitting[-1] if fitting else None


def _write(file: Path, verdicts: Iterable[_Verdict]) -> None:
    """Those of this boot; readers see the old or the new whole."""
    boot_id = _BOOT_ID.read_text("ascii").strip()
    kept = [asdict(v) for v in verdicts if v.of.get("boot") == boot_id]
    write_whole(file, json.dumps(kept, indent=1))
