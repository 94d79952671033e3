"""The attached standard streams of a container or of an exec, as a shell's Stream."""

from __future__ import annotations

import contextlib
import socket
import struct
from typing import Any

from distromatrix.engines.contract import API_TIMEOUT

_HEADER = struct.Struct(">B3xL")


class AttachStream:
    """Takes apart the frames of Docker's attach protocol (8 bytes of header: the stream, three
    zeros, the size as a big-endian 32-bit number; see ContainerAttach in the Engine API)."""

    def __init__(self, attached: Any) -> None:
        # docker-py gives a SocketIO around a unix socket, and sockets or channels otherwise.
        # The outer object is kept too: where it is collected, the connection closes.
        self._attached = attached
        self._socket = getattr(attached, "_sock", attached)
        self._held = b""  # of a header that is not whole yet
        self._left = 0
        self._kind = 0

    def send(self, data: bytes) -> None:
        """See Stream."""
        self._socket.settimeout(API_TIMEOUT)
        self._socket.sendall(data)

    def receive(self, timeout: float | None) -> list[tuple[int, bytes]]:
        """See Stream. An interrupted connection is an end too: only an inspection can tell
        why."""
        while True:
            self._socket.settimeout(timeout)
            try:
                data = self._socket.recv(1 << 18)
            except TimeoutError:
                raise
            except (OSError, ValueError):
                return []
            if not data:
                return []
            if pieces := self._demultiplex(data):
                return pieces

    def shutdown(self) -> None:
        """See Stream."""
        with contextlib.suppress(Exception):
            self._socket.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        """See Stream."""
        # The response of HTTP first: collected after its socket, it complains of that.
        for one in (getattr(self._attached, "_response", None), self._attached, self._socket):
            with contextlib.suppress(Exception):
                if one is not None:
                    one.close()

    def _demultiplex(self, data: bytes) -> list[tuple[int, bytes]]:
        pieces: list[tuple[int, bytes]] = []
        data, at = self._held + data, 0
        while at < len(data) and (self._left or len(data) - at >= _HEADER.size):
            if not self._left:
                self._kind, self._left = _HEADER.unpack_from(data, at)
                at += _HEADER.size
            if part := data[at : at + self._left]:
                pieces.append((self._kind, part))
            at += len(part)
            self._left -= len(part)
        self._held = data[at:]
        return pieces
