"""Containers that hold a volume, so that files can be put into it and got. They are of an empty
image and nothing ever runs in them: no program of an image or a product can write there."""

from __future__ import annotations

import io
import secrets
import tarfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress

from distromatrix.engines.docker.connection.api import Api, remove_container
from distromatrix.engines.docker.container import Container
from distromatrix.engines.docker.images import DockerImages
from distromatrix.errors import InfrastructureError

_EMPTY = "distromatrix/empty:1"


@contextmanager
def holding(api: Api, volume: str, at: str, labels: Mapping[str, str]) -> Iterator[Container]:
    """One that has that volume, which is there, at a path. Raises InfrastructureError."""
    images = DockerImages(api)
    if images.find(_EMPTY) is None:
        nothing = io.BytesIO()
        tarfile.open(fileobj=nothing, mode="w").close()
        images.load_rootfs(io.BytesIO(nothing.getvalue()), _EMPTY, {})
    mount = {"Type": "volume", "Source": volume, "Target": at}
    body = {
        "Image": api.dialect.name(_EMPTY),
        "Entrypoint": [""],
        "Cmd": ["/bin/sh"],
        "Labels": dict(labels),
        "HostConfig": {"NetworkMode": "none", "Mounts": [mount]},
    }
    name = f"{volume}-helper-{secrets.token_hex(6)}"
    with api.noting_full_disk(), api.calling("create a volume's helper") as client:
        made = Container(api, client.create_container_from_config(body, name=name)["Id"], name)
    try:
        yield made
    finally:
        with suppress(InfrastructureError), api.calling(f"remove {name}") as client:
            remove_container(client, made.id)
