"""Hosts and an engine as `doctor` may find them."""

from __future__ import annotations

from dataclasses import replace

from distromatrix.doctor.host import Host, families
from distromatrix.engines.contract import EngineFacts
from distromatrix.errors import EngineUnavailableError

ROOT = Host(
    title="Debian 12",
    family=families()["debian"],
    user="root",
    root=True,
    sudo=False,
    init="none",
    dockerd=False,
)
ADA = replace(ROOT, user="ada", root=False, sudo=True)
FACTS = EngineFacts(
    name="docker",
    product="Docker",
    version="20.10.24",
    api_version="1.41",
    cpus=2,
    memory=1 << 34,
    arch="x86_64",
    storage_driver="overlay2",
    cgroup_version="2",
    rootless=False,
    local=True,
    data_root="/",
)


class FakeEngine:
    """An engine of these facts; None: it does not answer."""

    def __init__(self, facts: EngineFacts | None) -> None:
        self._facts = facts

    def facts(self) -> EngineFacts:
        if self._facts is None:
            raise EngineUnavailableError("it is not there\nadvice")
        return self._facts

    def close(self) -> None:
        pass
