"""A shell in a guest, for whoever sits at this process's terminal, or for its standard input.

Two ways through a stream of bytes: telnet (RFC 854, with window sizes by RFC 1073), whose other
end gives the shell a terminal; and pieces of known length, whose end the shell sees as the end
of its input."""

from __future__ import annotations

import contextlib
import os
import re
import select
import signal
import socket
import struct
import sys
import termios
import tty
from collections.abc import Iterator

from distromatrix.errors import MachineGoneError

_PIECE = 1 << 15
_IAC, _WILL, _DO, _SB, _SE, _NAWS = 255, 251, 253, 250, 240, 31


class Pieces:
    """Input in pieces, each after a line with its length; one of length 0 is the end. Output
    as it is."""

    def begin(self) -> bytes:
        """What is sent first."""
        return b""

    def encode(self, data: bytes) -> bytes:
        """What is sent for that input; b'' is its end."""
        return b"%d\n" % len(data) + data

    def decode(self, data: bytes) -> bytes:
        """What is to be shown of that output."""
        return data


class Telnet:
    """The client's side of what busybox's telnetd speaks."""

    def __init__(self) -> None:
        self._left = b""
        self._first = True

    def begin(self) -> bytes:
        """See Pieces."""
        return bytes((_IAC, _WILL, _NAWS)) + self.size()

    def size(self) -> bytes:
        """What tells the terminal's size."""
        size = struct.pack("!HH", *window())
        told = size.replace(b"\xff", b"\xff\xff")
        return bytes((_IAC, _SB, _NAWS)) + told + bytes((_IAC, _SE))

    def encode(self, data: bytes) -> bytes:
        """See Pieces. Without a NUL after it, a carriage return would swallow a newline."""
        return data.replace(b"\xff", b"\xff\xff").replace(b"\r", b"\r\0")

    def decode(self, data: bytes) -> bytes:
        """See Pieces. Of what the other end offers nothing needs an answer."""
        data, self._left = self._left + data, b""
        shown, at = bytearray(), 0
        while (found := data.find(_IAC, at)) >= 0:
            shown += data[at:found]
            size = 3 if data[found + 1 : found + 2] >= bytes((_WILL,)) else 2
            if data[found + 1 : found + 2] == b"\xff":
                size = 2
                shown += b"\xff" if len(data) >= found + 2 else b""
            if len(data) < found + size:
                self._left = data[found:]
                return self._begun(bytes(shown))
            at = found + size
        return self._begun(bytes(shown + data[at:]))

    def _begun(self, shown: bytes) -> bytes:
        """telnetd begins with an empty line, for a greeting that there is not."""
        if self._first and shown:
            self._first = False
            return shown.removeprefix(b"\r\r\n")
        return shown


# How bytes of a person, or of a pipe, go through the stream and back.
Way = Pieces | Telnet


def window() -> tuple[int, int]:
    """Columns and lines of the terminal."""
    with contextlib.suppress(OSError):
        return os.get_terminal_size(0)
    return 80, 24


class _TerminalOutput:
    """One of the shell's outputs: what comes between a line with the token, before which others
    may have left something, and the token with the shell's status."""

    def __init__(self, token: str, way: Way) -> None:
        self._way = way
        self._token = token.encode()
        self._last = re.compile(re.escape(self._token) + rb" (\d*)\n")
        self._left = b""
        self._begun = False
        self.status: int | None = None

    def feed(self, data: bytes) -> bytes:
        """What of it is the shell's."""
        if not self._begun:
            before, line, data = (self._left + data).partition(self._token + b"\n")
            self._begun, self._left = bool(line), b"" if line else before
            if not line:
                return b""
        data, self._left = self._left + self._way.decode(data), b""
        if found := self._last.search(data):
            self.status = int(found[1] or 255)
            return data[: found.start()]
        keep = next((n for n in range(len(self._token) + 5, 0, -1) if self._may_be(data[-n:])), 0)
        if keep:
            data, self._left = data[:-keep], data[-keep:]
        return data

    def _may_be(self, data: bytes) -> bool:
        return self._token.startswith(data) or data.startswith(self._token)


def bridge(
    name: str,
    way: Way,
    out: socket.socket,
    token: str,
    err: socket.socket | None = None,
) -> int:
    """Hand on what goes and comes between this process and a shell in the machine `name`, from
    the line `TOKEN` until `TOKEN STATUS`, on `out` and, where its errors come apart, on `err`.
    Returns that status (255 where it has none). Raises MachineGoneError."""
    ends = {one: _TerminalOutput(token, way) for one in (out, err) if one is not None}
    shown = {out: 1, err: 2}
    pending = bytearray(way.begin())
    listening = True
    wake, waker = os.pipe()
    os.set_blocking(waker, False)
    with _raw(way, waker), contextlib.ExitStack() as closing:
        for fd in (wake, waker):
            closing.callback(os.close, fd)
        while any(end.status is None for end in ends.values()):
            asked: list[socket.socket | int] = [*ends, wake]
            asked += [0] if listening and len(pending) < _PIECE else []
            readable, writable, _ = select.select(asked, [out] if pending else [], [])
            if writable:
                with _alive(name):
                    sent = out.send(pending, socket.MSG_DONTWAIT)
                del pending[:sent]
            if wake in readable and os.read(wake, _PIECE) and isinstance(way, Telnet):
                pending += way.size()
            if 0 in readable:
                data = _input()
                listening = bool(data)
                pending += way.encode(data)
            for one in readable:
                if isinstance(one, socket.socket):
                    with _alive(name):
                        data = one.recv(_PIECE)
                    if not data:
                        raise MachineGoneError(f"{name} is gone")
                    _show(shown[one], ends[one].feed(data))
    return ends[out].status or 0


def _input() -> bytes:
    try:
        return os.read(0, _PIECE)
    except OSError:  # the terminal is gone
        return b""


@contextlib.contextmanager
def _alive(name: str) -> Iterator[None]:
    try:
        yield
    except BlockingIOError:
        raise
    except OSError as error:
        raise MachineGoneError(f"{name} is gone") from error


def _show(file: int, data: bytes) -> None:
    while data:
        data = data[os.write(file, data) :]


@contextlib.contextmanager
def _raw(way: Way, waker: int) -> Iterator[None]:
    """With telnet: every key is the shell's, and each change of the window's size wakes us."""
    if not isinstance(way, Telnet):
        yield
        return
    sys.stdout.flush()
    sys.stderr.flush()
    before = termios.tcgetattr(0)
    handler = signal.signal(signal.SIGWINCH, lambda *_: os.write(waker, b"w"))
    try:
        tty.setraw(0)
        yield
    finally:
        signal.signal(signal.SIGWINCH, handler)
        termios.tcsetattr(0, termios.TCSADRAIN, before)
