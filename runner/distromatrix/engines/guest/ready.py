"""What is kept ready for guests: disks, and guests that have booted, saved.

Each lies in a folder `distromatrix-template-…`, the name of which is made of all that goes into
it. Its `lock` is held by whoever makes or uses it; what nobody has used for long goes.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, suppress
from pathlib import Path
from typing import Any, TypeVar

from distromatrix.engines.contract import Leftover
from distromatrix.engines.guest.disk import bytes_of, remove_tree
from distromatrix.errors import InfrastructureError
from distromatrix.files.lock import InUseError, hold_in, is_there, take
from distromatrix.files.user_folders import host_name
from distromatrix.files.whole import changed_at, read_json, write_whole

PREFIX = "distromatrix-template-"
DONE = "done.json"  # written last: what has none is not whole
_GONE = f"{PREFIX}gone-"  # then the process that removes it
_LOCK = "lock"  # as a run folder's, so that `record.folder.is_alive` can be asked

Made = TypeVar("Made")


def read_facts(folder: Path) -> dict[str, Any] | None:
    """What was written of it when it was done; None where it is not."""
    facts: dict[str, Any] | None = read_json(folder / DONE)
    return facts


class Store:
    """Those of one folder. Safe to use from several threads and processes. `end` ends and removes
    what one of them has outside of its folder, also of one whose maker was killed; `kind`: what
    they are listed as."""

    def __init__(
        self, folder: Path, end: Callable[[Path], None], *, kind: str = "template"
    ) -> None:
        self.folder = folder
        self._end = end
        self._kind = kind

    @contextmanager
    def hold(
        self,
        name: str,
        make: Callable[[Path], Mapping[str, object]],
        read: Callable[[Path], Made | None],
        absent: Callable[[], None] = lambda: None,
    ) -> Iterator[Made]:
        """What `read` gives of it, which is not removed meanwhile. Where that is nothing, `make`
        makes it in its empty folder, and says what is to be written of it; one process at a
        time. `absent` is called where it is not there yet, whoever makes it."""
        folder = self.folder / name
        if not (folder / DONE).exists():
            absent()
        while True:
            with _locked(folder, shared=True):
                if (found := read(folder)) is not None:
                    with suppress(OSError):
                        os.utime(folder / DONE)  # it was used now
                    yield found
                    return
            with _locked(folder):
                if read(folder) is None:
                    self._make(folder, make)

    def _make(self, folder: Path, make: Callable[[Path], Mapping[str, object]]) -> None:
        if any(path.name != _LOCK for path in folder.iterdir()):
            self._discard(folder)  # of one who was killed while he made it; then anew
            return
        self._end(folder)
        try:
            write_whole(folder / DONE, json.dumps(make(folder), default=str))
        except BaseException:
            self.give_up(folder.name)
            raise

    def give_up(self, name: str) -> None:
        """Remove what is half made, by its maker or one who no longer waits for it. Never
        raises."""
        with suppress(InfrastructureError, OSError):
            self._discard(self.folder / name)

    def remove(self, name: str, in_use: Callable[[], bool] = lambda: False) -> None:
        """Remove it, unless it is held, or `in_use`, which is asked once nobody can begin to use
        it. No error if it is gone. Raises InfrastructureError."""
        folder = self.folder / name
        try:
            lock = take(folder / _LOCK, wait=0)
            try:
                if is_there(lock, folder / _LOCK) and not in_use():
                    self._discard(folder)
            finally:
                os.close(lock)
        except (InUseError, FileNotFoundError):
            return
        except OSError as error:
            raise InfrastructureError(f"cannot remove {folder}: {error}") from error

    def _discard(self, folder: Path) -> None:
        self._end(folder)
        # Whoever wants it now makes another: nobody is to see it half there.
        gone = folder.with_name(f"{_GONE}{os.getpid()}-{time.monotonic_ns()}")
        folder.rename(gone)
        remove_tree(gone)

    def list(self, more: Callable[[str], Iterable[Path]] = lambda _: ()) -> tuple[Leftover, ...]:
        """All, whole or not, each made when it was last used; but for those that somebody is
        removing. `more`: what counts to its size besides its folder."""
        found = []
        for folder in sorted(self.folder.glob(f"{PREFIX}*/")):
            used = changed_at(folder / DONE) or changed_at(folder)
            if used and not _is_being_removed(folder):
                found.append(
                    Leftover(
                        kind=self._kind,
                        name=folder.name,
                        run="",
                        folder=str(folder),  # its lock is held by whoever uses it, as a run's is
                        host=host_name(),
                        kept=(folder / DONE).exists(),
                        created=used,
                        size=bytes_of(folder, *more(folder.name)),
                    )
                )
        return tuple(found)


def _locked(folder: Path, *, shared: bool = False) -> AbstractContextManager[None]:
    """Hold the lock of a folder, which is made if need be."""
    return hold_in(lambda: folder.mkdir(parents=True, exist_ok=True), folder / _LOCK, shared=shared)


def _is_being_removed(folder: Path) -> bool:
    process = folder.name.removeprefix(_GONE).partition("-")[0]
    return folder.name.startswith(_GONE) and Path("/proc", process).exists()
