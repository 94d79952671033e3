"""A machine in one file: what it is, what has changed in it since its image, and nothing of that
image. It may come from a stranger.

The file is a tar of three members: a header in JSON, always as long; a tar of what is new or
another, gzipped; and the paths that are gone, each with a NUL after it. It is there when it is
whole, and not before.
"""

from __future__ import annotations

import gzip
import json
import re
import tarfile
import time
import zlib
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import IO, cast

from distromatrix import __version__
from distromatrix.collect.errors import CollectError
from distromatrix.engines.changes import Changes, TooMuchError
from distromatrix.errors import InputError
from distromatrix.files.whole import whole_file
from distromatrix.images.store.bundle import (
    BLOCK,
    Bounded,
    Bundle,
    header,
    padding,
    require_whole,
    zipped,
)
from distromatrix.images.store.trees import packed, plain, write_difference

FORMAT = 1
NAME = "machine.tar"
_HEADER, _CONTENT, _GONE = "distromatrix-machine.json", "changes.tar.gz", "gone"
_HEADER_SIZE = 64 * 1024
_MODE = 0o600
_BEFORE = BLOCK + _HEADER_SIZE + BLOCK  # bytes before the content
_CHUNK = 1 << 20
_MOST_GONE = 64 << 20  # bytes of paths
UNPACKED = 16  # times as many bytes as the file may have, its content may have
_MOST_UNPACKED = 256 << 30

_ID = re.compile(r"(sha256:)?[0-9a-f]{64}")
_SHAPES: Mapping[str, re.Pattern[str]] = {
    "cell": re.compile(r"(?a)[\w.+@-]{1,100}(/[\w.+@-]{1,100}){1,2}"),
    "distro": re.compile(r"(?a)[\w.+-]{1,100}"),
    "engine": re.compile(r"[a-z]{0,20}"),
    "arch": re.compile(r"(?a)[\w-]{1,30}"),
    "image": _ID,
    "source": re.compile(r"pull|bootstrap|archive"),
    "archive": re.compile(r"([0-9a-f]{64})?"),
    "user": re.compile(r"root|[0-9]{1,10}:[0-9]{1,10}"),
    "sha256": re.compile(r"[0-9a-f]{64}"),
    "distromatrix": re.compile(r"(?a)[\w.+-]{1,60}"),
}
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


@dataclass(frozen=True, slots=True, kw_only=True)
class About:
    """What a file says of its machine. `engine`: as a plan names it, '' for that of containers;
    `image`: the id of its base image, `digests` those under which registries have it, `archive`
    the sha256 of the archive that it was made of; `env`: what its commands saw, but for `secrets`,
    which are names alone; `unpacked`: bytes that its changes have; `sha256`: of all after the
    header."""

    format: int = FORMAT
    distromatrix: str = __version__
    written: float = field(default_factory=time.time)
    cell: str
    distro: str
    engine: str
    arch: str
    image: str
    source: str
    digests: tuple[str, ...] = ()
    archive: str = ""
    user: str = "root"
    cpus: float = 1.0
    memory: int = 2 * 1024**3
    network: bool = True
    env: Mapping[str, str] = field(default_factory=dict)
    secrets: tuple[str, ...] = ()
    unpacked: int = 0
    sha256: str = ""

    def fault(self) -> str:
        """What in it nobody of ours would have written; '' where nothing is."""
        for name, shape in _SHAPES.items():
            value = getattr(self, name)
            if not shape.fullmatch(value) or set(value.split("/")) & {".", ".."}:
                return name
        sound = {
            "digests": all(map(_ID.fullmatch, self.digests)),
            "env": all(map(_VARIABLE.fullmatch, self.env))
            and "\0" not in "".join(self.env.values()),
            "secrets": all(map(_VARIABLE.fullmatch, self.secrets)),
            "cpus": 0 < self.cpus <= 1024,
            "memory": 1 << 20 <= self.memory <= 1 << 42,
            "unpacked": 0 <= self.unpacked <= _MOST_UNPACKED,
            "written": 0 <= self.written < 1e11,
        }
        return next((name for name, good in sound.items() if not good), "")


_FILE = Bundle(
    by="run --export",
    members=(_HEADER, _CONTENT, _GONE),
    said=_HEADER,
    most=_HEADER_SIZE,
    shape=About,
    format=FORMAT,
)


# --- there ----------------------------------------------------------------------------------


def write_machine(
    target: Path,
    about: About,
    image: Mapping[str, bytes],
    machine: Iterable[Iterable[bytes]],
    at_most: int,
) -> int:
    """Write a machine's file, wholly or not at all, and no more than `at_most` bytes. `image`:
    `trees.prints` of its base image; `machine`: Machine.files. Returns its bytes. Raises
    TooMuchError, CollectError, InfrastructureError, OSError."""
    with whole_file(target) as out:
        out.write(bytes(_BEFORE))
        bounded = Bounded(out, at_most - _BEFORE)
        with zipped(bounded) as packing:
            content = Bounded(cast("IO[bytes]", packing), UNPACKED * at_most)
            with tarfile.open(
                fileobj=cast("IO[bytes]", content), mode="w|", format=tarfile.PAX_FORMAT
            ) as tar:
                gone = write_difference(image, machine, tar, target.parent)
        size = bounded.written
        paths = b"".join(path.encode("utf-8", "surrogateescape") + b"\0" for path in gone)
        out.write(padding(size) + header(_GONE, len(paths), _MODE))
        bounded.write(paths)
        out.write(padding(len(paths)) + bytes(2 * BLOCK))
        total = out.tell()
        whole = replace(about, unpacked=content.written, sha256=bounded.digest.hexdigest())
        text = json.dumps(asdict(whole), indent=1).encode()
        if len(text) > _HEADER_SIZE or (fault := whole.fault()):
            raise CollectError(f"its {fault or 'environment'} cannot be put into a file's header")
        out.seek(0)
        out.write(header(_HEADER, _HEADER_SIZE, _MODE) + text.ljust(_HEADER_SIZE))
        out.write(header(_CONTENT, size, _MODE))
    return total


# --- and back -------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class MachineFile:
    """A machine's file, open and whole: what it says, and the changes as they are in it."""

    path: Path
    about: About
    _content: IO[bytes]
    _gone: IO[bytes]

    def changes(self, folder: Path) -> Changes:
        """What has changed in the machine: checked, and unpacked once to the disk of that folder.
        To be closed. Raises InputError, OSError."""

        def gone() -> Iterator[bytes]:
            for path in self._gone.read(_MOST_GONE).decode("utf-8", "surrogateescape").split("\0"):
                if name := plain(path):
                    yield name.encode("utf-8", "surrogateescape") + b"\0"

        def unzipped() -> Iterator[bytes]:
            with gzip.GzipFile(fileobj=self._content) as content:
                while piece := content.read(_CHUNK):
                    yield piece

        self._gone.seek(0)
        self._content.seek(0)
        # What it says of each file may become longer here than it was there.
        most = 2 * self.about.unpacked + _MOST_GONE
        try:
            return Changes.kept(gone(), packed(unzipped()), folder, most)
        except (CollectError, gzip.BadGzipFile, EOFError, zlib.error) as error:
            raise InputError(f"{self.path}: is damaged: {error}") from None
        except TooMuchError:
            raise InputError(f"{self.path}: holds more than it says; nothing was opened") from None


@contextmanager
def opened_machine(path: Path) -> Iterator[MachineFile]:
    """A machine's file, checked as far as that goes without unpacking it. Raises InputError."""
    with _FILE.opened(path) as (about, members):
        if fault := about.fault():
            raise InputError(f"{path}: its header is not sound: `{fault}`")
        content, gone = members[_CONTENT], members[_GONE]
        require_whole(path, [content, gone], about.sha256)
        yield MachineFile(path, about, content, gone)
