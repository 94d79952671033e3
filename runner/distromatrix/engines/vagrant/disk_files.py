"""Files of a guest that runs no longer, from its disk: read by debugfs, so that nothing of it is
mounted or trusted on the host."""

from __future__ import annotations

import os
import re
import subprocess
import tarfile
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from distromatrix.engines.guest.disk import run_tool, start_tool
from distromatrix.errors import InfrastructureError

_READING = "the disk of a guest that ended cannot be read"
_MOST = 64 * 1024**2  # bytes of what is listed of a disk
_PIECE = 1 << 20  # bytes of a file that are in memory at once
_LINE = re.compile(rb"/(\d+)/(\d+)/(\d+)/(\d+)/([^/]*)/(\d*)/")
_LINK = re.compile(rb'Fast link dest: "(.*)"')
_FOLDER, _FILE, _SYMLINK = 0o040000, 0o100000, 0o120000


@dataclass(frozen=True, slots=True)
class _Node:
    """A line of debugfs's `ls -p`."""

    inode: int
    mode: int
    uid: int
    gid: int
    name: str
    size: int

    @property
    def kind(self) -> int:
        return self.mode & 0o170000


def read_dead(disk: Path, path: str, machine: str, room: Path) -> Iterator[bytes]:
    """A tar stream of `path` as `Machine.get` gives it; the disk is unpacked in the folder `room`
    meanwhile. Raises FileNotFoundError,
    InfrastructureError, both before the first piece."""
    held = tempfile.TemporaryDirectory(prefix="distromatrix-disk-", dir=room)
    raw = Path(held.name, "raw")
    try:
        _run("qemu-img", "convert", "-U", "-f", "qcow2", "-O", "raw", str(disk), str(raw))
        _run("e2fsck", "-fy", str(raw), worst=2)  # its journal, above all
        name = path.rstrip("/").rpartition("/")[2] or "."
        top = _find(raw, path, name)
        if top is None:
            raise FileNotFoundError(f"{machine}:{path}")
    except BaseException:
        held.cleanup()
        raise
    return _stream(held, raw, top)


def _stream(held: tempfile.TemporaryDirectory[str], raw: Path, top: _Node) -> Iterator[bytes]:
    with held:
        for name, node in _walk(raw, top, top.name):
            yield from _entry(raw, name, node)
        yield bytes(2 * tarfile.BLOCKSIZE)


def _walk(raw: Path, node: _Node, name: str) -> Iterator[tuple[str, _Node]]:
    yield name, node
    if node.kind == _FOLDER:
        for below in _list(raw, f"<{node.inode}>"):
            if below.name not in (".", ".."):
                yield from _walk(raw, below, f"{name}/{below.name}")


def _entry(raw: Path, name: str, node: _Node) -> Iterator[bytes]:
    """What a tar has of it; nothing, where it is a device or the like."""
    info = tarfile.TarInfo(name)
    info.mode, info.uid, info.gid = node.mode & 0o7777, node.uid, node.gid
    if node.kind == _FOLDER:
        info.type = tarfile.DIRTYPE
    elif node.kind == _SYMLINK:
        info.type = tarfile.SYMTYPE
        found = _LINK.search(_debugfs(raw, f"stat <{node.inode}>"))
        target = found[1] if found else _debugfs(raw, f"cat <{node.inode}>")
        info.linkname = os.fsdecode(target)
    elif node.kind == _FILE:
        info.size = node.size
    else:
        return
    yield info.tobuf(tarfile.PAX_FORMAT)
    if node.kind == _FILE:
        yield from _content(raw, name, node)


def _content(raw: Path, name: str, node: _Node) -> Iterator[bytes]:
    """A file in pieces: how much of it is too much is for who reads to say."""
    command, size = ["debugfs", "-R", f"cat <{node.inode}>", str(raw)], 0
    with start_tool(command, _READING, stdout=subprocess.PIPE) as process:
        try:
            assert process.stdout is not None  # noqa: S101 - a pipe
            while piece := process.stdout.read(_PIECE):
                size += len(piece)
                yield piece
        finally:
            process.kill()
    if size != node.size:
        raise InfrastructureError(f"{_READING}: {name}")
    yield bytes(-size % tarfile.BLOCKSIZE)


def _find(raw: Path, path: str, name: str) -> _Node | None:
    """What lies there; links on the way are not followed."""
    node: _Node | None = _Node(2, _FOLDER | 0o755, 0, 0, name, 0)
    for part in path.strip("/").split("/"):
        if part and node is not None:
            inside = _list(raw, f"<{node.inode}>") if node.kind == _FOLDER else []
            node = next((one for one in inside if one.name == part), None)
    return node


def _list(raw: Path, what: str) -> list[_Node]:
    found = []
    for line in _debugfs(raw, f"ls -p {what}").splitlines():
        if (match := _LINE.fullmatch(line.strip())) and int(match[1]):
            inode, mode, uid, gid = int(match[1]), int(match[2], 8), int(match[3]), int(match[4])
            found.append(_Node(inode, mode, uid, gid, os.fsdecode(match[5]), int(match[6] or 0)))
    return found


def _debugfs(raw: Path, request: str) -> bytes:
    return _run("debugfs", "-R", request, str(raw))


def _run(*command: str, worst: int = 0) -> bytes:
    return run_tool(*command, doing=_READING, worst=worst, most=_MOST)
