"""What this host can run, said to another that plans for it."""

from __future__ import annotations

import platform
import shutil
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import Any

from distromatrix import __version__
from distromatrix.engines.contract import LABEL_DISTRO
from distromatrix.engines.guest.acceleration import known_acceleration, kvm_fault
from distromatrix.errors import DistromatrixError
from distromatrix.files.user_folders import cache_folder
from distromatrix.load.settings import load_settings
from distromatrix.model import HostFacts
from distromatrix.plan.batches import MIB
from distromatrix.plan.needs import GUESTS
from distromatrix.project.project import host_facts
from distromatrix.project.session import opened_engine


@dataclass(frozen=True, slots=True, kw_only=True)
class HostSeen:
    """A host, as it says itself (`look`), and why no cell can run there ('' where cells can)."""

    address: str
    name: str
    fault: str
    said: Mapping[str, Any] = field(default_factory=dict)

    @property
    def resources(self) -> Mapping[str, int]:
        """What it has: cpus in thousandths, memory in MiB, and how many guests of each kind."""
        found: Mapping[str, int] = self.said.get("resources", {})
        return found

    @property
    def places(self) -> int:
        """How many cells it runs at once."""
        return min(int(self.said["threads"]), self.resources["cpus"] // 1000)

    def has(self, needs: Mapping[str, int]) -> bool:
        """Whether it has so much of all that."""
        return all(self.resources.get(name, 0) >= value for name, value in needs.items())


def look() -> dict[str, Any]:
    """What this host has, in plain data, which other versions understand: `fault`, why no cell can
    run here; `resources` as announced (cpus in thousandths, memory in MiB)."""
    found: dict[str, Any] = {
        "version": __version__,
        "python": platform.python_version(),
        "host": platform.node(),
        "engine": "",
        "resources": {},
        "fault": "",
        "arch": platform.machine(),
    }
    with suppress(OSError, DistromatrixError):
        found["free"] = shutil.disk_usage(cache_folder()).free
    try:
        settings = load_settings()
        here = host_facts(settings.engine)
        guests = dict(here.guests)
        kvm = kvm_fault() or _unproved()
        with opened_engine(settings) as engine:
            facts = engine.facts()
            images = engine.images.list()
        resources = {"cpus": facts.cpus * 1000, "memory": facts.memory // MIB}
        usable = {name: 1000 for name, why in guests.items() if not why}
        return found | {
            "engine": str(facts),
            "engine_name": settings.engine,
            "kernel": here.kernel,
            "cgroup": here.cgroup,
            "guests": guests,
            "kvm": kvm,
            "ready": sorted({image.labels.get(LABEL_DISTRO, "") for image in images} - {""}),
            "resources": resources | usable | ({} if kvm else {"kvm": 1000}),
        }
    except DistromatrixError as error:
        return found | {"fault": str(error)}


def _unproved() -> str:
    """Why KVM is not known to work, though it may; '' where it was proved."""
    known = known_acceleration(cache_folder())
    if known is None:
        return "not tried yet: the first guest does"
    return "" if known.kind == "kvm" else known.reason


def most_of(hosts: Sequence[HostSeen]) -> dict[str, int]:
    """The most that any of them has of each resource."""
    names = {name for host in hosts for name in host.resources}
    return {name: max(host.resources.get(name, 0) for host in hosts) for name in names}


def common_facts(hosts: Sequence[HostSeen]) -> HostFacts:
    """What a plan must know of several hosts: guests are there where any has them, and what
    differs is not known."""
    first, most = hosts[0].said, most_of(hosts)
    guests = {
        name: min((host.said["guests"].get(name, "") for host in hosts), key=bool)
        for name in GUESTS
    }

    def same(key: str) -> str:
        return str(first[key]) if all(host.said[key] == first[key] for host in hosts) else ""

    return replace(
        host_facts(first["engine_name"]),
        arch=first["arch"],
        cpus=most["cpus"] // 1000,
        memory=most["memory"] * MIB,
        guests=guests,
        kernel=same("kernel"),
        cgroup=same("cgroup"),
    )
