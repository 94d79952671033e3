"""Programs that guests need and that neither busybox nor every distribution has, as ELF files.
Their source, with what each does, is `inside/programs/programs.c`; what is built of it lies beside
it: a compiler is not among what a host needs."""

from __future__ import annotations

import platform
import struct
from importlib.resources import files

from distromatrix.errors import EngineUnavailableError

_MACHINES = {"x86_64": 62, "aarch64": 183}  # e_machine of elf(5)
_BASE = 0x400000
_HEADERS = 64 + 56  # ELF's own and one program header (elf(5)); programs.ld leaves room for them
_MOST_TEXT = 60  # bytes


def program(name: str) -> bytes:
    """`reseed`: it has the kernel draw its random numbers anew. `awaken`: what a guest that was
    saved does once it goes on: new random numbers, the time (its argument, in seconds since 1970),
    and another address for eth0; it exits with 1 where that fails. `session`: it begins a session,
    and then the program that its arguments name (an absolute path). `piped`: it begins that with
    pipes of this user's as stdout and stderr, and exits with 126 where it cannot."""
    machine = platform.machine()
    if machine not in _MACHINES:
        raise EngineUnavailableError(f"there are no programs for guests on {machine}")
    inside = files("distromatrix.engines.guest").joinpath("inside/programs", machine)
    code = inside.joinpath(name).read_bytes()
    size = _HEADERS + len(code)
    header = struct.pack(
        "<16sHHIQQQIHHHHHH",
        *(b"\x7fELF\x02\x01\x01", 2, _MACHINES[machine], 1, _BASE + _HEADERS),
        *(64, 0, 0, 64, 56, 1, 0, 0, 0),
    )
    segment = struct.pack("<IIQQQQQQ", 1, 5, 0, _BASE, _BASE, size, size, 0x1000)
    return header + segment + code


def become(uid: int, gid: int, *, alone: bool = True) -> bytes:
    """It becomes that user with that group and no other, in a session of its own (`alone`), and
    then the program that its arguments name (an absolute path); it exits with 126 where it may
    not."""
    code = program("become" if alone else "enter")
    return _with(_with(code, b"UID?", struct.pack("<I", uid)), b"GID?", struct.pack("<I", gid))


def say_and_power_off(text: bytes) -> bytes:
    """It writes the text, of some bytes, on its stdout and switches the machine off."""
    if len(text) > _MOST_TEXT:
        raise ValueError(text)
    mark = b"LEN?" + bytes(_MOST_TEXT)
    said = struct.pack(f"<I{_MOST_TEXT}s", len(text), text)
    return _with(program("say_and_power_off"), mark, said)


def _with(code: bytes, mark: bytes, value: bytes) -> bytes:
    before, found, after = code.partition(mark)
    if not found or mark in after:
        raise ValueError(mark)
    return before + value + after
