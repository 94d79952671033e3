"""What a cell made on another host, taken into a run's folder: nothing of it is believed."""

from __future__ import annotations

import tarfile
import zlib
from collections.abc import Iterable, Iterator
from contextlib import suppress

from distromatrix.collect.artifacts import disarmed
from distromatrix.collect.log import write_all
from distromatrix.collect.plain_tar import plain_members
from distromatrix.files.below import Folder, caller
from distromatrix.files.whole import disk_fault
from distromatrix.record.folder import RunFolder

MOST_MADE = 4 << 30  # bytes
_MAX_DEPTH = 64  # folders in folders
_CHUNK = 1 << 20


def unpack(chunks: Iterable[bytes], run: str, folder: RunFolder) -> None:
    """A tar stream, gzipped, of `cells/RUN`, all of it or nothing; nothing where nothing comes.
    What is neither file nor folder, or cannot be written under its name, is left out. Raises
    CollectError, InfrastructureError where the disk is full, and whatever `chunks` raises."""
    with Folder.at(folder.path, owner=caller()) as into:
        try:
            for member, content in plain_members(_gunzipped(chunks), MOST_MADE):
                if path := _path(member.name, f"cells/{run}"):
                    _take(member, content, path, into)
        except BaseException:
            with suppress(OSError):
                into.remove(f"cells/{run}")
            raise


def _path(name: str, top: str) -> str:
    """Where in the run's folder what is called so comes; '' where it is not of `top`."""
    parts = [part for part in name.split("/") if part not in ("", ".")]
    own = top.split("/")
    if parts[: len(own)] != own or len(parts) > _MAX_DEPTH:
        return ""
    return "/".join([top, *map(disarmed, parts[len(own) :])])


def _take(member: tarfile.TarInfo, content: Iterator[bytes], path: str, into: Folder) -> None:
    try:
        if member.isdir():
            into.make(path)
        if not member.isreg():
            return
        into.make(path.rpartition("/")[0])
        file = into.create(path, 0o755 if member.mode & 0o100 else 0o644)
    except OSError as error:
        if fault := disk_fault(error, into.path):
            raise fault from error
        return
    with file:
        for data in content:
            write_all(file.fileno(), data, into.path)


def _gunzipped(chunks: Iterable[bytes]) -> Iterator[bytes]:
    """As much at once as a chunk, however much it grows; an empty archive where nothing comes."""
    packed = zlib.decompressobj(wbits=31)
    nothing = True
    for chunk in chunks:
        left = chunk
        while left:
            nothing = False
            yield packed.decompress(left, _CHUNK)
            left = packed.unconsumed_tail
    yield bytes(2 * tarfile.BLOCKSIZE) if nothing else packed.flush()
