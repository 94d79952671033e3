"""libvirt's file of a saved guest: read it, and begin another one for a clone of that guest.

The file is a header, the guest's definition (XML), a cookie (XML of libvirt's own), and what QEMU
says of the guest's memory and devices. libvirt restores a file under the name and the UUID that
stand in it and under no others, so a clone's file has a definition of its own. The format:
`virQEMUSaveHeader` of libvirt's src/qemu/qemu_saveimage.h; all numbers in the host's order.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree

from distromatrix.engines.vagrant.vagrantfile import Definition, arguments_of
from distromatrix.errors import InfrastructureError

_MAGIC = b"LibvirtQemudSave"
_HEADER = struct.Struct("=16s5I")  # magic, version, length, was running, compressed, cookie
_SIZE = _HEADER.size + 14 * 4
_QEMU = "http://libvirt.org/schemas/domain/qemu/1.0"
_LONGEST = 16 * 1024**2  # no definition has so many bytes

ElementTree.register_namespace("qemu", _QEMU)


@dataclass(frozen=True, slots=True)
class SavedState:
    """What stands before a saved guest's memory. `offset`: where that begins in the file."""

    definition: str
    cookie: bytes
    head: bytes
    offset: int


def read_saved(file: Path) -> SavedState:
    """Raises InfrastructureError where it is no such file."""
    try:
        with file.open("rb") as data:
            head = data.read(_SIZE)
            magic, version, length, _, _, cookie = _HEADER.unpack(head[: _HEADER.size])
            if magic != _MAGIC or version != 2 or length > _LONGEST:
                raise ValueError("not the format of a saved guest that is known here")
            body = data.read(length)
    except (OSError, struct.error, ValueError) as error:
        raise InfrastructureError(f"{file}: {error}", transient=False) from error
    split = cookie or length
    text = body[:split].rstrip(b"\0").decode("utf-8", "replace")
    return SavedState(text, body[split:].rstrip(b"\0") if cookie else b"", head, _SIZE + length)


def write_clone(file: Path, saved: SavedState, definition: str, to: Path) -> None:
    """The saved guest of `file` with that definition instead of its own. Raises OSError."""
    text = definition.encode() + b"\0"
    cookie = saved.cookie + b"\0" if saved.cookie else b""
    magic, version, _, _, compressed, _ = _HEADER.unpack(saved.head[: _HEADER.size])
    length = len(text) + len(cookie)
    begin = len(text) if cookie else 0
    head = _HEADER.pack(magic, version, length, 1, compressed, begin)
    with file.open("rb") as source, to.open("wb") as out:
        out.write(head + saved.head[_HEADER.size :] + text + cookie)
        out.flush()
        at, end = saved.offset, os.fstat(source.fileno()).st_size
        while at < end:
            done = os.sendfile(out.fileno(), source.fileno(), at, end - at)
            if done == 0:
                break
            at += done


def clone_definition(
    definition: str, clone: Definition, identity: str, disks: Mapping[str, str]
) -> str:
    """The definition of a clone with that UUID. `disks`: the path of its own disk for each path
    of the template's. Raises InfrastructureError where the template has what two guests cannot
    share."""
    root = ElementTree.fromstring(definition)  # noqa: S314  # our own libvirt's
    _set(root, "name", clone.name)
    _set(root, "uuid", identity)
    _set(root, "description", clone.title)
    if root.find("devices/interface") is not None:
        raise InfrastructureError("has a network that its clones would share", transient=False)
    for disk in root.findall("devices/disk"):
        _own_disk(disk, disks)
    for path in (".//serial/source", ".//console/source"):
        for source in root.findall(path):
            source.set("path", clone.console)
    for channel in root.findall("devices/channel"):
        for source in channel.findall("source"):  # libvirt chooses a path of its own
            channel.remove(source)
    emulator = root.find("devices/emulator")
    if emulator is not None and clone.emulator:
        emulator.text = clone.emulator
    line = root.find(f"{{{_QEMU}}}commandline")
    if line is not None:
        for old in list(line):
            line.remove(old)
        for value in arguments_of(clone):
            ElementTree.SubElement(line, f"{{{_QEMU}}}arg", {"value": value})
    return ElementTree.tostring(root, encoding="unicode")


def disks_of(definition: str) -> tuple[str, ...]:
    """The paths of the disks that a guest writes to."""
    root = ElementTree.fromstring(definition)  # noqa: S314
    found = []
    for disk in root.findall("devices/disk"):
        source = disk.find("source")
        if source is not None and disk.find("readonly") is None:
            found.append(source.get("file", ""))
    return tuple(found)


def is_shared(definition: str) -> bool:
    """Whether it has what two guests cannot have at the same time: a network, or a disk that is
    no file."""
    root = ElementTree.fromstring(definition)  # noqa: S314
    return root.find("devices/interface") is not None or "" in disks_of(definition)


def _own_disk(disk: ElementTree.Element, own: Mapping[str, str]) -> None:
    source = disk.find("source")
    path = "" if source is None else source.get("file", "")
    if source is None or path not in own:
        return
    source.attrib.clear()
    source.set("file", own[path])
    for known in disk.findall("backingStore"):  # it has one more below it
        disk.remove(known)


def _set(root: ElementTree.Element, name: str, text: str) -> None:
    element = root.find(name)
    if element is None:
        element = ElementTree.SubElement(root, name)
    element.text = text
