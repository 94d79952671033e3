"""The hosts of a cluster as its client knows them, and what stands for them where a run wants an
engine."""

from __future__ import annotations

from collections.abc import Callable, Container, Mapping
from dataclasses import replace
from typing import Any

from distromatrix import __version__
from distromatrix.collect.text import one_line
from distromatrix.engines.contract import EngineFacts
from distromatrix.errors import EngineUnavailableError, InfrastructureError
from distromatrix.model import HostFacts
from distromatrix.plan.batches import MIB
from distromatrix.project.host import HostSeen, common_facts


def unanswered(address: str, why: str = "") -> str:
    """What is said of a cluster that does not answer."""
    return f"the cluster at {address} does not answer{why and f': {why}'}"


def refused(address: str, why: str) -> str:
    """What is said of a cluster that one cannot connect to."""
    hint = "is that a scheduler, without TLS?"
    if address.startswith("tls://"):
        hint = (
            "is that a scheduler, and are the certificates right that your Dask configuration "
            "names (distributed.comm.tls)?"
        )
    return f"{unanswered(address, why)}; {hint}"


class Hosts:
    """Those of the cluster at `address`. `known`: by their own addresses."""

    def __init__(self, address: str) -> None:
        self.address = address
        self.known: dict[str, HostSeen] = {}

    def hear(self, there: Container[str], said: Mapping[str, Any]) -> tuple[HostSeen, ...]:
        """Only these are `there` now, and the new ones of them have `said` what they are (`look`),
        or failed to. Returns the new ones."""
        known = {address: host for address, host in self.known.items() if address in there}
        arch = next((host.said["arch"] for host in known.values() if not host.fault), "")
        new: list[HostSeen] = []
        for address, answer in sorted(said.items()):
            new.append(_seen(address, answer, arch))
            arch = arch or ("" if new[-1].fault else new[-1].said["arch"])
        self.known = known | {host.address: host for host in new}
        return tuple(new)

    def refuse(self, host: HostSeen, why: str) -> None:
        """No more cells run on that one."""
        self.known = self.known | {host.address: replace(host, fault=why)}

    def name(self, address: str) -> str:
        """What that one calls itself; its address, where it is not known."""
        return self.known[address].name if address in self.known else address

    @property
    def fit(self) -> tuple[HostSeen, ...]:
        """Those on which cells can run."""
        return tuple(host for host in self.known.values() if not host.fault)

    @property
    def faults(self) -> str:
        """Why no cells can run on the others."""
        return "; ".join(f"{host.name}: {host.fault}" for host in self.known.values() if host.fault)

    @property
    def places(self) -> int:
        """How many cells they run at once."""
        return sum(host.places for host in self.fit)

    def require(self) -> None:
        """See that cells can run at all. Raises EngineUnavailableError."""
        if not self.known:
            raise EngineUnavailableError(
                f"the cluster at {self.address} has no workers: start one on each host with "
                f"`dask worker {self.address}`"
            )
        if not self.fit:
            raise EngineUnavailableError(
                f"no worker of {self.address} can run cells: {self.faults}"
            )

    def facts(self) -> HostFacts:
        """See common_facts."""
        return common_facts(self.fit)


def _seen(address: str, answer: Any, arch: str) -> HostSeen:
    """What a worker answered; the others are of `arch`, if there are any."""
    if isinstance(answer, ModuleNotFoundError):
        fault = "distromatrix is not installed there: `pip install 'distromatrix[cluster]'`"
        return HostSeen(address=address, name=address, fault=fault)
    if not isinstance(answer, dict):
        return HostSeen(address=address, name=address, fault=one_line(str(answer), 200))
    fault = str(answer["fault"])
    if answer["version"] != __version__:
        fault = f"has distromatrix {answer['version']}, and this is {__version__}"
    if arch and not fault and answer["arch"] != arch:
        fault = f"is {answer['arch']}, and the other hosts are {arch}"
    return HostSeen(address=address, name=str(answer["host"]), fault=fault, said=answer)


class HostsEngine:
    """What is asked of an engine of containers, for all hosts together (see Engine). `ping` raises
    where nobody answers."""

    name = "cluster"
    layers = images = None

    def __init__(self, hosts: Hosts, ping: Callable[[], None]) -> None:
        self._hosts = hosts
        self.ping = ping

    def facts(self) -> EngineFacts:
        """See Engine."""
        fit = self._hosts.fit
        return _Facts(
            name=self.name,
            product=f"{len(fit)} host{'s' * (len(fit) != 1)} at {self._hosts.address}",
            version="",
            api_version="",
            cpus=sum(host.resources["cpus"] for host in fit) // 1000,
            memory=sum(host.resources["memory"] for host in fit) * MIB,
            arch="",
            storage_driver="",
            cgroup_version="",
            rootless=False,
            local=False,
            data_root="",
        )

    def leftovers(self) -> tuple[()]:
        """See Engine."""
        return ()

    def close(self) -> None:
        """See Engine."""

    def __getattr__(self, name: str) -> Any:
        raise InfrastructureError(f"a cluster has no {name} here", transient=False)


class _Facts(EngineFacts):
    def __str__(self) -> str:
        return self.product
