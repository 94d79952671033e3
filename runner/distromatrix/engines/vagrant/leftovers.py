"""What runs left of Vagrant's guests: ended by what stands beside each, and by nothing else."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from distromatrix.engines.contract import LABEL_RUN, Leftover, MachineSpec
from distromatrix.engines.guest.facts import folder_in_run, read_facts, write_facts
from distromatrix.engines.vagrant.command import end_in, vagrant
from distromatrix.engines.vagrant.folders import Home
from distromatrix.engines.vagrant.libvirt.domain import disks_in, remove_domain
from distromatrix.engines.vagrant.ssh import Connection
from distromatrix.errors import InfrastructureError

_DESTROYED_WITHIN = 300.0  # seconds


def remove(home: Home, leftover: Leftover) -> None:
    """Remove it by force, if it still carries our label. Raises InfrastructureError."""
    for folder in home.machines.glob("*/"):
        facts = read_facts(folder)
        if (facts.get("name") or folder.name) == leftover.name and (facts.get("labels") or {}).get(
            LABEL_RUN
        ):
            end_machine(home, folder)


def end_machine(home: Home, folder: Path) -> None:
    """End a machine and remove all that it had; its console's log and its Vagrantfile stay
    where they lie in a run's folder. Raises InfrastructureError."""
    name, facts = folder.name, read_facts(folder)
    provider = facts.get("provider")
    if provider:
        end_in(folder)
    Connection(folder, home.sockets).end()
    if provider and any((folder / ".vagrant").glob("machines/*/*/id")):
        _destroy(home, folder, facts)
    if provider in (None, "libvirt"):
        remove_domain(home.libvirtd, facts.get("domain") or name)
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
def whole_or_gone(home: Home, spec: MachineSpec, **facts: object) -> Iterator[tuple[Path, Path]]:
    """In it a machine is made, of which that is known: where that fails, nothing of it is left.
    Gives its folder, and its console's log: in its cell's folder, where the run has one. Raises
    InfrastructureError where its files cannot be written."""
    folder = home.machines / spec.name
    console = (folder_in_run(spec.labels, "vagrant") or folder) / "console.log"
    try:
        folder.mkdir(parents=True, mode=0o700)
        console.parent.mkdir(parents=True, exist_ok=True)
        known = {"user": spec.user, "pids": spec.pids, "console": str(console), **facts}
        write_facts(folder, spec.labels, **known)
        yield folder, console
    except BaseException as error:
        with contextlib.suppress(InfrastructureError):
            end_machine(home, folder)
        if isinstance(error, OSError):
            raise InfrastructureError(
                f"{folder.name} cannot be made: {error.filename or folder}: {error.strerror}"
            ) from error
        raise


def _destroy(home: Home, folder: Path, facts: Mapping[str, Any]) -> None:
    """Have Vagrant remove it. Raises InfrastructureError where only Vagrant can."""
    root = Path(facts["own"]).parent if facts.get("own") else None
    ours = facts["provider"] == "libvirt"
    try:
        if ours:
            home.libvirtd.ensure()
        vagrant("destroy", "-f", folder=folder, root=root, timeout=_DESTROYED_WITHIN)
    except InfrastructureError as error:
        if not ours:
            raise InfrastructureError(
                f"{folder.name} cannot be removed: {error}; `vagrant destroy -f` in {folder} "
                "removes it"
            ) from error
