"""A tar stream from a machine made harmless for who unpacks it: what is hostile in it is left out,
and it is bounded."""

from __future__ import annotations

import tarfile
import zlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

from distromatrix.collect.artifacts import TARFILES, TarStream
from distromatrix.collect.errors import CollectError
from distromatrix.collect.text import one_line

_MOST_FILES = 500_000
_MODES = 0o777
_CHUNK = 1 << 20


def plain_tar(chunks: Iterable[bytes], limit: int) -> Iterator[bytes]:
    """What `plain_members` takes of a tar stream, as a tar that busybox reads, too."""
    for member, content in plain_members(chunks, limit):
        info = tarfile.TarInfo(member.name)
        info.type = member.type if not member.isreg() else tarfile.REGTYPE
        info.size = member.size if member.isreg() else 0
        with _readable():  # a time or an owner may be any number
            info.mode, info.mtime = member.mode & _MODES, int(member.mtime)
            info.uid, info.gid, info.linkname = member.uid, member.gid, member.linkname
            header = info.tobuf(tarfile.GNU_FORMAT, "utf-8", "surrogateescape")
        yield header
        yield from content
        yield bytes(-info.size % tarfile.BLOCKSIZE)
    yield bytes(2 * tarfile.BLOCKSIZE)


def plain_members(
    chunks: Iterable[bytes], limit: int
) -> Iterator[tuple[tarfile.TarInfo, Iterator[bytes]]]:
    """The folders, files and links of a tar stream, with their owners, without what makes a file
    another's program, and nothing above its top; each with its content, to be read before the next.
    Raises CollectError where it is unreadable or holds more than `limit` bytes, and whatever
    `chunks` raises."""
    stream = TarStream(chunks)
    with _readable(), tarfile.open(fileobj=stream, mode="r|", bufsize=_CHUNK) as tar:
        for number, member in enumerate(stream.members(tar), 1):
            limit -= max(member.size, 0) + tarfile.BLOCKSIZE
            if limit < 0:
                raise CollectError("it is too big")
            if _is_plain(member):
                yield member, _content(tar, member)
            if number == _MOST_FILES:
                raise CollectError(f"it holds more than {_MOST_FILES:,} files")


def _content(tar: tarfile.TarFile, member: tarfile.TarInfo) -> Iterator[bytes]:
    with _readable():
        if member.isreg() and (file := tar.extractfile(member)):
            while data := file.read(_CHUNK):
                yield data


@contextmanager
def _readable() -> Iterator[None]:
    try:
        yield
    except (tarfile.TarError, zlib.error, EOFError, *TARFILES) as error:
        raise CollectError(f"it is unreadable: {one_line(str(error))}") from error


def _is_plain(member: tarfile.TarInfo) -> bool:
    if member.isdir() or member.issym():
        return _is_inside(member.name)
    if member.islnk():
        return _is_inside(member.name) and _is_inside(member.linkname)
    return member.isreg() and not member.issparse() and _is_inside(member.name)


def _is_inside(name: str) -> bool:
    return not name.startswith("/") and ".." not in name.split("/")
