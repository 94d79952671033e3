"""The product on its way into a container."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO

from distromatrix.engines.answer import Answer
from distromatrix.engines.contract import OUT_FOLDERS, Command
from distromatrix.engines.docker.connection.api import LONG_TIMEOUT
from distromatrix.engines.docker.machine import DockerMachine
from distromatrix.engines.parcel import FILL, ROOT, Parcel, folders, header, headers
from distromatrix.engines.shell.homes import HOME
from distromatrix.errors import InfrastructureError

_BIG = 1 << 20  # bytes of tar of which no second is made here to spare a round trip
_HOME = HOME.rpartition("/")[2]


class StagedProduct(Parcel):
    """The product's snapshot. Once `ended` is set, handing it over breaks off, however big it is:
    the engine does not remove a container while it puts files into it."""

    def __init__(self, snapshot: Callable[[], Path]) -> None:
        super().__init__(snapshot)
        self.ended = threading.Event()
        self._leads_out = False  # links do, so that Docker takes it only below the root folder

    def fill(
        self, machine: DockerMachine, path: str, owner: str, name: str, more: tuple[str, ...] = ()
    ) -> None:
        """Put it, `out` with its empty folders and a home, all of it `owner`'s, into the folder
        `name` below `path`, which is made; beside that `more` empty folders of root's. Raises
        InfrastructureError, also when it breaks off."""
        where = f"{path.rstrip('/')}/{name}"
        if self.size > _BIG and not self._leads_out:
            beside = headers(ROOT, more)
            machine.put(beside + folders(owner, (name,)), path)  # then it goes as it lies
            try:
                self._put(machine, where, owner, "")
                return
            except InfrastructureError as error:
                # Docker refuses relative links that lead out of the folder it extracts to.
                if "invalid symlink" not in str(error):
                    raise
                self._leads_out = True
        below = path.lstrip("/")
        head = headers(ROOT, [f"{below}/{one}" for one in more])
        self._put(machine, "/", owner, f"{where.lstrip('/')}/", head)

    def _put(
        self, machine: DockerMachine, path: str, owner: str, prefix: str, head: bytes = b""
    ) -> None:
        with self.open(owner, prefix) as tar:
            machine.put(self._chunks(head + beside(owner, prefix), tar), path)

    def _chunks(self, head: bytes, tar: IO[bytes]) -> Iterator[bytes]:
        yield head
        while data := tar.read(1 << 20):
            if self.ended.is_set():
                raise InfrastructureError("the product's copy is not needed any more")
            yield data

    def make_holes(self, machine: DockerMachine, path: str) -> None:
        """Where it was filled, in a container that runs, if there are files with holes. Raises
        InfrastructureError."""
        if not self.holes:
            return
        said = Answer()
        done = machine.run(Command(FILL, cwd=path, timeout=LONG_TIMEOUT, output=said))
        if done.status != 0:
            words = str(said) or f"status {done.status}"
            raise InfrastructureError(f"{machine.name}: the product's files with holes: {words}")

    def close(self) -> None:
        """Break off, and forget what was made for it."""
        self.ended.set()
        super().close()


def beside(owner: str, prefix: str) -> bytes:
    """What is there beside the product, as members of a tar that goes on."""
    top = (prefix.rstrip("/"),) if prefix else ()
    out = (f"{prefix}out", *(f"{prefix}out/{name}" for name in OUT_FOLDERS))
    home = b"" if owner == ROOT else header(owner, prefix + _HOME, 0o700)
    return headers(owner, (*top, *out)) + home
