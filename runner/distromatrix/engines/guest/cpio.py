"""Archives in the format `newc`, which kernels take for an initramfs (the kernel's
Documentation/driver-api/early-userspace/buffer-format.rst): no owners, no times."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import NamedTuple

FOLDER, PROGRAM, FILE, DEVICE = 0o40755, 0o100755, 0o100644, 0o20600


class CpioEntry(NamedTuple):
    """One file; `device`: its major and minor number."""

    name: str
    mode: int
    data: bytes = b""
    device: tuple[int, int] = (0, 0)


def newc(entries: Iterable[CpioEntry]) -> bytes:
    """The archive; a folder comes before what lies in it."""
    return b"".join(_parts((*entries, CpioEntry("TRAILER!!!", 0))))


def _parts(entries: Iterable[CpioEntry]) -> Iterator[bytes]:
    for number, (name, mode, data, device) in enumerate(entries, 1):
        path = name.encode() + b"\0"
        fields = (number, mode, 0, 0, 1, 0, len(data), 0, 0, *device, len(path), 0)
        head = b"070701" + b"".join(b"%08X" % field for field in fields) + path
        yield head + bytes(-len(head) % 4)
        yield data + bytes(-len(data) % 4)
