"""What an installation needs of the network is looked for among what was downloaded before, and
kept for the next one.

A machine is never given what it has not asked for by a digest, and it asks before anything of the
suite has run in it, by an index that its tool has checked; what it gets are copies. What comes out
of it is kept under the digest of what it is.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping
from itertools import islice

from distromatrix.collect.errors import CollectError
from distromatrix.engines.answer import Answer
from distromatrix.engines.contract import MOUNT, Machine
from distromatrix.errors import InfrastructureError
from distromatrix.images.layer.step import Step
from distromatrix.images.packages import PackageManager
from distromatrix.images.packages.base import filled
from distromatrix.images.store.downloads import ARRIVED, Downloads

_MOST = 1024 * 1024  # bytes of a list: as a script it must fit into one call
_MOST_FILES = 5_000
_WANTED = re.compile(rb"^([0-9A-Za-z_=-]{30,128}) (/[\x21-\x7e]{1,1000})$", re.MULTILINE)
_FOLDER = f"{MOUNT}/{ARRIVED}"
_TAKE = f"""\
rm -rf {_FOLDER}; mkdir -p {_FOLDER}
take() {{ if [ -f "$2" ]; then ln "$2" "{_FOLDER}/$1" 2>/dev/null || cp "$2" "{_FOLDER}/$1"; fi; }}
"""
_TAKEN = f"rm -rf {_FOLDER}; rmdir {MOUNT} 2>/dev/null || :"


class Downloading:
    """The files of one installation. `given` and `fetched`: how many came from here and from the
    network; `spared`: the bytes that did not."""

    def __init__(self, store: Downloads, machine: Machine, step: Step) -> None:
        self._store = store
        self._machine = machine
        self._step = step
        self._missing: dict[str, str] = {}  # digest -> path
        self.given = self.fetched = self.spared = 0

    def run(self, manager: PackageManager, packages: tuple[str, ...]) -> int | None:
        """Have all of it downloaded. The status of the script that failed, or 0. Raises
        ImageError."""
        for download in manager.downloads:
            said = Answer(_MOST)
            ended = self._step.run(self._machine, filled(download.wants, packages), answer=said)
            if ended.status != 0:
                return ended.status
            wanted = _wanted(bytes(said))
            had = self._give(wanted, manager)
            self._missing |= {digest: wanted[digest] for digest in wanted.keys() - had}
            ended = self._step.run(self._machine, filled(download.gets, packages))
            if ended.status != 0:
                return ended.status
        if self._missing:
            self._keep(manager)
        return 0

    @property
    def told(self) -> str:
        """What is worth a word, or ''."""
        if not self.given:
            return ""
        new = f", {self.fetched} downloaded" if self.fetched else ""
        return f"{self.given} files ({self.spared / 1e6:.0f} MB) kept from before{new}"

    def _give(self, wanted: Mapping[str, str], manager: PackageManager) -> set[str]:
        """Put what there is into the machine. A store that cannot be used stops nobody."""
        try:
            with self._store.given(wanted, manager.digest) as given:
                if given.digests:
                    self._machine.put(given.tar, "/")
        except OSError:
            return set()
        self.given += len(given.digests)
        self.spared += given.bytes
        return given.digests

    def _keep(self, manager: PackageManager) -> None:
        """Take what was downloaded out of the machine, if there is room for it."""
        taken = (f"take {digest} {shlex.quote(path)}\n" for digest, path in self._missing.items())
        self._step.must(self._machine, _TAKE + "".join(taken))
        try:
            tar = self._machine.get(_FOLDER)
            self.fetched = self._store.keep(tar, set(self._missing), manager.digest)
        except (OSError, CollectError):
            pass
        except InfrastructureError as error:
            if not isinstance(error.__cause__, OSError):  # else it is of this host's disk
                raise
        self._step.must(self._machine, _TAKEN)


def _wanted(said: bytes) -> dict[str, str]:
    """Paths by their digests, as a machine says them."""
    found = islice(_WANTED.finditer(said), _MOST_FILES)
    pairs = ((one[1].decode(), one[2].decode()) for one in found)
    return {digest: path for digest, path in pairs if ".." not in path.split("/")}
