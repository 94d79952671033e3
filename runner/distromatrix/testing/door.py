"""Where workers ask for the address of the bench. It costs a socket and a thread: what a bench
is made of is imported when the first worker knocks, and in most sessions none does."""

from __future__ import annotations

import shutil
import socket
import tempfile
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from threading import Thread

KNOCK_TIMEOUT = 60.0  # seconds that a worker waits for an answer


class Door:
    """An open door. `answer` gives the address that is told to those who knock; it is asked in a
    thread, each time, with a folder for the owner alone that goes when the door is closed."""

    def __init__(self, answer: Callable[[Path], str]) -> None:
        self._answer = answer
        self.folder = Path(tempfile.mkdtemp(prefix="distromatrix-"))
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.address = str(self.folder / "door")
        self._socket.bind(self.address)
        self._socket.listen(64)
        Thread(target=self._serve, daemon=True, name="distromatrix-door").start()

    def _serve(self) -> None:
        while True:
            try:
                one, _ = self._socket.accept()
            except OSError:  # closed
                return
            with one, suppress(OSError):
                one.sendall(self._answer(self.folder).encode())

    def close(self) -> None:
        """Close it, and remove its folder with all that lies in it."""
        with suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()
        shutil.rmtree(self.folder, ignore_errors=True)


def knock(door: str) -> str:
    """The address that a door's owner tells. Raises OSError."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as one:
        one.settimeout(KNOCK_TIMEOUT)
        one.connect(door)
        said = bytearray()
        while more := one.recv(4096):
            said += more
    if not said:
        raise ConnectionError("it gave no address")
    return said.decode()
