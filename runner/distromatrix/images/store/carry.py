"""Base images and prepared layers in one file, for a machine without network.

The file is a tar of two members: what the engine saves, gzipped, and after it a manifest that
says of each image its tag, id, age and architecture, and of the whole its sha256. It is
there when it is whole, and not before.
"""

from __future__ import annotations

import gzip
import hashlib
import json
import sys
import tarfile
import time
from collections.abc import Callable, Iterable
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import IO, TYPE_CHECKING, BinaryIO, cast

from distromatrix import __version__
from distromatrix.engines.contract import Engine
from distromatrix.engines.image_store import Image
from distromatrix.errors import InputError
from distromatrix.files.whole import whole_file

if TYPE_CHECKING:
    from collections.abc import Iterator

FORMAT = 1
CONTENT = "distromatrix-images.tar.gz"
MANIFEST = "distromatrix-images.json"
_MOST = 16 << 20  # bytes of a manifest
_BLOCK = tarfile.BLOCKSIZE
_CHUNK = 1 << 20

Progress = Callable[[int], None]  # bytes so far


@dataclass(frozen=True, slots=True, kw_only=True)
class Carried:
    """An image as it goes on its way. `also`: more tags that it is to have where it arrives."""

    image: Image
    also: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifest:
    """What is in a file. `written`: seconds since the epoch; `sha256` and `bytes` are those of
    the compressed content."""

    format: int
    distromatrix: str
    engine: str
    written: float
    sha256: str
    bytes: int
    images: tuple[Carried, ...]


# --- there ----------------------------------------------------------------------------------


def export(
    engine: Engine,
    images: Iterable[Carried],
    target: Path,
    progress: Progress,
    at_most: int | None = None,
) -> Manifest:
    """Write those images to the file `target`, wholly or not at all. Raises InputError where
    it would become larger than `at_most` bytes, InfrastructureError, OSError."""
    wanted = tuple({one.image.tag: one for one in images}.values())
    with whole_file(target, sync=True) as out:
        out.write(bytes(_BLOCK))  # the header of what follows, as soon as its size is known
        stream = engine.images.save(tuple(one.image.tag for one in wanted))
        digest = _compressed(stream, _Hashing(out, target, at_most or sys.maxsize), progress)
        size = out.tell() - _BLOCK
        _pad(out)
        manifest = Manifest(
            format=FORMAT,
            distromatrix=__version__,
            engine=str(engine.facts()),
            written=round(time.time(), 3),
            sha256=digest,
            bytes=size,
            images=wanted,
        )
        text = json.dumps(asdict(manifest), indent=1).encode()
        out.write(_header(MANIFEST, len(text)) + text)
        _pad(out)
        out.write(bytes(2 * _BLOCK))
        out.seek(0)
        out.write(_header(CONTENT, size))
    return manifest


class _Hashing:
    """Passes on what is written, and hashes it, as long as the file stays as small as it must."""

    def __init__(self, out: IO[bytes], target: Path, at_most: int) -> None:
        self._out, self._target, self._at_most = out, target, at_most
        self.digest = hashlib.sha256()

    def write(self, data: bytes) -> int:
        if self._out.tell() + len(data) > self._at_most:
            said = f"it would be larger than {self._at_most / 1e6:.0f} MB"
            raise InputError(f"{self._target}: {said}, so nothing was written")
        self.digest.update(data)
        return self._out.write(data)

    def flush(self) -> None:
        self._out.flush()


def _compressed(stream: Iterable[bytes], hashing: _Hashing, progress: Progress) -> str:
    """Write the stream, compressed as far as costs little. Returns the sha256 of that."""
    done = 0
    with gzip.GzipFile(
        filename="", fileobj=cast("IO[bytes]", hashing), mode="wb", compresslevel=1, mtime=0
    ) as packed:
        for chunk in stream:
            packed.write(chunk)
            done += len(chunk)
            progress(done)
    return hashing.digest.hexdigest()


def _header(name: str, size: int) -> bytes:
    info = tarfile.TarInfo(name)
    info.size, info.mode, info.mtime = size, 0o644, int(time.time())
    return info.tobuf(tarfile.GNU_FORMAT)  # sizes above 8 GiB fit, in one block


def _pad(out: IO[bytes]) -> None:
    out.write(bytes(-out.tell() % _BLOCK))


# --- and back -------------------------------------------------------------------------------


def import_(
    engine: Engine, source: Path, progress: Progress
) -> tuple[Manifest, tuple[Carried, ...]]:
    """Load what `export` wrote. Returns the manifest and those images that were not here
    before. Raises InputError where the file is not what it should be, InfrastructureError."""
    with _opened(source) as (manifest, content):
        _check(source, manifest, engine.facts().arch)
        _verify(source, manifest, content, progress)
        foreign = set(engine.images.tags_in(content)) - {c.image.tag for c in manifest.images}
        if foreign:
            raise InputError(f"{source}: {', '.join(sorted(foreign))} is in it and not of ours")
        fresh, known = [], []
        for one in manifest.images:
            here = engine.images.find(one.image.tag)
            if here is None or here.id != one.image.id:
                fresh.append(one)
                known.append(one.image)
            else:  # loading gives it a tag again, which must not make it younger
                known.append(replace(one.image, created=max(here.created, one.image.created)))
        if fresh:
            content.seek(0)
            engine.images.load(content, tuple(known))
        for one in manifest.images:
            for tag in one.also:
                engine.images.tag(one.image.tag, tag)
    return manifest, tuple(fresh)


@contextmanager
def _opened(source: Path) -> Iterator[tuple[Manifest, BinaryIO]]:
    """The manifest of a file, and its content, open."""
    try:
        with tarfile.open(source, "r:") as tar:
            names = [member.name for member in _members(tar)]
            if names[:1] == [CONTENT] and MANIFEST not in names:
                raise InputError(f"{source}: is damaged: it ends too early; copy it again")
            if names != [CONTENT, MANIFEST]:
                raise InputError(_foreign(source))
            content, described = (tar.extractfile(name) for name in names)
            if content is None or described is None:
                raise InputError(_foreign(source))
            yield _manifest(source, described.read(_MOST)), cast("BinaryIO", content)
    except tarfile.TarError:
        raise InputError(_foreign(source)) from None
    except OSError as error:
        if error.filename is None:
            raise
        raise InputError(f"{source}: cannot be read: {error.strerror}") from None


def _members(tar: tarfile.TarFile) -> Iterator[tarfile.TarInfo]:
    """The first members that there are; a file that was cut off has fewer."""
    with suppress(tarfile.ReadError):
        for _ in range(3):
            if (member := tar.next()) is None:
                return
            yield member


def _foreign(source: Path) -> str:
    return f"{source}: was not written by `distromatrix images export`"


def _manifest(source: Path, text: bytes) -> Manifest:
    from pydantic import TypeAdapter, ValidationError

    try:
        said = json.loads(text).get("format")
        if said != FORMAT:
            raise InputError(
                f"{source}: has format {said}, this distromatrix reads {FORMAT}: write it with "
                f"version {__version__}, or take the version that wrote it"
            )
        return TypeAdapter(Manifest).validate_json(text)
    except (ValidationError, ValueError, AttributeError):
        raise InputError(_foreign(source)) from None


def _check(source: Path, manifest: Manifest, arch: str) -> None:
    machines = sorted({c.image.arch for c in manifest.images} - {"", arch})
    if machines:
        raise InputError(f"{source}: holds images for {', '.join(machines)}; this host is {arch}")
    tags = [tag for c in manifest.images for tag in (c.image.tag, *c.also)]
    if foreign := [tag for tag in tags if not tag.startswith("distromatrix/")]:
        raise InputError(f"{source}: {', '.join(foreign)} is in it and not of ours")


def _verify(source: Path, manifest: Manifest, content: BinaryIO, progress: Progress) -> None:
    digest = hashlib.sha256()
    done = 0
    with suppress(tarfile.ReadError):  # it ends too early, and so has another digest
        while chunk := content.read(_CHUNK):
            digest.update(chunk)
            done += len(chunk)
            progress(done)
    if digest.hexdigest() != manifest.sha256:
        raise InputError(
            f"{source}: is damaged: the sha256 of its content is {digest.hexdigest()}, and its "
            f"manifest says {manifest.sha256}; copy it again"
        )
    content.seek(0)
