"""Files into a container and out of it, as tar streams."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Iterator
from itertools import chain
from time import sleep
from typing import IO

from docker.errors import NotFound

from distromatrix.engines.docker_api import LONG_TIMEOUT, Api
from distromatrix.engines.docker_archive import has_path, without_padding
from distromatrix.engines.docker_shells import signal_all
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


def get_still(api: Api, name: str, container: str, path: str) -> Iterator[bytes]:
    """The same, while all that runs in it stands still: Podman's archive ends at a file that
    grows, Docker's at one that shrinks. Not by the engine's own pause: Podman finds no volumes in
    a container that is paused. Raises as `get_files` does."""

    def signal(which: str) -> None:
        with contextlib.suppress(InfrastructureError):
            signal_all(api, name, container, which)

    signal("STOP")
    try:
        stream = get_files(api, name, container, path)
    except BaseException:
        signal("CONT")
        raise
    return until_read(stream, lambda: signal("CONT"))


def until_read(stream: Iterable[bytes], then: Callable[[], None]) -> Iterator[bytes]:
    """The stream; `then` is called at its end, or when it is let go of."""
    try:
        yield from stream
    finally:
        then()


def _translated(api: Api, name: str, stream: Iterator[bytes]) -> Iterator[bytes]:
    while True:
        with api.calling(f"get files from {name}"):
            data = next(stream, None)
        if data is None:
            return
        yield data
