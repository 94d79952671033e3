"""Docker, and every engine that speaks its API."""

from __future__ import annotations

import os
import platform
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

from distromatrix.engines import docker_sweep
from distromatrix.engines.base import EngineFacts, Leftover, MachineSpec, Stage
from distromatrix.engines.docker_api import Api
from distromatrix.engines.docker_images import DockerImages
from distromatrix.engines.docker_machine import DockerMachine
from distromatrix.engines.docker_spec import Limits, create_body
from distromatrix.engines.docker_stage import DockerStage, Strategy
from distromatrix.errors import InputError


class DockerEngine:
    """See Engine. `staging` forces a stage's strategy; so does `$DISTROMATRIX_STAGING`."""

    name = "docker"

    def __init__(self, *, staging: Strategy | None = None) -> None:
        self._api = Api()
        self._staging = staging or _staging()
        self._lock = threading.Lock()
        self._limits: Limits | None = None
        self.images = DockerImages(self._api)

    def facts(self) -> EngineFacts:
        """See Engine."""
        with self._api.calling("ask the engine what it is") as client:
            info, version = client.info(), client.version()
        parts = " ".join(str(part.get("Name")) for part in version.get("Components") or ())
        return EngineFacts(
            name=self.name,
            product="Podman" if "Podman" in parts else "Docker",
            version=version["Version"],
            api_version=version["ApiVersion"],
            cpus=info["NCPU"],
            memory=info["MemTotal"],
            arch=info["Architecture"],
            storage_driver=info["Driver"],
            cgroup_version=str(info.get("CgroupVersion") or "1"),
            rootless=any("rootless" in option for option in info.get("SecurityOptions") or ()),
            local=self._api.url.startswith("unix:") and info["Name"] == platform.node(),
            data_root=info.get("DockerRootDir") or "",
        )

    def stage(self, snapshot: Path, *, image: str, labels: Mapping[str, str]) -> DockerStage:
        """See Engine."""
        return DockerStage(
            self._api,
            self._known_limits(),
            snapshot,
            image=image,
            labels=labels,
            forced=self._staging,
        )

    def open(self, spec: MachineSpec, stage: Stage | None = None) -> DockerMachine:
        """See Engine; `stage` is one of this engine's."""
        if stage is not None:
            return cast("DockerStage", stage).open(spec)
        return DockerMachine.start(self._api, spec, create_body(spec, self._known_limits()))

    def leftovers(self) -> tuple[Leftover, ...]:
        """See Engine."""
        return docker_sweep.leftovers(self._api)

    def remove(self, leftover: Leftover) -> None:
        """See Engine."""
        docker_sweep.remove(self._api, leftover)

    def close(self) -> None:
        """See Engine."""
        self._api.close()

    def _known_limits(self) -> Limits:
        with self._lock:
            if self._limits is None:
                with self._api.calling("ask the engine what it is") as client:
                    info: dict[str, Any] = client.info()
                security = " ".join(info.get("SecurityOptions") or ())
                self._limits = Limits(cpus=info["NCPU"], apparmor="apparmor" in security)
            return self._limits


def _staging() -> Strategy | None:
    asked = os.environ.get("DISTROMATRIX_STAGING") or None
    if asked == "overlay":
        return "overlay"
    if asked == "archive":
        return "archive"
    if asked is None:
        return None
    raise InputError(f"DISTROMATRIX_STAGING is '{asked}': it can be overlay or archive")
