"""Engines: what opens machines."""

from __future__ import annotations

from typing import TYPE_CHECKING

from distromatrix.errors import InputError

if TYPE_CHECKING:
    from distromatrix.engines.base import Engine

ENGINES = ("docker", "podman", "fake")


def open_engine(name: str) -> Engine:
    """The engine of that name (one of ENGINES), its libraries imported only now. It connects
    when it is first asked something, so an engine that is not there is found by `facts()`.
    `fake` keeps its state in the folder `$DISTROMATRIX_FAKE`. Raises InputError for another
    name."""
    if name == "docker":
        from distromatrix.engines.docker import DockerEngine

        return DockerEngine()
    if name == "podman":
        from distromatrix.engines.docker import DockerEngine
        from distromatrix.engines.docker_api import PODMAN

        return DockerEngine(access=PODMAN)
    if name == "fake":
        from distromatrix.engines.fake import FakeEngine

        return FakeEngine()
    raise InputError(f"no engine '{name}': there is {', '.join(ENGINES)}")
