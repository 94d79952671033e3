"""Mends what guests need beyond packages: proves acceleration, starts libvirtd by what it says."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from distromatrix.doctor import libvirt
from distromatrix.doctor.command import Run, Say
from distromatrix.doctor.host import Host
from distromatrix.doctor.kernel import find_kernel
from distromatrix.doctor.model import Check
from distromatrix.engines.accel import KVM, MACHINE, Accel, acceleration, known_acceleration
from distromatrix.errors import InfrastructureError

_MEMORY = 512 << 20  # bytes; as much as a distribution's kernel comes up in
PROOF = "(a kernel is booted in KVM, to see whether that works: 20 s at most)"
_HIDING = "(without sight of /dev/kvm, where a kernel did not come up in it)"


def described(checks: Iterable[Check], host: Host) -> tuple[str, ...]:
    """What `mend_guests` will do for those checks, for people."""
    asked = {check.guests for check in checks}
    if not asked & {"prove", "libvirt"}:
        return ()
    start = libvirt.start_commands(host, hide=False) if "libvirt" in asked else ()
    return (PROOF, *start, *((_HIDING,) if start and host.init != "systemd" else ()))


def mend_guests(checks: Iterable[Check], host: Host, run: Run, say: Say, *, cache: Path) -> None:
    """Prove acceleration if it was not yet, and start libvirtd where a check asks for it.
    Raises InfrastructureError."""
    asked = {check.guests for check in checks}
    if not asked & {"prove", "libvirt"}:
        return
    accel = known_acceleration(cache, machine=MACHINE) or _prove(host, run, say, cache)
    if "libvirt" in asked:
        hide = accel is not None and accel.kind == "tcg" and KVM.exists()
        libvirt.start_libvirt(host, hide=hide, run=run, say=say)


def _prove(host: Host, run: Run, say: Say, cache: Path) -> Accel | None:
    """The verdict, or None where there is no kernel: guests need one anyway, and prove it."""
    say(PROOF)
    try:
        kernel = find_kernel(cache / "kernel", host, run, say)
        return acceleration(kernel, memory=_MEMORY, cpus=1, cache=cache)
    except InfrastructureError as error:
        say(f"acceleration is not proved: {error}")
        return None
