"""Files into a container and out of it, as tar streams."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from itertools import chain
from time import sleep
from typing import IO

from docker.errors import NotFound

from distromatrix.engines.docker.connection.api import LONG_TIMEOUT, Api
from distromatrix.engines.docker.staging.archive import has_path, without_padding
from distromatrix.errors import InfrastructureError

# Podman gives nothing of a container that ends in that moment, not even a tar's end.
_ASKED = 20


def put_files(
    api: Api, name: str, container: str, tar: bytes | IO[bytes] | Iterator[bytes], path: str
) -> None:
    """Extract `tar`, which may come in pieces, below the folder `path`. Raises
    FileNotFoundError, InfrastructureError."""
    missing = False
    with api.calling(f"put files into {name}", LONG_TIMEOUT) as client:
        try:
            if api.dialect.makes_folders:
                has_path(client, container, path)
                tar = without_padding(tar)
            client.put_archive(container, path, tar)
        except NotFound:
            missing = True
    if missing:
        raise FileNotFoundError(f"{name}:{path}")


def get_files(api: Api, name: str, container: str, path: str) -> Iterator[bytes]:
    """A tar stream of `path`. Raises FileNotFoundError at once, InfrastructureError also while
    it is read."""
    for patience in reversed(range(_ASKED)):
        stream: Iterator[bytes] | None = None
        with api.calling(f"get files from {name}") as client, contextlib.suppress(NotFound):
            stream, _ = client.get_archive(container, path, encode_stream=False)
        if stream is None:
            raise FileNotFoundError(f"{name}:{path}")
        content = _translated(api, name, stream)
        if first := next(content, b""):
            return chain((first,), content)
        if patience:
            sleep(0.1)
    raise InfrastructureError(f"cannot get files from {name}: the engine gives nothing of {path}")


def _translated(api: Api, name: str, stream: Iterator[bytes]) -> Iterator[bytes]:
    while True:
        with api.calling(f"get files from {name}"):
            data = next(stream, None)
        if data is None:
            return
        yield data
