"""What runs left behind on a Docker-API engine: found by our labels, and by nothing else."""

from __future__ import annotations

import contextlib
from datetime import datetime
from typing import Any

from docker.errors import APIError, NotFound

from distromatrix.engines.base import LABEL_FOLDER, LABEL_HOST, LABEL_RUN, Leftover
from distromatrix.engines.docker_api import Api, remove_container
from distromatrix.engines.docker_machine import KEPT
from distromatrix.engines.docker_spec import LABEL_MACHINE, LABEL_STAGE


def leftovers(api: Api) -> tuple[Leftover, ...]:
    """Containers first, then volumes; a volume is kept as long as a kept container needs it.
    Raises EngineUnavailableError."""
    with api.calling("list what runs left behind") as client:
        filters = {"label": LABEL_RUN}
        containers = [
            c for c in client.containers(all=True, filters=filters) if c["Labels"][LABEL_RUN]
        ]
        volumes = client.volumes(filters=filters).get("Volumes") or []
    needed: set[str] = set()
    found: list[Leftover] = []
    for container in containers:
        name, labels = container["Names"][0].lstrip("/"), container["Labels"]
        kept = name.startswith(KEPT)
        if kept:
            needed |= {labels.get(LABEL_STAGE, ""), "machine " + labels.get(LABEL_MACHINE, "")}
        found.append(_leftover("container", name, labels, kept, float(container["Created"])))
    for volume in volumes:
        name, labels = volume["Name"], volume["Labels"]
        kept = name in needed or "machine " + labels.get(LABEL_MACHINE, "-") in needed
        created = _timestamp(volume.get("CreatedAt", ""))
        found.append(_leftover("volume", name, labels, kept, created))
    return tuple(found)


def remove(api: Api, leftover: Leftover) -> None:
    """Remove it by force, if it still carries our label. Raises InfrastructureError."""
    with api.calling(f"remove {leftover.name}") as client, contextlib.suppress(NotFound):
        if leftover.kind == "container":
            labels = client.inspect_container(leftover.name)["Config"]["Labels"]
        else:
            labels = client.inspect_volume(leftover.name)["Labels"]
        if not (labels or {}).get(LABEL_RUN):
            return
        try:
            if leftover.kind == "container":
                remove_container(client, leftover.name)
            else:
                client.remove_volume(leftover.name, force=True)
        except APIError as error:
            # 409 'already in progress': somebody else is removing it at this moment.
            if "already in progress" not in str(error):
                raise


def _leftover(kind: str, name: str, labels: dict[str, Any], kept: bool, created: float) -> Leftover:
    return Leftover(
        kind=kind,
        name=name,
        run=labels[LABEL_RUN],
        folder=labels.get(LABEL_FOLDER, ""),
        host=labels.get(LABEL_HOST, ""),
        kept=kept,
        created=created,
    )


def _timestamp(text: str) -> float:
    try:
        return datetime.fromisoformat(text).timestamp()
    except ValueError:
        return 0.0
