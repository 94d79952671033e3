"""A container with an init system as process 1: until it is up, and why it is not."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Mapping
from time import monotonic, sleep
from typing import Literal

from docker import APIClient

from distromatrix.engines.answer import Answer
from distromatrix.engines.contract import Command, MachineSpec
from distromatrix.engines.docker.connection.api import SHORT_TIMEOUT, Api, remove_container
from distromatrix.engines.docker.container import Container
from distromatrix.engines.shell.shell import ShellEndedError
from distromatrix.errors import InfrastructureError
from distromatrix.plan.needs import NO_CGROUP_1

UP_WITHIN = 120.0  # seconds
# What has no systemctl has no word for it either. A unit that fails is the suite's to judge.
_IS_UP = """command -v systemctl >/dev/null || exit 0
case $(systemctl is-system-running 2>/dev/null) in running | degraded) ;; *) exit 1 ;; esac"""


def until_up(container: Container) -> None:
    """Wait until its init system says that all is up. Raises InfrastructureError."""
    until = monotonic() + UP_WITHIN
    shell = container.open_shell("root")
    try:
        while shell.run(Command(_IS_UP, timeout=until - monotonic())):
            if monotonic() > until:
                raise InfrastructureError(f"it was not up within {UP_WITHIN:.0f} s")
            sleep(0.1)
    except (ShellEndedError, TimeoutError, OSError) as error:
        raise InfrastructureError(f"it ended: {error}") from error
    finally:
        shell.stream.close()


def why_not_up(container: Container, spec: MachineSpec, error: Exception) -> str:
    """Why it did not come up, for a human."""
    on_v1 = container.api.limits.cgroup != "2"
    version = _systemd_of(container.api, spec.image, spec.labels) if on_v1 else None
    if version and version >= NO_CGROUP_1:
        return (
            f"systemd {version} does not boot on cgroup v1, which this host has; a suite with "
            "`needs: [init]` and without `privileges: [init]` gets a guest"
        )
    return _last_words(container) or str(error)


def _systemd_of(api: Api, image: str, labels: Mapping[str, str]) -> int | None:
    """The version of an image's systemd, asked in a container with those labels; None where
    there is none."""
    with contextlib.suppress(Exception), api.calling(f"look into {image}", SHORT_TIMEOUT) as client:
        # Its entrypoint would be what does not come up.
        body = {"Image": image, "Entrypoint": ["systemctl"], "Cmd": ["--version"]}
        container = client.create_container_from_config({**body, "Labels": dict(labels)})["Id"]
        try:
            client.start(container)
            client.wait(container, timeout=SHORT_TIMEOUT)
            found = re.match(rb"systemd (\d+)", _logs(client, container))
            return int(found[1]) if found else None
        finally:
            remove_container(client, container)
    return None


def _logs(client: APIClient, container: str, tail: int | Literal["all"] = "all") -> bytes:
    """The first bytes of what its process 1 has said."""
    said = Answer()
    said.read(client.logs(container, tail=tail, stream=True, follow=False), SHORT_TIMEOUT)
    return bytes(said)


def _last_words(container: Container) -> str:
    """What its process 1 has said last, for a human; '' where that cannot be known."""
    with contextlib.suppress(Exception):  # it is only the reason of a failure
        with container.calling("read the log of", SHORT_TIMEOUT) as client:
            said = _logs(client, container.id, tail=5).decode(errors="replace")
        lines = [line.strip() for line in said.splitlines() if line.strip()]
        return " / ".join(lines[-3:])
    return ""
