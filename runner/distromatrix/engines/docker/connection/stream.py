"""The attached standard streams of a container or of an exec, as a shell's Stream."""

from __future__ import annotations

import contextlib
import socket
from typing import Any

from distromatrix.engines.contract import API_TIMEOUT

_HEADER = 8


class AttachStream:
    """Takes apart the frames of Docker's attach protocol (8 bytes of header: the stream, three
    zeros, the size as a big-endian 32-bit number; see ContainerAttach in the Engine API)."""

    def __init__(self, attached: Any) -> None:
        # docker-py gives a SocketIO around a unix socket, and sockets or channels otherwise.
        # The outer object is kept too: where it is collected, the connection closes.
        self._attached = attached
        self._socket = getattr(attached, "_sock", attached)
        self._header = b""
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
        at = 0
        while at < len(data):
            if not self._left:
                need = _HEADER - len(self._header)
                self._header += data[at : at + need]
                at += need
                if len(self._header) == _HEADER:
                    self._kind = self._header[0]
                    self._left = int.from_bytes(self._header[4:])
                    self._header = b""
                continue
            part = data[at : at + self._left]
            at += len(part)
            self._left -= len(part)
            pieces.append((self._kind, part))
        return pieces
