"""Looks at what guests with a kernel of their own need. Cells in containers need none of it."""

from __future__ import annotations

import os
import shlex
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from distromatrix.doctor.command import CommandResult, Run, run_command
from distromatrix.doctor.host import Host
from distromatrix.doctor.model import Check, Status, Thing
from distromatrix.engines.guest import way_out
from distromatrix.engines.guest.acceleration import KVM, Accel, known_acceleration
from distromatrix.engines.guest.qemu_program import find_qemu, is_static, qemu_version
from distromatrix.errors import EngineUnavailableError
from distromatrix.model import AccelWanted
from distromatrix.plan.needs import PROVIDERS

Which = Callable[[str], str | None]

_WITHOUT_QEMU = "cells that need a kernel of their own are skipped without it"
_WITHOUT_VAGRANT = "cells that need an init system of their own are skipped without it"
_PROVE = "distromatrix doctor --guests --fix"
_OTHERS = ", ".join(title for name, title in PROVIDERS.items() if name != "libvirt")
_UNTESTED = f"other providers ({_OTHERS}) are passed through, untested"
# Where a distribution's archive has no Vagrant (its licence changed in 2023).
_UPSTREAM = (
    "vagrant plugin install vagrant-libvirt  # with Vagrant from "
    "https://developer.hashicorp.com/vagrant/install, where your distribution has none"
)


def guest_checks(
    host: Host,
    cache: Path,
    wanted: AccelWanted = "auto",
    *,
    required: bool = False,
    run: Run = run_command,
    which: Which = shutil.which,
) -> tuple[Check, ...]:
    """QEMU, what makes disks, the way out, acceleration (as proved before: nothing is booted),
    Vagrant with its plugin, libvirt. `required`: what is missing is missing, and `fix` mends it;
    else it is a warning, and `fix` leaves it alone."""
    accel = known_acceleration(cache)
    checks = (
        _qemu(host),
        _disks(host, which),
        _network(host, which),
        _acceleration(host, accel, wanted),
        _vagrant(host, run, which),
        _libvirt(host, run, which),
    )
    return checks if required else tuple(map(_optional, checks))


def _optional(check: Check) -> Check:
    status: Status = "ok" if check.status == "ok" else "warning"
    return replace(check, status=status, install=None, commands=(), prove=False)


def _qemu(host: Host) -> Check:
    try:
        if find_qemu():
            return Check(name="QEMU", status="ok", found=qemu_version())
        found = "not installed"
    except EngineUnavailableError as error:
        found = str(error)
    return _lacks(host, "qemu", "QEMU", found, _WITHOUT_QEMU)


def _disks(host: Host, which: Which) -> Check:
    """What makes a disk out of a container's root file system, and boots it."""
    path = _with_system_folders(which)
    lacking = [name for name in ("mke2fs", "qemu-img") if not path(name)]
    if not host.root and not path("fakeroot"):  # else the files would not be root's
        lacking.append("fakeroot")
    if not (busybox := path("busybox")):
        lacking.append("busybox")
    elif not is_static(Path(busybox)):
        lacking.append(f"static busybox ({busybox} needs libraries)")
    if not lacking:
        found = "mke2fs, qemu-img, busybox" + ("" if host.root else ", fakeroot")
        return Check(name="guest disks", status="ok", found=found)
    why = f"a container's root becomes a guest's disk with it; {_WITHOUT_QEMU}"
    return _lacks(host, "qemu", "guest disks", f"no {', no '.join(lacking)}", why)


def _network(host: Host, which: Which) -> Check:
    """What guests with `network: true` reach the world by, and not the host's loopback."""
    if lacks := way_out.lacking(which):
        why = "guests with `network: true` do not start without it"
        return _lacks(host, "qemu", "guest network", f"no {', no '.join(lacks)}", why)
    return Check(name="guest network", status="ok", found=way_out.PROGRAM)


def _acceleration(host: Host, accel: Accel | None, wanted: AccelWanted) -> Check:
    name = "acceleration"
    if accel is None:
        return Check(
            name=name,
            status="warning",
            found="not proved yet",
            why="the first guest proves it: a kernel is booted in KVM",
            mend=(_PROVE,),
            prove=True,
        )
    if accel.kind == "kvm":
        return Check(name=name, status="ok", found=f"KVM: {accel.reason}")
    if wanted == "tcg":
        return Check(name=name, status="ok", found="software emulation, as accel: tcg asks for")
    commands: tuple[str, ...] = ()
    if KVM.exists() and not os.access(KVM, os.R_OK | os.W_OK):
        commands = (host.as_root(f"usermod -aG kvm {shlex.quote(host.user)}"),)
    slow = f"guests work, and take some {accel.scale:.0f} times as long; timeouts are scaled"
    return Check(
        name=name,
        status="missing" if wanted == "kvm" else "warning",
        found=f"software emulation: {accel.reason}",
        why="accel: kvm asks for KVM, and no guest runs without" if wanted == "kvm" else slow,
        mend=commands,
        commands=commands,
    )


def _vagrant(host: Host, run: Run, which: Which) -> Check:
    check = _lacks(host, "vagrant", "Vagrant", "not installed", _WITHOUT_VAGRANT)
    check = replace(check, mend=(*check.mend, _UPSTREAM))
    if not which("vagrant"):
        return check
    version = _first_line(run("env VAGRANT_CHECKPOINT_DISABLE=1 vagrant --version"))
    plugins = run("env VAGRANT_CHECKPOINT_DISABLE=1 vagrant plugin list")
    for line in plugins.output.splitlines():
        if line.startswith("vagrant-libvirt "):
            plugin = line.partition(",")[0].replace("(", "").rstrip(")")
            found = f"{version}, {plugin}; {_UNTESTED}"
            return Check(name="Vagrant", status="ok", found=found)
    return replace(check, found=f"{version or 'Vagrant'}, without its plugin vagrant-libvirt")


def _libvirt(host: Host, run: Run, which: Which) -> Check:
    """The programs: a libvirtd of our own is started when a guest is wanted, and ends itself.
    The machine's is neither used nor disturbed."""
    path = _with_system_folders(which)
    if path("virsh") and path("libvirtd"):
        version = _first_line(run("virsh --version"))
        return Check(name="libvirt", status="ok", found=f"libvirt {version}".rstrip())
    return _lacks(host, "libvirt", "libvirt", "not installed", _WITHOUT_VAGRANT)


def _lacks(host: Host, thing: Thing, name: str, found: str, why: str) -> Check:
    """With the command that installs it; where we know none, with who does."""
    check = host.lacks(thing, name, found, why)
    by_hand = f"# install {thing} by the documentation of {host.title}"
    return check if check.mend else replace(check, mend=(by_hand,))


def _with_system_folders(which: Which) -> Which:
    """`which` that also finds what lies in root's part of $PATH."""
    folders = ("", "/usr/sbin/", "/sbin/")
    return lambda name: next((path for f in folders if (path := which(f + name))), None)


def _first_line(ended: CommandResult) -> str:
    return ended.output.strip().partition("\n")[0] if ended.status == 0 else ""
