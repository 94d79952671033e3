"""Engines: what opens machines."""

from __future__ import annotations

from threading import RLock
from typing import TYPE_CHECKING, Any, cast

from distromatrix.errors import InputError
from distromatrix.plan.needs import CONTAINERS, GUESTS

if TYPE_CHECKING:
    from collections.abc import Callable

    from distromatrix.engines.contract import Engine
    from distromatrix.model import AccelWanted
    from fake_engine.engine import FakeEngine


def open_engine(name: str, containers: Engine | None = None, accel: AccelWanted = "auto") -> Engine:
    """The engine of that name (`docker`, `podman`, or of GUESTS), its libraries imported only now.
    It connects when it is first asked something, so an engine that is not there is found by
    `facts()`. An engine of guests has its images in `containers`, and `accel` says how it runs
    them. `fake` is that of this project's tests, which keeps its state in the folder
    `$DISTROMATRIX_FAKE`. Raises InputError for another name, EngineUnavailableError."""
    if name in ("docker", "podman"):
        from distromatrix.engines.docker.connection.api import DOCKER, PODMAN
        from distromatrix.engines.docker.engine import DockerEngine

        return DockerEngine(access=DOCKER if name == "docker" else PODMAN)
    if name == "fake":
        return _open_fake()
    if name in GUESTS:
        return _open_guest(name, containers or open_engine("docker"), accel)
    raise InputError(f"no engine '{name}': there is {', '.join((*CONTAINERS, *GUESTS))}")


def _open_fake() -> Engine:
    try:
        from fake_engine.engine import FakeEngine
    except ModuleNotFoundError:
        raise InputError(
            "DISTROMATRIX_FAKE is for distromatrix's own tests, which are not here: unset it"
        ) from None
    return FakeEngine()


def _open_guest(name: str, containers: Engine, accel: AccelWanted) -> Engine:
    if containers.name == "fake":
        return cast("FakeEngine", containers).playing(name)
    if name == "qemu":
        from distromatrix.engines.qemu.engine import QemuEngine

        return QemuEngine(containers, accel=accel)
    from distromatrix.engines.vagrant.engine import VagrantEngine

    return VagrantEngine(containers, accel=accel)


class Engines:
    """The engines of one run: `containers`, and engines of guests, each opened when it is
    first wanted, by `open_guest`. `team`: who carries out cells in place of this process (see
    `execute.state.Team`). Thread-safe."""

    team: Callable[..., Any] | None = None

    def __init__(
        self, containers: Engine, open_guest: Callable[[str, Engine], Engine] = open_engine
    ) -> None:
        self.containers = containers
        self._open = open_guest
        self._guests: dict[str, Engine] = {}
        self._lock = RLock()

    def of(self, name: str | None) -> Engine:
        """The engine that a plan calls so: one of guests, or the one of containers, whatever
        that is in truth. Raises EngineUnavailableError."""
        if name not in GUESTS:
            return self.containers
        with self._lock:
            if name not in self._guests:
                self._guests[name] = self._open(name, self.containers)
            return self._guests[name]

    def close(self) -> None:
        """Let go of the engines of guests that were opened; the other is its opener's."""
        with self._lock:
            for engine in self._guests.values():
                engine.close()
            self._guests.clear()
