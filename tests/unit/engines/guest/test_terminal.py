"""A shell in a guest, for whoever sits here: what goes through the stream, and what is shown."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from pathlib import Path
from threading import Thread

import pytest

from distromatrix.engines.qemu.terminal import Pieces, Telnet, bridge
from distromatrix.errors import MachineGoneError
from given import stdin_of

OFFERS = b"\xff\xfd\x01\xff\xfd\x1f\xff\xfb\x01\xff\xfb\x03"


@pytest.fixture
def ends() -> Iterator[tuple[socket.socket, socket.socket]]:
    here, there = socket.socketpair()
    with here, there:
        yield here, there


@pytest.mark.parametrize("size", [1, 2, 3, 1000])
def test_what_telnet_says_of_itself_is_not_shown(size: int) -> None:
    said = OFFERS + b"\r\r\n$ a\xff\xffb\xff\xf1c\r\n"
    way, shown = Telnet(), b""
    for at in range(0, len(said), size):
        shown += way.decode(said[at : at + size])
    assert shown.removeprefix(b"\r\r\n") == b"$ a\xffbc\r\n"
    assert size < 3 or shown.startswith(b"$ ")


def test_every_byte_that_is_typed_arrives() -> None:
    assert Telnet().encode(b"a\xff\r\n\r") == b"a\xff\xff\r\0\n\r\0"


def test_input_goes_in_pieces_and_its_end_is_told(
    ends: tuple[socket.socket, socket.socket], tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    here, there = ends
    (tmp_path / "in").write_bytes(b"exit 3\n")
    got = bytearray()

    def shell() -> None:
        there.sendall(b"of one before\nend-1 0\nend-2\n")
        while not got.endswith(b"0\n"):
            got.extend(there.recv(100))
        for byte in b"said end-\nend-2 3\n":
            there.sendall(bytes((byte,)))

    thread = Thread(target=shell)
    thread.start()
    with stdin_of(tmp_path / "in"):
        assert bridge("m", Pieces(), here, "end-2") == 3
    thread.join()
    assert bytes(got) == b"7\nexit 3\n0\n"
    assert capfd.readouterr().out == "said end-\n"


def test_a_guest_that_ends_is_told(
    ends: tuple[socket.socket, socket.socket], tmp_path: Path
) -> None:
    here, there = ends
    (tmp_path / "in").write_bytes(b"")
    there.close()
    with stdin_of(tmp_path / "in"), pytest.raises(MachineGoneError, match="m is gone"):
        bridge("m", Pieces(), here, "end-2")
