"""The virtio-serial ports of a direct guest: for each an open socket of QEMU's in its folder.

A shell has two, one for its input and stdout and one for its stderr. See LAYOUT: the guest finds
a port by its number (`/dev/vport*pN`), we by its socket's name."""

from __future__ import annotations

import os
import secrets
import socket
import time
from collections.abc import Callable
from pathlib import Path
from threading import Condition

from distromatrix.engines.guest.stream import SocketStream
from distromatrix.engines.shell.shell import STDOUT
from distromatrix.files.own import require_peer

CONTROL, EVENTS, DATA = 1, 2, 3
_FIRST = 4
SHELLS = 13  # the bus has 31 ports, of which 0 is the console's
# Of those for the commands at once of its opener: who ends a command must not wait for one.
USER_SHELLS, ROOT_SHELLS = 9, 4
NUMBERS = range(1, _FIRST + 2 * SHELLS)
FIRST_SHELL = 0  # the one that is open in a saved guest


def socket_name(number: int) -> str:
    """The socket of a port, in the machine's folder."""
    return f"p{number}"


def connect_in(folder: Path, name: str, within: float = 10.0) -> socket.socket:
    """A connection to a socket in a folder whose path may be longer than the 108 bytes that
    sockaddr_un(7) has room for. Raises OSError when it is not there in time."""
    until = time.monotonic() + within
    directory = os.open(folder, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        while True:
            one = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            try:
                one.connect(f"/proc/self/fd/{directory}/{name}")
                require_peer(one)
                return one
            except OSError:
                one.close()
                if time.monotonic() > until:
                    raise
                time.sleep(0.003)
    finally:
        os.close(directory)


class Lent(SocketStream):
    """The stream of a shell. A port does not tell that the guest has closed it: `token` is what
    the guest says last. `process`: what all of it descends from in the guest."""

    def __init__(
        self, out: socket.socket, err: socket.socket, *, slot: int, token: str = ""
    ) -> None:
        super().__init__(out, err)
        self.slot = slot
        self.token = token or f"end-{secrets.token_hex(12)}"
        self.process = 0
        self.on_close: Callable[[Lent], None] = lambda lent: lent.let_go()
        self._tail = b""
        self._over = False

    def receive(self, timeout: float | None) -> list[tuple[int, bytes]]:
        """See Stream."""
        if self._over:
            return []
        pieces = super().receive(timeout)
        last = self.token.encode() + b"\n"
        for kind, data in pieces:
            if kind == STDOUT:
                self._tail = (self._tail + data)[-len(last) :]
        if self._tail == last:
            self._over = True
            kept = [(k, d.removesuffix(last)) for k, d in pieces]
            return [(k, d) for k, d in kept if d]
        return pieces

    def let_go(self) -> None:
        """Close the sockets. Never raises."""
        super().close()

    def close(self) -> None:
        """See Stream."""
        done, self.on_close = self.on_close, lambda lent: lent.let_go()
        done(self)


class PortSlots:
    """Which shells' ports are free. Thread-safe."""

    def __init__(self) -> None:
        self._free = list(range(SHELLS))
        self._changed = Condition()

    def take(self, within: float = 0.0) -> int | None:
        """The one that has been free for longest; None where none is within so many seconds."""
        with self._changed:
            self._changed.wait_for(lambda: self._free, timeout=within)
            return self._free.pop(0) if self._free else None

    def give_back(self, slot: int) -> None:
        """It may be used again."""
        with self._changed:
            self._free.append(slot)
            self._changed.notify()


def ports_of(slot: int) -> tuple[int, int]:
    """The numbers of a shell's two ports."""
    return _FIRST + 2 * slot, _FIRST + 2 * slot + 1
