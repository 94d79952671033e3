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


def described(checks: Iterable[Check]) -> tuple[str, ...]:
    """What `mend_guests` will do for those checks, for people."""
    return (PROOF,) if any(check.prove for check in checks) else ()


def mend_guests(checks: Iterable[Check], host: Host, run: Run, say: Say, *, cache: Path) -> None:
    """Prove acceleration if it was not yet. Raises InfrastructureError."""
    if any(check.prove for check in checks) and known_acceleration(cache) is None:
        _prove(host, run, say, cache)


def _prove(host: Host, run: Run, say: Say, cache: Path) -> None:
    """Where there is no kernel, it is left to the first guest, which has one."""
    say(PROOF)
    try:
        kernel = find_kernel(cache / "kernel", host, run, say)
        acceleration(kernel, memory=_MEMORY, cpus=1, cache=cache)
    except InfrastructureError as error:
        say(f"acceleration is not proved: {error}")
