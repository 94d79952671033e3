"""Tar streams into a container of an engine that is particular about them."""

from __future__ import annotations

from collections.abc import Iterator
from tarfile import BLOCKSIZE, NUL
from typing import IO, Any

_CHUNK = 1 << 20
_SIZE = slice(124, 136)  # of a header: octal, or from its first bit set on big-endian (tar(5))


def has_path(client: Any, container: str, path: str) -> None:
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
