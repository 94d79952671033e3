"""Files into a container and out of it, as tar streams."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from tarfile import BLOCKSIZE, NUL
from time import sleep
from typing import IO, Any

from docker.errors import NotFound

from distromatrix.engines.docker.connection.api import LONG_TIMEOUT, pieces
from distromatrix.engines.docker.container import Container
from distromatrix.errors import InfrastructureError

# Podman gives nothing of a container that ends in that moment, not even a tar's end.
_ASKED = 20
_CHUNK = 1 << 20
_SIZE = slice(124, 136)  # of a header: octal, or from its first bit set on big-endian (tar(5))


def put_files(container: Container, tar: bytes | IO[bytes] | Iterator[bytes], path: str) -> None:
    """Extract `tar`, which may come in pieces, below the folder `path`. Raises
    FileNotFoundError, InfrastructureError."""
    missing = False
    with container.calling("put files into", LONG_TIMEOUT) as client:
        try:
            if container.api.dialect.makes_folders:
                _has_path(client, container.id, path)
                tar = without_padding(tar)
            client.put_archive(container.id, path, tar)
        except NotFound:
            missing = True
    if missing:
        raise FileNotFoundError(f"{container.name}:{path}")


def get_files(container: Container, path: str) -> Iterator[bytes]:
    """A tar stream of `path`. Raises FileNotFoundError at once, InfrastructureError also while
    it is read."""
    for patience in reversed(range(_ASKED)):
        stream: Iterator[bytes] | None = None
        with container.calling("get files from") as client, contextlib.suppress(NotFound):
            stream, _ = client.get_archive(container.id, path, encode_stream=False)
        if stream is None:
            raise FileNotFoundError(f"{container.name}:{path}")
        content = pieces(stream, lambda: container.calling("get files from"))
        if first := next(content, b""):
            return _after(first, content)
        if patience:
            sleep(0.1)
    raise InfrastructureError(
        f"cannot get files from {container.name}: the engine gives nothing of {path}"
    )


def _after(first: bytes, rest: Iterator[bytes]) -> Iterator[bytes]:
    """Both; closing it lets go of the container, which waits for that before it ends."""
    yield first
    yield from rest


def _has_path(client: Any, container: str, path: str) -> None:
    """Ask an APIClient for a path in a container; raises its NotFound."""
    url = f"{client.base_url}/v{client.api_version}/containers/{container}/archive"
    client._raise_for_status(client.head(url, params={"path": path}, timeout=client.timeout))


def without_padding(tar: bytes | IO[bytes] | Iterator[bytes]) -> Iterator[bytes]:
    """The same archive, but at most two empty blocks at its end. What reads it for Podman
    leaves when it has seen these, and the zeros after them would break the pipe."""
    source = _Source(tar)
    while len(header := source.take(BLOCKSIZE)) == BLOCKSIZE and header.strip(NUL):
        yield header
        left = -(-_size(header[_SIZE]) // BLOCKSIZE) * BLOCKSIZE
        while left and (data := source.take(min(left, _CHUNK))):
            left -= len(data)
            yield data
    yield bytes(2 * BLOCKSIZE)


def _size(field: bytes) -> int:
    if field[0] & 0x80:
        return int.from_bytes(field) & ~(0x80 << 8 * (len(field) - 1))
    return int(field.strip(b" \0") or b"0", 8)


class _Source:
    """Bytes, a file or pieces, to take so many bytes from at a time."""

    def __init__(self, tar: bytes | IO[bytes] | Iterator[bytes]) -> None:
        if isinstance(tar, bytes):
            tar = iter((tar,))
        self._pieces = tar if isinstance(tar, Iterator) else iter(lambda: tar.read(_CHUNK), b"")
        self._held = bytearray()

    def take(self, size: int) -> bytes:
        """That many bytes; fewer at the end."""
        while len(self._held) < size and (piece := next(self._pieces, b"")):
            self._held += piece
        taken = bytes(self._held[:size])
        del self._held[:size]
        return taken
