"""Whether an engine answers on a Unix socket: asked without a library, and never for long."""

from __future__ import annotations

import socket
from pathlib import Path

from distromatrix.files.own import require_peer

_PING = b"GET /_ping HTTP/1.0\r\nHost: engine\r\n\r\n"


def ping(path: Path, timeout: float = 5.0, *, own: bool = False) -> bool:
    """Whether an engine answers on that Unix socket. Raises PermissionError when it may be
    there but we have no rights, or, of one that is to be our `own`, another user answers; never
    waits longer than `timeout` seconds a step."""
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(timeout)
        try:
            connection.connect(str(path))
            if own:
                require_peer(connection)
            connection.sendall(_PING)
            return b" 200 " in connection.recv(64)
        except PermissionError:
            raise
        except OSError:
            return False


def answers(path: Path, timeout: float = 5.0, *, own: bool = False) -> bool:
    """As `ping`; one that refuses us does not answer."""
    try:
        return ping(path, timeout, own=own)
    except PermissionError:
        return False
