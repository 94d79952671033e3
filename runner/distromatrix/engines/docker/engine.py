"""Docker, and every engine that speaks its API, Podman among them."""

from __future__ import annotations

import os
import platform
import shlex
import subprocess
from collections.abc import Mapping
from typing import cast

from distromatrix.engines.contract import Address, EngineFacts, Leftover, MachineSpec, Stage
from distromatrix.engines.docker import leftovers as docker_sweep
from distromatrix.engines.docker.caches import DockerCaches
from distromatrix.engines.docker.connection.api import DOCKER, Access, Api
from distromatrix.engines.docker.dialect import MACHINES
from distromatrix.engines.docker.images import DockerImages
from distromatrix.engines.docker.machine import DockerMachine
from distromatrix.engines.docker.network import Networks
from distromatrix.engines.docker.spec import LOOPBACK_IPV6
from distromatrix.engines.docker.staging.layers import DockerLayers
from distromatrix.engines.docker.staging.stage import DockerStage, Strategy
from distromatrix.engines.layers import ProductSource
from distromatrix.errors import (
    CannotStartError,
    EngineUnavailableError,
    InfrastructureError,
    InputError,
)
from distromatrix.model import Kept

_LESSONS = 3  # that an engine's host may teach when a machine cannot be opened


class DockerEngine:
    """See Engine. `staging` forces a stage's strategy; so does `$DISTROMATRIX_STAGING`.
    `access`: how to get at it, `name`: its word."""

    def __init__(
        self,
        *,
        staging: Strategy | None = None,
        access: Access = DOCKER,
    ) -> None:
        self.name = access.command
        self._api = Api(access)
        self._staging = staging or _staging()
        self._networks = Networks(self._api)
        self.images = DockerImages(self._api)
        self.caches = DockerCaches(self._api)

    def facts(self) -> EngineFacts:
        """See Engine."""
        self.ping()
        with self._api.calling("ask the engine what it is") as client:
            api_version = client.api_version
        info = self._api.info
        return EngineFacts(
            name=self.name,
            product=self._api.dialect.product,
            version=self._api.version,
            api_version=api_version,
            cpus=info["NCPU"],
            memory=info["MemTotal"],
            arch=MACHINES.get(info["Architecture"], info["Architecture"]),
            storage_driver=info["Driver"],
            cgroup_version=str(info.get("CgroupVersion") or "1"),
            # Podman says it in a field of its own, Docker among what secures it.
            rootless=bool(info.get("Rootless"))
            or any("rootless" in option for option in info.get("SecurityOptions") or ()),
            local=self._api.url.startswith("unix:") and info["Name"] == platform.node(),
            data_root=info.get("DockerRootDir") or "",
        )

    def ping(self) -> None:
        """See Engine."""
        self._api.ping()

    @property
    def layers(self) -> DockerLayers | None:
        """See Engine: none where no overlays can be mounted, or shall be."""
        overlays = self._api.dialect.mounts_overlays and self._staging != "archive"
        rootless = overlays and self.facts().rootless
        return DockerLayers(self._api) if overlays and not rootless else None

    def stage(
        self, product: ProductSource, *, image: str, labels: Mapping[str, str]
    ) -> DockerStage:
        """See Engine."""
        return DockerStage(
            self._api, self._networks, product, image=image, labels=labels, forced=self._staging
        )

    def open(self, spec: MachineSpec, stage: Stage | None = None) -> DockerMachine:
        """See Engine; `stage` is one of this engine's."""
        for _ in range(_LESSONS):
            try:
                return self._open(spec, stage)
            except (CannotStartError, InfrastructureError) as error:
                # Trying is the only way to know that of an engine's host.
                if not self._learn(str(error)) and not self._networks.learn(str(error)):
                    raise
        return self._open(spec, stage)

    def _learn(self, words: str) -> bool:
        lacks = any(name in words.replace("/", ".") for name in LOOPBACK_IPV6)
        news = lacks and not self._api.lacks_ipv6
        self._api.lacks_ipv6 |= lacks
        return news

    def _open(self, spec: MachineSpec, stage: Stage | None) -> DockerMachine:
        if stage is not None:
            return cast("DockerStage", stage).open(spec)
        return self._networks.create(spec).start()

    def join(self, address: Address) -> DockerMachine:
        """See Engine."""
        return DockerMachine.join(self._api, address)

    def enter(self, kept: Kept, env: Mapping[str, str]) -> int:
        """See Engine: by the engine's own client, which the machine's `enter` names. That sees
        this process's variables, and none that come from elsewhere: PATH and DOCKER_HOST mean
        something to it, too."""
        words = shlex.split(kept.enter)
        at = words.index("exec") + 1
        own = os.environ  # whose values, as those of `pass_env`, stay off its command line
        said = (k if own.get(k) == value else f"{k}={value}" for k, value in env.items())
        flags = [flag for one in said for flag in ("-e", one)]
        if not os.isatty(0):
            words = ["-i" if w == "-it" else w for w in words]
        command = [*words[:at], *flags, *words[at:]]
        try:
            return subprocess.run(command, check=False).returncode
        except FileNotFoundError as error:
            raise EngineUnavailableError(
                f"{words[0]}: command not found; the engine's own client is needed to enter: "
                f"{kept.enter}"
            ) from error

    def leftovers(self) -> tuple[Leftover, ...]:
        """See Engine."""
        return docker_sweep.leftovers(self._api)

    def remove(self, leftover: Leftover) -> None:
        """See Engine."""
        docker_sweep.remove(self._api, leftover)

    def close(self) -> None:
        """See Engine."""
        self._networks.close()
        self._api.close()


def _staging() -> Strategy | None:
    asked = os.environ.get("DISTROMATRIX_STAGING") or None
    if asked not in (None, "overlay", "archive"):
        raise InputError(f"DISTROMATRIX_STAGING is '{asked}': it can be overlay or archive")
    return cast("Strategy | None", asked)
