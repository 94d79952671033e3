"""Packages and indexes as they were downloaded, kept in a folder of the user's for the next layer
that needs them.

A file's name is its digest, which is looked at whenever it comes in or goes out: whoever brought
it, it is what the digest says. What was not used for long goes, and what was used longest ago
where there is more than so much.
"""

from __future__ import annotations

import os
import shutil
import tarfile
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, BinaryIO, cast

from distromatrix.collect.artifacts import extract
from distromatrix.files.lock import InUseError, take_open
from distromatrix.files.own import make_own
from distromatrix.files.user_folders import cache_path
from distromatrix.files.whole import give_to_caller

DOWNLOADS = "downloads"  # in the user's cache folder
MOST_BYTES = 4 * 1024**3
MOST_FILES = 20_000
UNUSED_AFTER = 30 * 86400.0  # seconds
ARRIVED = "arrived"  # the folder that `keep` takes from a tar's top-level one

Digest = Callable[[IO[bytes]], str]


@dataclass(slots=True)
class Given:
    """Files on their way into a machine: how many, of how many bytes, and the tar of them."""

    tar: BinaryIO
    digests: set[str] = field(default_factory=set)
    bytes: int = 0


@dataclass(frozen=True, slots=True)
class Downloads:
    """The files below `folder`, which is made when it is needed. All methods raise OSError, and
    are safe to call from several processes: a file is there when it is whole, and is never
    changed."""

    folder: Path

    @contextmanager
    def given(self, wanted: Mapping[str, str], digest: Digest) -> Iterator[Given]:
        """A tar of those files that are here, and are what they should be: digest -> path."""
        make_own(self.folder)
        self._sweep()
        with tempfile.TemporaryFile(dir=self.folder) as file:
            given = Given(cast("BinaryIO", file))
            with tarfile.open(fileobj=file, mode="w", format=tarfile.GNU_FORMAT) as tar:
                for name, path in wanted.items():
                    with suppress(FileNotFoundError):
                        self._add(tar, given, name, path, digest)
            file.seek(0)
            yield given

    def _add(
        self, tar: tarfile.TarFile, given: Given, name: str, path: str, digest: Digest
    ) -> None:
        with (self.folder / name).open("rb") as content:
            if digest(content) != name:  # the disk's fault, or somebody's
                (self.folder / name).unlink(missing_ok=True)
                return
            os.utime(content.fileno())
            member = tarfile.TarInfo(path.lstrip("/"))
            member.size, member.mtime = content.tell(), int(time.time())
            content.seek(0)
            tar.addfile(member, content)
        given.digests.add(name)
        given.bytes += member.size

    def keep(self, tar: Iterable[bytes], wanted: set[str], digest: Digest) -> int:
        """Take files from a machine's tar of the folder ARRIVED, each called by its digest; how
        many there were. What is not what it is called, and what was not wanted, is dropped.
        Raises CollectError, and whatever `tar` raises."""
        make_own(self.folder)
        kept = 0
        with (
            self._locked(shared=True),
            tempfile.TemporaryDirectory(prefix=".", dir=self.folder) as place,
        ):
            extract(
                tar,
                Path(place),
                limit_bytes=MOST_BYTES // 2,
                limit_files=MOST_FILES,
                strip=ARRIVED,
                only=tuple(wanted),
            )
            for name in wanted:
                part = Path(place, name)
                if not part.is_file():
                    continue
                with part.open("rb") as content:
                    if digest(content) != name:
                        continue
                part.replace(self.folder / name)
                give_to_caller(self.folder / name)
                kept += 1
        self.tidy()
        return kept

    def tidy(self) -> None:
        """Remove what is there too long or too much, and what a process left that was killed."""
        self._sweep()
        now, left, room = time.time(), MOST_FILES, MOST_BYTES
        with os.scandir(self.folder) as entries:
            found = []
            for entry in entries:
                with suppress(FileNotFoundError):
                    if not entry.name.startswith("."):
                        found.append((entry.stat(follow_symlinks=False), Path(entry)))
        for stat, path in sorted(found, key=lambda one: one[0].st_mtime, reverse=True):
            left, room = left - 1, room - stat.st_size
            if left < 0 or room < 0 or now - stat.st_mtime > UNUSED_AFTER:
                path.unlink(missing_ok=True)

    def _sweep(self) -> None:
        """Remove the folders of processes that were killed while they kept files, if no other keeps
        any now."""
        abandoned = tuple(self.folder.glob(".*"))
        if abandoned:
            with suppress(InUseError), self._locked(wait=0):
                for path in abandoned:
                    shutil.rmtree(path, ignore_errors=True)

    @contextmanager
    def _locked(self, *, shared: bool = False, wait: float | None = None) -> Iterator[None]:
        """Hold a lock on the folder: whoever keeps files shares it. Raises InUseError."""
        fd = os.open(self.folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            take_open(fd, shared=shared, wait=wait)
            yield
        finally:
            os.close(fd)

    def size(self) -> int:
        """Bytes of all files."""
        with suppress(FileNotFoundError):
            return sum(path.stat().st_size for path in self.folder.iterdir() if path.is_file())
        return 0

    def clear(self) -> None:
        """Remove all of it."""
        with suppress(FileNotFoundError):
            shutil.rmtree(self.folder)


def kept_downloads() -> Downloads:
    """This user's."""
    return Downloads(cache_path() / DOWNLOADS)
