"""What runs left of Vagrant's guests: found by what stands beside each, and by nothing else."""

from __future__ import annotations

import contextlib
import json
import shutil
from pathlib import Path
from typing import Any

from distromatrix.engines.base import LABEL_FOLDER, LABEL_HOST, LABEL_RUN, Leftover
from distromatrix.engines.libvirtd import Libvirtd
from distromatrix.engines.ssh import Connection
from distromatrix.engines.vagrant_home import Home
from distromatrix.engines.vagrant_machine import FACTS
from distromatrix.engines.vagrant_templates import remove_domain


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
                    name=str(facts["name"]),
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
        if facts.get("name") == leftover.name and (facts.get("labels") or {}).get(LABEL_RUN):
            end_machine(home, libvirtd, folder)


def end_machine(home: Home, libvirtd: Libvirtd, folder: Path) -> None:
    """End a machine and remove all that it had; its console's log and its Vagrantfile stay
    where they lie in a run's folder. Raises InfrastructureError."""
    name = folder.name
    Connection(folder, home.sockets).end()
    remove_domain(libvirtd, name)
    for disk in home.pool.glob(f"{name}-*.img"):
        disk.unlink(missing_ok=True)
    if console := machine_facts(folder).get("console"):
        shutil.rmtree(Path(console).parent / ".vagrant", ignore_errors=True)
    shutil.rmtree(folder, ignore_errors=True)


def machine_facts(folder: Path) -> dict[str, Any]:
    """What is known of the machine in a folder; {} where nothing is."""
    with contextlib.suppress(OSError, ValueError):
        facts = json.loads((folder / FACTS).read_text(encoding="utf-8"))
        return facts if isinstance(facts, dict) else {}
    return {}
