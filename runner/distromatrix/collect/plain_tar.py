"""A tar stream from a machine made harmless for who unpacks it: what is hostile in it is left out,
and it is bounded."""

from __future__ import annotations

import tarfile
from collections.abc import Iterable, Iterator

from distromatrix.collect.artifacts import TARFILES, TarStream
from distromatrix.collect.errors import CollectError
from distromatrix.collect.text import one_line

_MOST_FILES = 500_000
_MODES = 0o777
_CHUNK = 1 << 20


def plain_tar(chunks: Iterable[bytes], limit: int) -> Iterator[bytes]:
    """The folders, files and links of a tar stream, with their owners, without what makes a file
    another's program, and nothing above its top; as busybox's tar reads it, too. Raises
    CollectError where it is unreadable or holds more than `limit` bytes, and whatever `chunks`
    raises."""
    stream = TarStream(chunks)
    try:
        with tarfile.open(fileobj=stream, mode="r|", bufsize=_CHUNK) as tar:
            for _ in range(_MOST_FILES):
                member = tar.next()
                if member is None:
                    if not stream.at_end:
                        raise tarfile.ReadError("it is cut off")
                    yield bytes(2 * tarfile.BLOCKSIZE)
                    return
                vars(tar)["members"].clear()  # it would keep them all
                limit -= max(member.size, 0) + tarfile.BLOCKSIZE
                if limit < 0:
                    raise CollectError("it is too big")
                stream.expect(member.size)
                yield from _member(tar, member)
            raise CollectError(f"it holds more than {_MOST_FILES:,} files")
    except (tarfile.TarError, EOFError, *TARFILES) as error:
        raise CollectError(f"it is unreadable: {one_line(str(error))}") from error


def _member(tar: tarfile.TarFile, member: tarfile.TarInfo) -> Iterator[bytes]:
    good = member.isdir() or member.isreg() or member.issym() or member.islnk()
    if not good or member.issparse() or not _is_inside(member.name):
        return
    if member.islnk() and not _is_inside(member.linkname):
        return
    info = tarfile.TarInfo(member.name)
    info.type = member.type if not member.isreg() else tarfile.REGTYPE
    info.size = member.size if member.isreg() else 0
    info.mode, info.mtime = member.mode & _MODES, int(member.mtime)
    info.uid, info.gid, info.linkname = member.uid, member.gid, member.linkname
    yield info.tobuf(tarfile.GNU_FORMAT, "utf-8", "surrogateescape")
    if member.isreg() and (file := tar.extractfile(member)):
        while data := file.read(_CHUNK):
            yield data
        yield bytes(-member.size % tarfile.BLOCKSIZE)


def _is_inside(name: str) -> bool:
    return not name.startswith("/") and ".." not in name.split("/")
