"""What a machine's files have become since its image. Both come as tar streams, and are hostile:
they are bounded, and nothing of them is unpacked here."""

from __future__ import annotations

import hashlib
import tarfile
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from tempfile import SpooledTemporaryFile
from typing import IO

from distromatrix.collect.artifacts import TARFILES, TarStream
from distromatrix.collect.errors import CollectError
from distromatrix.collect.text import one_line
from distromatrix.engines.change_scripts import ITS_OWN

MOST_PATHS = 1_000_000  # of an image
_OURS = (".dockerenv", "distromatrix/guest", *ITS_OWN)
_KINDS = {tarfile.DIRTYPE: "d", tarfile.SYMTYPE: "l", tarfile.LNKTYPE: "h", tarfile.FIFOTYPE: "p"}
_XATTR = "SCHILY.xattr."
_CHUNK = 1 << 20
_META = 17  # bytes of a print that say what a file is; then come those of its content

Member = tuple[str, tarfile.TarInfo, IO[bytes] | None]  # its kind, itself, its content


def _members(stream: Iterable[bytes]) -> Iterator[Member]:
    """The files, folders, links and pipes in a tar stream, each with a plain path from /, without
    what is a machine's own (/proc, /etc/hosts, …). Raises what tarfile does where it is no whole
    tar, and what `stream` raises."""
    source = TarStream(stream)
    with tarfile.open(fileobj=source, mode="r|", bufsize=256 * 1024) as tar:
        for found in source.members(tar):
            kind = "f" if found.isreg() else _KINDS.get(found.type, "")
            if kind and (member := _cleaned(found, kind)):
                yield kind, member, tar.extractfile(found) if kind == "f" else None


@contextmanager
def _reading() -> Iterator[None]:
    try:
        yield
    except (tarfile.TarError, EOFError, *TARFILES) as error:
        raise CollectError(f"its files cannot be read: {one_line(str(error))}") from error


def plain(path: str) -> str:
    """A path from /, '' for one that leads elsewhere or is a machine's own."""
    parts = [part for part in path.split("/") if part not in ("", ".")]
    name = "/".join(parts)
    ours = any(name == one or name.startswith(f"{one}/") for one in _OURS)
    return "" if ".." in parts or ours else name


def _cleaned(found: tarfile.TarInfo, kind: str) -> tarfile.TarInfo | None:
    member = tarfile.TarInfo(plain(found.name))
    member.type = tarfile.REGTYPE if kind == "f" else found.type
    member.size = found.size if kind == "f" else 0
    member.mode, member.mtime = found.mode & 0o7777, int(found.mtime)
    member.uid, member.gid = found.uid, found.gid
    member.linkname = plain(found.linkname) if kind == "h" else found.linkname
    member.pax_headers = {k: v for k, v in found.pax_headers.items() if k.startswith(_XATTR)}
    linked = kind not in "hl" or member.linkname
    return member if member.name and linked else None


def prints(stream: Iterable[bytes]) -> dict[str, bytes]:
    """By its path, what tells each file of an image from another. Raises CollectError."""
    found: dict[str, bytes] = {}
    with _reading():
        for kind, member, content in _members(stream):
            found[member.name] = _meta(kind, member) + (_digest(content) if content else b"")
            if len(found) > MOST_PATHS:
                raise CollectError(f"its image has more than {MOST_PATHS:,} files")
    return found


def write_difference(
    image: Mapping[str, bytes],
    machine: Iterable[Iterable[bytes]],
    out: tarfile.TarFile,
    folder: Path,
) -> list[str]:
    """Write to `out` what is new or another in a machine, whose files come in those streams,
    than the `prints` of its image say; files may lie in `folder` meanwhile. Returns the paths that
    are gone, or were of another kind. Raises CollectError, OSError, and what the streams raise."""
    missing, gone = set(image), []
    with _reading():
        for kind, member, content in (one for stream in machine for one in _members(stream)):
            before, meta = image.get(member.name, b""), _meta(kind, member)
            missing.discard(member.name)
            if before and before[0] != meta[0]:
                gone.append(member.name)
            if before[:_META] != meta:
                out.addfile(member, content)
            elif content is not None:
                with SpooledTemporaryFile(max_size=8 << 20, dir=str(folder)) as held:
                    if _digest(content, held) != before[_META:]:
                        held.seek(0)
                        out.addfile(member, held)
            vars(out)["members"].clear()
    return sorted((*gone, *missing))


def _meta(kind: str, member: tarfile.TarInfo) -> bytes:
    time = member.mtime if kind == "f" else 0  # a folder's is its entries'
    said = (member.mode, member.uid, member.gid, member.size, time, member.linkname)
    more = sorted(member.pax_headers.items())
    text = repr((said, more)).encode("utf-8", "surrogateescape")
    return kind.encode() + hashlib.blake2b(text, digest_size=_META - 1).digest()


def _digest(content: IO[bytes], copy: IO[bytes] | None = None) -> bytes:
    digest = hashlib.blake2b(digest_size=16)
    while piece := content.read(_CHUNK):
        digest.update(piece)
        if copy is not None:
            copy.write(piece)
    return digest.digest()


def packed(stream: Iterable[bytes]) -> Iterator[bytes]:
    """A tar stream anew, of what `_members` lets through of another. Raises CollectError."""
    with _reading():
        for _, member, content in _members(stream):
            yield member.tobuf(tarfile.PAX_FORMAT, errors="surrogateescape")
            while content is not None and (piece := content.read(_CHUNK)):
                yield piece
            yield bytes(-member.size % tarfile.BLOCKSIZE)
    yield bytes(2 * tarfile.BLOCKSIZE)
