"""What runs left behind on a Docker-API engine: found by our labels, and by nothing else."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from typing import Any

from docker.errors import APIError, NotFound

from distromatrix.engines.contract import LABEL_RUN, Leftover
from distromatrix.engines.docker.connection.api import Api, listed, remove_container, timestamp
from distromatrix.engines.docker.spec import LABEL_MACHINE, LABEL_STAGE
from distromatrix.engines.layers import LABEL_LAYER
from distromatrix.engines.shell.machine import KEPT

# Podman 4 lists no container while one has lost its network namespace, which it names.
_UNLISTED = re.compile(r"network namespace of container ([0-9a-f]{64})")


def leftovers(api: Api) -> tuple[Leftover, ...]:
    """Containers first, then volumes and networks, kept as long as a kept container needs them.
    Where a broken one keeps the engine from listing them, that one alone, so that it can go.
    Raises EngineUnavailableError."""
    with api.calling("list what runs left behind") as client:
        filters = {"label": LABEL_RUN}
        try:
            containers = listed(lambda: client.containers(all=True, filters=filters))
            volumes = listed(lambda: client.volumes(filters=filters).get("Volumes") or [])
            networks = listed(lambda: client.networks(filters=filters))
        except APIError as error:
            containers, volumes, networks = [_broken(client, error)], [], []
    needed: set[str] = set()
    found: list[Leftover] = []
    for kind, row, labels in _ours(container=containers, volume=volumes, network=networks):
        # One that is just being removed has lost its name; its id serves as well.
        called = row.get("Id" if kind == "container" else "Name")
        name = str(next(iter(row.get("Names") or ()), called) or "").lstrip("/")
        kept = name in needed or "machine " + labels.get(LABEL_MACHINE, "-") in needed
        if kind == "container" and (kept := name.startswith(KEPT)):
            needed |= {*labels.get(LABEL_STAGE, "").split(",")}
            needed |= {"machine " + labels.get(LABEL_MACHINE, "")}
            needed |= set((row.get("NetworkSettings") or {}).get("Networks") or ())
        created = timestamp(row.get("CreatedAt") or row.get("Created"))
        keeper = labels.get(LABEL_LAYER, "") if kind == "volume" else ""
        word = "layer" if keeper else kind
        if name:
            left = Leftover.labelled(word, name, labels, kept=kept, created=created)
            found.append(replace(left, keeper=keeper))
    return tuple(found)


def _broken(client: Any, error: APIError) -> dict[str, Any]:
    """That container of ours for which the engine lists none, as it would list it. Raises the
    error where there is no such."""
    found = _UNLISTED.search(str(error))
    one = client.inspect_container(found[1]) if found else {}
    labels = (one.get("Config") or {}).get("Labels") or {}
    if not labels.get(LABEL_RUN):
        raise error
    return {"Names": [one["Name"]], "Labels": labels, "Created": one["Created"]}


def _ours(**rows: list[dict[str, Any]]) -> Iterator[tuple[str, dict[str, Any], dict[str, str]]]:
    """Those of each kind with our label, and their labels. What is half gone lacks some."""
    for kind, of_kind in rows.items():
        for row in of_kind:
            labels = {str(k): str(v) for k, v in (row.get("Labels") or {}).items()}
            if labels.get(LABEL_RUN):
                yield kind, row, labels


def remove(api: Api, leftover: Leftover) -> None:
    """Remove it by force, if it still carries our label. Raises InfrastructureError."""
    with api.calling(f"remove {leftover.name}") as client, contextlib.suppress(NotFound):
        inspect, take = {
            "container": (client.inspect_container, partial(remove_container, client)),
            "network": (client.inspect_network, client.remove_network),
            "volume": (client.inspect_volume, partial(client.remove_volume, force=True)),
        }["volume" if leftover.kind == "layer" else leftover.kind]
        found = inspect(leftover.name)
        labels = found.get("Labels") or (found.get("Config") or {}).get("Labels") or {}
        if not labels.get(LABEL_RUN):
            return
        try:
            take(leftover.name)
        except APIError as error:
            # 409 'already in progress': somebody else is removing it at this moment.
            if "already in progress" not in str(error):
                raise
