"""Where workers ask for the address of the bench. It costs a socket and a thread: what a bench
is made of is imported when the first worker knocks, and in most sessions none does."""

from __future__ import annotations

import os
import shutil
import socket
import tempfile
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from threading import Thread

from distromatrix.files.own import is_own, require_peer

_PREFIX = "distromatrix-"
_LONGEST = 108 - 48  # bytes; the rest is for our folder's name and that of a socket in it
KNOCK_TIMEOUT = 60.0  # seconds that a worker waits for an answer


class Rendezvous:
    """An open door. `answer` gives the address that is told to those who knock; it is asked in a
    thread, each time, with a folder for the owner alone that goes when the door is closed."""

    def __init__(self, answer: Callable[[Path], str]) -> None:
        self._answer = answer
        self.folder = _short_folder()
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.address = str(self.folder / "door")
        unopened = f"{self.address}-"
        self._socket.bind(unopened)
        self._socket.listen(64)
        Path(unopened).rename(self.address)  # so who finds one that refuses finds a dead one's
        Thread(target=self._serve, daemon=True, name="distromatrix-door").start()

    def _serve(self) -> None:
        while True:
            try:
                one, _ = self._socket.accept()
            except OSError:  # closed
                return
            with one, suppress(OSError):
                require_peer(one)
                one.sendall(self._answer(self.folder).encode())

    def close(self) -> None:
        """Close it, and remove its folder with all that lies in it."""
        with suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()
        shutil.rmtree(self.folder, ignore_errors=True)


def dead_doors() -> Iterator[Path]:
    """Folders of doors whose process was killed: no one listens there any more."""
    for parent in dict.fromkeys(_places()):
        for door in Path(parent).glob(f"{_PREFIX}*/door"):
            if not is_own(door.parent):
                continue
            with suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as one:
                one.settimeout(1.0)
                try:
                    one.connect(str(door))
                except ConnectionRefusedError:
                    yield door.parent


def sweep_doors() -> None:
    """Remove them."""
    for folder in dead_doors():
        shutil.rmtree(folder, ignore_errors=True)


def _places() -> tuple[str, ...]:
    return tempfile.gettempdir(), "/tmp", "/var/tmp"  # noqa: S108 - our folders are mkdtemp's


def _short_folder() -> Path:
    """A folder of our own among temporary ones, whose path is short enough for sockets in it:
    sockaddr_un(7) has room for 108 bytes, and $TMPDIR may be longer. Raises OSError."""
    refused: OSError | None = None
    for parent in _places():
        if len(os.fsencode(parent)) > _LONGEST:
            continue
        try:
            return Path(tempfile.mkdtemp(prefix=_PREFIX, dir=parent))
        except OSError as error:
            refused = error
    raise refused or FileNotFoundError("no temporary folder with a short enough path")


def knock(door: str) -> str:
    """The address that a door's owner tells. Raises OSError."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as one:
        one.settimeout(KNOCK_TIMEOUT)
        one.connect(door)
        require_peer(one)
        said = bytearray()
        while more := one.recv(4096):
            said += more
    if not said:
        raise ConnectionError("it returned no address")
    return said.decode()
