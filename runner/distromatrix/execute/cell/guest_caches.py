"""The caches of a guest: it gets a copy of what containers share, and what it has added is put into
that again. What comes out of a guest is hostile."""

from __future__ import annotations

import shlex
import tempfile
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from itertools import chain

from distromatrix.collect.errors import CollectError
from distromatrix.collect.plain_tar import plain_tar
from distromatrix.collect.text import one_line
from distromatrix.engines.answer import Answer
from distromatrix.engines.cache_store import Cache, CacheStore
from distromatrix.engines.caches import home_folders
from distromatrix.engines.contract import API_TIMEOUT, Command, Machine
from distromatrix.errors import InfrastructureError

MOST = 512 * 1024**2  # bytes of a cache that is carried
_MARK = ".caches"  # in Machine.out: as old as what was brought in
_CHUNK = 1 << 20


@dataclass(frozen=True, slots=True)
class GuestCaches:
    """Those of a guest . `labels`: of what carries them."""

    store: CacheStore
    caches: tuple[Cache, ...]
    labels: Mapping[str, str]

    def bring_in(self, machine: Machine, user: str) -> None:
        """Before its first command; what is too big stays. Raises InfrastructureError."""
        if not self.caches:
            return
        if made := home_folders(user, self.caches):
            machine.put(made, "/")
        for cache in self.caches:
            content = self.store.read(cache, self.labels)
            if first := next(content, b""):
                with tempfile.TemporaryFile() as file, suppress(CollectError):
                    file.writelines(plain_tar(chain((first,), content), MOST))
                    file.seek(0)
                    machine.put(file, cache.path)
        machine.run(Command(f": >{machine.out}/{_MARK}", timeout=API_TIMEOUT))

    def put_back(self, machine: Machine) -> tuple[str, ...]:
        """What was added, while nothing writes to it. One line for each that could not be."""
        said = []
        for cache in self.caches:
            try:
                if not cache.private and _has_news(machine, cache.path):
                    self._put_back(machine, cache)
            except (CollectError, InfrastructureError, FileNotFoundError) as error:
                why = one_line(str(error))
                said.append(f"the cache {cache.path} was not kept: {why}")
        return tuple(said)

    def _put_back(self, machine: Machine, cache: Cache) -> None:
        with tempfile.TemporaryFile() as file:
            file.writelines(plain_tar(machine.get(f"{cache.path}/."), MOST))  # whole, or not at all
            file.seek(0)
            chunks = iter(partial(file.read, _CHUNK), b"")
            self.store.write(cache, self.labels, chunks)


def _has_news(machine: Machine, path: str) -> bool:
    said = Answer()
    script = f"find {shlex.quote(path)} -newer {machine.out}/{_MARK} | head -n 1"
    machine.run(Command(script, timeout=API_TIMEOUT, output=said))
    return bool(str(said))
