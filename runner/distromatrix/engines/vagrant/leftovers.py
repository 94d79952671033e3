"""What runs left of Vagrant's guests: found by what stands beside each, and by nothing else."""

from __future__ import annotations

import contextlib
import json
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from distromatrix.engines.contract import LABEL_FOLDER, LABEL_HOST, LABEL_RUN, Leftover
from distromatrix.engines.vagrant.command import end_in, vagrant
from distromatrix.engines.vagrant.folders import Home
from distromatrix.engines.vagrant.libvirt.domain import disks_in, remove_domain
from distromatrix.engines.vagrant.libvirt.libvirtd import Libvirtd
from distromatrix.engines.vagrant.machine import FACTS
from distromatrix.engines.vagrant.ssh import Connection
from distromatrix.errors import InfrastructureError

_DESTROYED_WITHIN = 300.0  # seconds


def leftovers(home: Home) -> tuple[Leftover, ...]:
    """Machines with labels of ours."""
    found = []
    for folder in sorted(home.machines.glob("*/")):
        facts = machine_facts(folder)
        labels = facts.get("labels") or {}
        if labels.get(LABEL_RUN):
            found.append(
                Leftover(
                    kind="guest",
                    name=str(facts.get("name") or folder.name),
                    run=labels[LABEL_RUN],
                    folder=labels.get(LABEL_FOLDER, ""),
                    host=labels.get(LABEL_HOST, ""),
                    kept=bool(facts.get("kept")),
                    created=float(facts.get("created", 0.0)),
                )
            )
    return tuple(found)


def remove(home: Home, libvirtd: Libvirtd, leftover: Leftover) -> None:
    """Remove it by force, if it still carries our label. Raises InfrastructureError."""
    for folder in home.machines.glob("*/"):
        facts = machine_facts(folder)
        if (facts.get("name") or folder.name) == leftover.name and (facts.get("labels") or {}).get(
            LABEL_RUN
        ):
            end_machine(home, libvirtd, folder)


def end_machine(home: Home, libvirtd: Libvirtd, folder: Path) -> None:
    """End a machine and remove all that it had; its console's log and its Vagrantfile stay
    where they lie in a run's folder. Raises InfrastructureError."""
    name, facts = folder.name, machine_facts(folder)
    provider = facts.get("provider")
    if provider:
        end_in(folder)
    Connection(folder, home.sockets).end()
    if provider and any((folder / ".vagrant").glob("machines/*/*/id")):
        _destroy(folder, facts, libvirtd)
    if provider in (None, "libvirt"):
        remove_domain(libvirtd, facts.get("domain") or name)
        for disk in disks_in(home.pool, name, facts):
            disk.unlink(missing_ok=True)
    if console := facts.get("console"):
        left = Path(console).parent / ".vagrant"
        if left.is_symlink():
            left.unlink(missing_ok=True)
        elif left.parent != folder:
            shutil.rmtree(left, ignore_errors=True)
    shutil.rmtree(folder, ignore_errors=True)


@contextlib.contextmanager
def whole_or_gone(home: Home, libvirtd: Libvirtd, folder: Path) -> Iterator[None]:
    """In it the machine that has that folder is made: where that fails, nothing of it is left.
    Raises InfrastructureError where its files cannot be written."""
    try:
        yield
    except BaseException as error:
        with contextlib.suppress(InfrastructureError):
            end_machine(home, libvirtd, folder)
        if isinstance(error, OSError):
            raise InfrastructureError(
                f"{folder.name} cannot be made: {error.filename or folder}: {error.strerror}"
            ) from error
        raise


def _destroy(folder: Path, facts: Mapping[str, Any], libvirtd: Libvirtd) -> None:
    """Have Vagrant remove it. Raises InfrastructureError where only Vagrant can."""
    root = Path(facts["own"]).parent if facts.get("own") else None
    ours = facts["provider"] == "libvirt"
    try:
        if ours:
            libvirtd.ensure()
        vagrant("destroy", "-f", folder=folder, root=root, timeout=_DESTROYED_WITHIN)
    except InfrastructureError as error:
        if not ours:
            raise InfrastructureError(
                f"{folder.name} cannot be removed: {error}; `vagrant destroy -f` in {folder} "
                "removes it"
            ) from error


def machine_facts(folder: Path) -> dict[str, Any]:
    """What is known of the machine in a folder; {} where nothing is."""
    with contextlib.suppress(OSError, ValueError):
        facts = json.loads((folder / FACTS).read_text(encoding="utf-8"))
        return facts if isinstance(facts, dict) else {}
    return {}
