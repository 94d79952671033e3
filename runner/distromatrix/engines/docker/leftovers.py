"""What runs left behind on a Docker-API engine: found by our labels, and by nothing else."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from datetime import datetime
from typing import Any

from docker.errors import APIError, NotFound

from distromatrix.engines.contract import LABEL_FOLDER, LABEL_HOST, LABEL_RUN, Leftover
from distromatrix.engines.docker.connection.api import Api, listed, remove_container
from distromatrix.engines.docker.spec import LABEL_MACHINE, LABEL_STAGE
from distromatrix.engines.shell.machine import KEPT


def leftovers(api: Api) -> tuple[Leftover, ...]:
    """Containers first, then volumes and networks, kept as long as a kept container needs them.
    Raises EngineUnavailableError."""
    with api.calling("list what runs left behind") as client:
        filters = {"label": LABEL_RUN}
        containers = listed(lambda: client.containers(all=True, filters=filters))
        volumes = listed(lambda: client.volumes(filters=filters).get("Volumes") or [])
        networks = listed(lambda: client.networks(filters=filters))
    needed: set[str] = set()
    found: list[Leftover] = []
    for container, labels in _ours(containers):
        # One that is just being removed has lost its name; its id serves as well.
        name = str(next(iter(container.get("Names") or ()), container.get("Id") or "")).lstrip("/")
        kept = name.startswith(KEPT)
        if kept:
            needed |= {labels.get(LABEL_STAGE, ""), "machine " + labels.get(LABEL_MACHINE, "")}
            needed |= set((container.get("NetworkSettings") or {}).get("Networks") or ())
        created = _seconds(container.get("Created"))
        found.append(_leftover("container", name, labels, kept, created))
    for volume, labels in _ours(volumes):
        name = str(volume.get("Name") or "")
        kept = name in needed or "machine " + labels.get(LABEL_MACHINE, "-") in needed
        created = _seconds(volume.get("CreatedAt"))
        found.append(_leftover("volume", name, labels, kept, created))
    for network, labels in _ours(networks):
        name = str(network.get("Name") or "")
        created = _seconds(network.get("Created"))
        found.append(_leftover("network", name, labels, name in needed, created))
    return tuple(one for one in found if one.name)


def _ours(rows: list[dict[str, Any]]) -> Iterator[tuple[dict[str, Any], dict[str, str]]]:
    """Those with our label, and their labels. What is half gone lacks this and that."""
    for row in rows:
        labels = {str(k): str(v) for k, v in (row.get("Labels") or {}).items()}
        if labels.get(LABEL_RUN):
            yield row, labels


def remove(api: Api, leftover: Leftover) -> None:
    """Remove it by force, if it still carries our label. Raises InfrastructureError."""
    with api.calling(f"remove {leftover.name}") as client, contextlib.suppress(NotFound):
        if leftover.kind == "container":
            labels = (client.inspect_container(leftover.name).get("Config") or {}).get("Labels")
        elif leftover.kind == "network":
            labels = client.inspect_network(leftover.name).get("Labels")
        else:
            labels = client.inspect_volume(leftover.name).get("Labels")
        if not (labels or {}).get(LABEL_RUN):
            return
        try:
            if leftover.kind == "container":
                remove_container(client, leftover.name)
            elif leftover.kind == "network":
                client.remove_network(leftover.name)
            else:
                client.remove_volume(leftover.name, force=True)
        except APIError as error:
            # 409 'already in progress': somebody else is removing it at this moment.
            if "already in progress" not in str(error):
                raise


def _leftover(kind: str, name: str, labels: dict[str, str], kept: bool, created: float) -> Leftover:
    return Leftover(
        kind=kind,
        name=name,
        run=labels[LABEL_RUN],
        folder=labels.get(LABEL_FOLDER, ""),
        host=labels.get(LABEL_HOST, ""),
        kept=kept,
        created=created,
    )


def _seconds(said: object) -> float:
    """Since 1970, of a number or a date; 0 of anything else."""
    try:
        if isinstance(said, int | float):
            return float(said)
        return datetime.fromisoformat(str(said)).timestamp()
    except (ValueError, OverflowError):
        return 0.0
