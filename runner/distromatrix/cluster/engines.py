"""What stands for a cluster where a run wants engines."""

from __future__ import annotations

from functools import partial
from typing import Any, cast

from distromatrix.cluster.connection import Cluster
from distromatrix.cluster.team import ClusterTeam
from distromatrix.engines import Engines
from distromatrix.engines.contract import Engine, EngineFacts
from distromatrix.errors import EngineUnavailableError, InfrastructureError
from distromatrix.plan.batches import MIB


class _ClusterEngine:
    """What is asked of an engine of containers, for all hosts together (see Engine)."""

    name = "cluster"
    layers = images = None

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster

    def facts(self) -> EngineFacts:
        fit = self._cluster.fit
        return _Facts(
            name=self.name,
            product=f"{len(fit)} host{'s' * (len(fit) != 1)} at {self._cluster.address}",
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

    def ping(self) -> None:
        if self._cluster.client.status != "running":
            raise EngineUnavailableError(self._cluster.silent())

    def leftovers(self) -> tuple[()]:
        return ()

    def close(self) -> None:
        pass

    def __getattr__(self, name: str) -> Any:
        raise InfrastructureError(f"a cluster has no {name} here", transient=False)


class _Facts(EngineFacts):
    def __str__(self) -> str:
        return self.product


def engines_of(cluster: Cluster) -> Engines:
    """Engines whose cells are carried out on the hosts of the cluster."""
    engines = Engines(cast("Engine", _ClusterEngine(cluster)))
    engines.team = partial(ClusterTeam, cluster)
    return engines
