"""A guest of Vagrant's as it is on this machine: its domain, its disks, what ends it."""

from __future__ import annotations

import contextlib
import os
import re
import signal
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from distromatrix.engines.vagrant.command import vagrant
from distromatrix.engines.vagrant.folders import Home
from distromatrix.engines.vagrant.libvirt.libvirtd import Libvirtd, VirshError
from distromatrix.engines.vagrant.machine import OpenGuest
from distromatrix.errors import InfrastructureError


def guest_in(home: Home, folder: Path, facts: Mapping[str, Any]) -> OpenGuest:
    """The guest of a machine's folder, by what is known of it."""
    libvirtd = home.libvirtd
    domain = facts.get("domain") or folder.name

    def end() -> None:
        with contextlib.suppress(InfrastructureError):
            libvirtd("destroy", domain)

    def alive() -> bool:
        try:
            return libvirtd("domstate", domain).strip() in ("running", "in shutdown")
        except InfrastructureError:
            return False

    if facts.get("provider", "libvirt") != "libvirt":
        end, alive = _by_vagrant(folder, facts)
    return OpenGuest(
        folder=folder,
        disks=disks_in(home.pool, folder.name, facts),
        console=Path(facts["console"]),
        scale=float(facts.get("scale", 1.0)),
        alive=alive,
        end=end,
    )


def _by_vagrant(
    folder: Path, facts: Mapping[str, Any]
) -> tuple[Callable[[], None], Callable[[], bool]]:
    """What ends a guest of another provider, and what asks after it."""
    own = Path(facts["own"]).parent if facts.get("own") else None

    def call(*words: str) -> str:
        try:
            return vagrant(*words, facts["machine"], folder=folder, root=own, timeout=120.0)
        except InfrastructureError:
            return ""

    def end() -> None:
        call("halt", "-f")

    def alive() -> bool:
        return ",state,running" in call("status", "--machine-readable")

    return end, alive


def disks_in(pool: Path, name: str, facts: Mapping[str, Any]) -> tuple[Path, ...]:
    """The disks in libvirt's pool of the machine of that name: a clone's `NAME-0.img`, …, else
    those that the plugin names after the domain. Another machine's name may begin like this."""
    kind = rf"-{re.escape(facts['machine'])}(-vd[a-z]+)?" if facts.get("machine") else r"-\d+"
    own = re.compile(re.escape(name) + kind + r"\.(img|qcow2|raw)")
    return tuple(disk for disk in sorted(pool.glob(f"{name}-*")) if own.fullmatch(disk.name))


def remove_domain(libvirtd: Libvirtd, domain: str) -> None:
    """End it and forget it. No error if it is gone. Raises InfrastructureError."""
    _kill(libvirtd, domain)
    for command in ("destroy", "undefine"):
        with contextlib.suppress(VirshError):
            libvirtd(command, domain)
    if domain in libvirtd("list", "--all", "--name").split():
        raise InfrastructureError(f"the domain {domain} cannot be removed")


def _kill(libvirtd: Libvirtd, domain: str) -> None:
    """End its QEMU at once: libvirt would ask it first, which takes two seconds, and its disk is
    thrown away."""
    with contextlib.suppress(OSError, ValueError):
        pid = int((libvirtd.folder / f"run/qemu/{domain}.pid").read_text())
        command = Path(f"/proc/{pid}/cmdline").read_bytes()
        if f"guest={domain},".encode() in command:
            os.kill(pid, signal.SIGKILL)
