"""A shell in a guest, through sockets."""

from __future__ import annotations

import contextlib
import select
import socket

from distromatrix.engines.contract import API_TIMEOUT
from distromatrix.engines.shell.shell import STDERR, STDOUT

_PIECE = 1 << 18


class SocketStream:
    """See Stream: what goes through a socket, or through another one for stderr, too. It ends when
    all have ended."""

    def __init__(self, out: socket.socket, err: socket.socket | None = None) -> None:
        self.sockets = tuple(one for one in (out, err) if one is not None)
        self._out = out
        self._open = {one.fileno() for one in self.sockets}
        self._poll = select.poll()
        for number in self._open:
            self._poll.register(number, select.POLLIN)

    def send(self, data: bytes) -> None:
        """See Stream."""
        self._out.settimeout(API_TIMEOUT)
        try:
            self._out.sendall(data)
        except TimeoutError as error:  # no command's own timeout, which is told by that name
            raise OSError(f"nobody reads what was sent within {API_TIMEOUT:.0f} s") from error

    def receive(self, timeout: float | None) -> list[tuple[int, bytes]]:
        """See Stream."""
        if not self._open:  # nothing would end a poll of none
            return []
        try:
            ready = self._poll.poll(None if timeout is None else max(1, timeout * 1000))
        except OSError:
            return []
        if not ready:
            raise TimeoutError
        pieces = []
        for number, _ in ready:
            kind = STDOUT if number == self._out.fileno() else STDERR
            one = self._out if kind == STDOUT else self.sockets[-1]
            try:
                data = one.recv(_PIECE, socket.MSG_DONTWAIT)
            except BlockingIOError:
                continue
            except OSError:
                data = b""  # reset by who had not read all: its end, and no other stream's
            if data:
                pieces.append((kind, data))
            elif number in self._open:
                self._open.remove(number)
                self._poll.unregister(number)
        return pieces or self.receive(timeout)

    def shutdown(self) -> None:
        """See Stream."""
        for one in self.sockets:
            with contextlib.suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        """See Stream."""
        self.shutdown()
        for one in self.sockets:
            one.close()
