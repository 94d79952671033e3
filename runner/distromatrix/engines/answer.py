"""What a helper command of ours prints in a machine, or a program of ours here that is fed by
one: so much is kept, and it is waited for so long."""

from __future__ import annotations

import contextlib
import os
import subprocess
from collections.abc import Iterable, Mapping
from threading import Thread, Timer
from time import monotonic
from typing import IO, TYPE_CHECKING

from distromatrix.engines.contract import Command
from distromatrix.errors import InfrastructureError, MachineGoneError

if TYPE_CHECKING:
    from distromatrix.engines.contract import Machine

HELPER_WITHIN = 10.0  # seconds, as often as the machine's scale says; ours take a moment
MOST = 64 * 1024  # bytes; ours print less than a hundred
LONGEST = 1800.0  # seconds for what moves files, where nothing else is said
MOST_LISTED = 4 * 1024**2  # of a list of processes


class Answer:
    """The first bytes of what is said; all else is heard, and not kept. To be given as
    `output`."""

    def __init__(self, most: int = MOST) -> None:
        self._most = most
        self._kept = bytearray()

    def __call__(self, piece: bytes) -> None:
        """Hear that piece."""
        self._kept += piece[: self._most - len(self._kept)]

    def read(self, pieces: Iterable[bytes], within: float) -> bool:
        """Hear a stream; whether it ended within those seconds, and all of it is kept."""
        until = monotonic() + within
        for piece in pieces:
            self(piece)
            if self.full or monotonic() > until:
                return False
        return True

    @property
    def full(self) -> bool:
        """Whether no more of what is said is kept."""
        return len(self._kept) == self._most

    def __bool__(self) -> bool:
        return bool(self._kept)

    def __bytes__(self) -> bytes:
        return bytes(self._kept)

    def __str__(self) -> str:
        return self._kept.decode(errors="replace").strip()


class _FloodError(Exception):
    """More comes than a helper of ours ever says."""


def ask(machine: Machine, script: str, env: Mapping[str, str] | None = None) -> str:
    """What a helper prints in a machine, in HELPER_WITHIN seconds. Where it floods, its programs
    are the product's, as those of the next one: the machine is killed. Raises MachineGoneError
    then, InfrastructureError."""
    said = Answer()

    def hear(piece: bytes) -> None:
        said(piece)
        if said.full:
            raise _FloodError

    try:
        machine.run(
            Command(script, env=env or {}, timeout=HELPER_WITHIN * machine.scale, output=hear)
        )
    except _FloodError:
        why = "was given up: what a command of ours calls there prints without end"
        machine.kill(why)
        raise MachineGoneError(f"{machine.name} {why}") from None
    return str(said)


def ask_disk_free(machine: Machine, folder: str) -> int | None:
    """Bytes left where a folder of a machine lies, None where that is not to be had. Raises
    MachineGoneError."""
    try:
        return int(ask(machine, f"df -Pk {folder}").splitlines()[-1].split()[3]) * 1024
    except MachineGoneError:
        raise
    except (InfrastructureError, ValueError, IndexError):
        return None


class Late(Timer):
    """Kills a process that is late."""

    def __init__(self, process: subprocess.Popen[bytes], within: float) -> None:
        super().__init__(within, self._kill)
        self.daemon = True
        self.is_late = False
        self._process = process
        self.start()

    def _kill(self) -> None:
        self.is_late = True
        self._process.kill()


def hear(file: IO[bytes], said: Answer) -> Thread:
    """Begin to read a pipe to its end."""

    def read() -> None:
        with contextlib.suppress(OSError, ValueError):  # it was closed
            while piece := os.read(file.fileno(), MOST):
                said(piece)

    thread = Thread(target=read, daemon=True, name="distromatrix-hear")
    thread.start()
    return thread


def hear_out(
    process: subprocess.Popen[bytes],
    within: float,
    *,
    feed: Iterable[bytes] = (),
    most: int = MOST_LISTED,
) -> tuple[bytes, bytes]:
    """Feed a process and wait for its end; the first `most` bytes of what it prints on each of
    its pipes. Raises subprocess.TimeoutExpired after `within` seconds, when it is killed."""
    said = Answer(most), Answer(most)
    pipes = [
        (file, to) for file, to in zip((process.stdout, process.stderr), said, strict=True) if file
    ]
    heard = [hear(file, to) for file, to in pipes]
    late = Late(process, within)
    try:
        if process.stdin is not None:
            with contextlib.suppress(BrokenPipeError), process.stdin as line:
                for piece in feed:
                    line.write(piece)
        process.wait()
        for thread in heard:  # what it began may hold its pipes open for ever
            thread.join(1.0)
    finally:
        late.cancel()
        process.kill()
        process.wait()
        for (file, _), thread in zip(pipes, heard, strict=True):
            if not thread.is_alive():
                file.close()
    if late.is_late:
        raise subprocess.TimeoutExpired(process.args, within)
    return bytes(said[0]), bytes(said[1])
