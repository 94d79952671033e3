"""Mends what guests need beyond packages: proves acceleration."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from distromatrix.doctor.command import Run, Say
from distromatrix.doctor.host import Host
from distromatrix.doctor.kernel import find_kernel
from distromatrix.doctor.model import Check
from distromatrix.engines.guest.acceleration import acceleration, known_acceleration
from distromatrix.errors import InfrastructureError

_MEMORY = 512 << 20  # bytes; as much as a distribution's kernel comes up in
PROOF = "(a kernel is booted in KVM, to see whether that works: 20 s at most)"


def mend_guests(checks: Iterable[Check], host: Host, run: Run, say: Say, *, cache: Path) -> None:
    """Prove acceleration if it was not yet; where there is no kernel, it is left to the first
    guest, which has one."""
    if not any(check.prove for check in checks) or known_acceleration(cache) is not None:
        return
    say(PROOF)
    try:
        kernel = find_kernel(cache / "kernel", host, run, say)
        acceleration(kernel, memory=_MEMORY, cpus=1, cache=cache)
    except InfrastructureError as error:
        say(f"acceleration is not proved: {error}")
