"""A product as a tar stream: read from its files as it goes, nothing of it held."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import cache, partial
from itertools import chain

from distromatrix.engines.parcel import HAS_HOLES
from distromatrix.execute.product.content import (
    Pieces,
    name_with_holes,
    open_file,
    pieces_of,
    read,
    read_exactly,
)
from distromatrix.execute.product.entries import FILE, FOLDER, Entry

PREFIX = "product"
_BLOCK = 512
_CHUNK = 1 << 20
_EIGHT_GIB = 8 << 30  # and more is not written in octal
_MOST_ID = 0o7777777
# Magic and version, no names of user and group, device 0, no part of a path (ustar, pax(1)).
_TAIL = (b"ustar\x0000" + bytes(64) + b"0000000\x00" * 2).ljust(255, b"\0")
ROOT = (0, 0)


def packed(
    entries: Mapping[str, Entry],
    root: str,
    wanted: Iterable[Entry] | None = None,
    owner: tuple[int, int] = ROOT,
    below: str = "",
    opened: Callable[[Entry, str], int] | None = None,
    gone: Iterable[str] = (),
) -> Iterator[bytes]:
    """The stream of `entries`, or of those of them that are `wanted`, below `product/` (itself
    `below` something) and all of them the owner's, in the format of pax(1): pieces of some size.
    For names that are `gone`, whiteouts. Of each file that is read, the entry is set right; one
    that is not there any more is left out, and its entry has no `content`; but where it is said
    how they are `opened`, that gives what each entry says. Raises OSError."""
    top = f"{below}{PREFIX}"
    members = _members(entries, wanted, owner, top, opened or partial(open_now, root))
    return _joined(chain(members, _whiteouts(gone, top), (bytes(2 * _BLOCK),)))


def open_now(root: str, entry: Entry, path: str = "") -> int:
    """A descriptor of the entry's file as it lies there now, which the entry then says. Raises
    OSError."""
    fd = open_file(path or f"{root}/{entry.name}")
    entry.see(os.fstat(fd))
    return fd


def _members(
    entries: Mapping[str, Entry],
    wanted: Iterable[Entry] | None,
    owner: tuple[int, int],
    top: str,
    opened: Callable[[Entry, str], int],
) -> Iterator[bytes]:
    there: set[str] = set()
    note = {HAS_HOLES: b"1"} if any(entry.holes for entry in entries.values()) else {}
    for entry in entries.values() if wanted is None else wanted:
        name = in_tar(f"{top}/{entry.name}" if entry.name else top)
        if entry.twin and entry.twin != entry.name and entry.twin in there:
            entry.content, entry.seal = entries[entry.twin].content, ""
            yield header(name, entry, owner, b"1", link=in_tar(f"{top}/{entry.twin}"))
        elif entry.kind == FOLDER:
            yield header(name, entry, owner, b"5", records=note)
        elif entry.kind != FILE:
            yield header(name, entry, owner, b"2", link=in_tar(entry.target))
        elif entry.data is not None:
            yield header(name, entry, owner, b"0", size=len(entry.data))
            yield _padded(entry.data)
        else:
            try:
                fd = opened(entry, entry.path)
            except (FileNotFoundError, NotADirectoryError):
                entry.seen, entry.content, entry.seal = None, "", ""
                continue
            try:
                yield from _file(fd, entry, name, owner)
            finally:
                os.close(fd)
        there.add(entry.name)
        note = {}


def _whiteouts(gone: Iterable[str], top: str) -> Iterator[bytes]:
    for name in gone:
        yield header(in_tar(f"{top}/{name}"), Entry(name, FILE, 0, 0), ROOT, b"3")


def _file(fd: int, entry: Entry, name: bytes, owner: tuple[int, int]) -> Iterator[bytes]:
    if entry.holes and (pieces := pieces_of(fd, os.fstat(fd))) is not None:
        name_with_holes(fd, entry, pieces)
        yield from _sparse(fd, entry, name, owner, pieces)
        return
    yield header(name, entry, owner, b"0", size=entry.size)
    yield from read(fd, entry)
    yield bytes(-entry.size % _BLOCK)


def _sparse(
    fd: int, entry: Entry, name: bytes, owner: tuple[int, int], pieces: Pieces
) -> Iterator[bytes]:
    """In the format `PAX 1.0` of GNU tar's manual, "Storing Sparse Files"."""
    ends = [*pieces, (entry.size, 0)]
    numbers = (len(ends), *(number for piece in ends for number in piece))
    head = _padded(b"".join(b"%d\n" % number for number in numbers))
    records = {
        "GNU.sparse.major": b"1",
        "GNU.sparse.minor": b"0",
        "GNU.sparse.name": name,
        "GNU.sparse.realsize": b"%d" % entry.size,
    }
    size = len(head) + sum(length for _, length in pieces)
    yield header(name, entry, owner, b"0", size=size, records=records)
    yield head
    for start, length in pieces:
        os.lseek(fd, start, os.SEEK_SET)
        for at in range(0, length, _CHUNK):
            yield read_exactly(fd, min(_CHUNK, length - at), entry)
    yield bytes(-size % _BLOCK)


def header(
    name: bytes,
    entry: Entry,
    owner: tuple[int, int],
    kind: bytes,
    *,
    size: int = 0,
    link: bytes = b"",
    records: Mapping[str, bytes] | None = None,
) -> bytes:
    """A member's header, with what does not fit there before it (pax(1), "pax Header Block")."""
    more = dict(records or {})
    seconds, fraction = divmod(entry.mtime, 10**9)
    if fraction or seconds < 0:
        exact = b"%d.%09d" % (seconds, fraction)
        more["mtime"] = exact if seconds >= 0 else b"%.9f" % (entry.mtime / 1e9)
    for key, path in (("path", name), ("linkpath", link)):
        if len(path) > 100 or not path.isascii():
            more[key] = path
    if size >= _EIGHT_GIB:
        more["size"] = b"%d" % size
    ids = []
    for key, number in zip(("uid", "gid"), owner, strict=True):
        if number > _MOST_ID:
            more[key] = b"%d" % number
        ids.append(number & _MOST_ID)
    time = min(max(seconds, 0), _EIGHT_GIB - 1)
    block = _header(name[:100], entry.mode, ids, size % _EIGHT_GIB, time, kind, link[:100])
    return _extended(more) + block if more else block


def _extended(records: dict[str, bytes]) -> bytes:
    if not all(map(_is_text, records.values())):
        records = {"hdrcharset": b"BINARY", **records}
    text = b"".join(_record(key.encode(), value) for key, value in records.items())
    return _extended_header(len(text)) + _padded(text)


@cache
def _extended_header(size: int) -> bytes:
    return _header(b"././@PaxHeader", 0, ROOT, size, 0, b"x", b"")


def _record(key: bytes, value: bytes) -> bytes:
    """One that begins with its own length."""
    rest = len(key) + len(value) + 3
    length = rest + len(str(rest))
    length = rest + len(str(length))
    return b"%d %b=%b\n" % (length, key, value)


def _header(
    name: bytes,
    mode: int,
    ids: Sequence[int],
    size: int,
    mtime: int,
    kind: bytes,
    link: bytes,
) -> bytes:
    block = b"%b%07o\x00%07o\x00%07o\x00%011o\x00%011o\x00        %b%b%b" % (
        name.ljust(100, b"\0"),
        mode,
        ids[0],
        ids[1],
        size,
        mtime,
        kind,
        link.ljust(100, b"\0"),
        _TAIL,
    )
    return b"%b%06o\0 %b" % (block[:148], sum(block), block[156:])


def _is_text(value: bytes) -> bool:
    try:
        value.decode()
    except UnicodeDecodeError:
        return False
    return True


def _padded(data: bytes) -> bytes:
    return data + bytes(-len(data) % _BLOCK)


def _joined(pieces: Iterator[bytes]) -> Iterator[bytes]:
    """In chunks that are worth being sent."""
    held: list[bytes] = []
    size = 0
    for piece in pieces:
        held.append(piece)
        size += len(piece)
        if size >= _CHUNK:
            yield b"".join(held)
            held.clear()
            size = 0
    yield b"".join(held)


def in_tar(name: str) -> bytes:
    """A path of this host as it stands in a tar file: byte by byte, whatever the locale."""
    return os.fsencode(name)
