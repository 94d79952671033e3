"""One shell kept open in a machine: a command costs a round trip, not a new process from
outside.

The machine's main process is LOOP, a POSIX `sh` that reads one command per line and evals it.
Every command line ends by printing a marker nobody can guess and the command's status; what
comes before the marker is the command's output, byte by byte.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Mapping
from time import monotonic
from typing import Protocol

from distromatrix.engines.base import OnOutput
from distromatrix.errors import InputError

# The variables are not exported, so nothing of them reaches a command's environment.
LOOP = "_dm_n='\n'\nwhile IFS= read -r _dm_l; do eval \"$_dm_l\"; done"

# Linux takes no argument longer than 128 KiB (MAX_ARG_STRLEN of execve(2)); a character has at
# most 4 bytes.
_CHUNK = 30_000
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*", re.ASCII)


class ShellEndedError(Exception):
    """The shell's output ended before the command did."""


class Stream(Protocol):
    """The two ends of a shell: what goes into its stdin and what comes from its stdout."""

    def send(self, data: bytes) -> None:
        """Write all of it. Raises OSError."""
        ...

    def receive(self, timeout: float | None) -> bytes:
        """What comes next, b'' at the end. Raises TimeoutError after `timeout` seconds."""
        ...

    def shutdown(self) -> None:
        """End it, so that a `receive` in another thread returns b''. Never raises."""
        ...


def quote(text: str) -> str:
    """`text` as one word of LOOP's shell, on one line. Raises InputError for a NUL."""
    if "\0" in text:
        raise InputError("a script or a variable contains a NUL character")
    return "'" + text.replace("'", "'\\''").replace("\n", "'\"$_dm_n\"'") + "'"


def _interpreter(script: str) -> str:
    """The call of `sh -e` for a script of any length that the system's 2 MiB for all
    arguments allow: a long one goes in pieces, put together inside."""
    if len(script) <= _CHUNK:
        return f"/bin/sh -e -c {quote(script)}"
    pieces = [script[i : i + _CHUNK] for i in range(0, len(script), _CHUNK)]
    joined = "".join(f"${{{i}}}" for i in range(1, len(pieces) + 1))
    inner = f'_dm_s="{joined}"; shift $#; eval "unset _dm_s; $_dm_s"'
    return f"/bin/sh -e -c {quote(inner)} /bin/sh {' '.join(map(quote, pieces))}"


def command_line(script: str, env: Mapping[str, str], cwd: str, marker: str) -> bytes:
    """The one line that makes LOOP run `script` and print `marker` and the status.

    Raises InputError for a variable name that sh cannot export.
    """
    for name in env:
        if not _NAME.fullmatch(name):
            raise InputError(f"'{name}' cannot be the name of an environment variable")
    exports = "".join(f"export {name}={quote(value)}; " for name, value in env.items())
    # The kernel's out-of-memory killer shall find the command before it finds this shell.
    adjust = "echo 200 2>/dev/null >/proc/self/oom_score_adj; "
    body = f"{adjust}cd {quote(cwd)} || exit; unset OLDPWD; {exports}exec {_interpreter(script)}"
    line = f"( {body} ) </dev/null 2>&1; printf '%s %s\\n' {marker} \"$?\"\n"
    return line.encode("utf-8", "surrogateescape")


def _held_back(data: bytes, marker: bytes) -> int:
    """How many bytes at the end of `data` could be the beginning of the marker."""
    for size in range(min(len(data), len(marker) - 1), 0, -1):
        if data.endswith(marker[:size]):
            return size
    return 0


class Shell:
    """Runs commands, one at a time, through a stream whose other end is LOOP."""

    def __init__(self, stream: Stream) -> None:
        self._stream = stream
        self._data = b""

    def run(
        self,
        script: str,
        *,
        env: Mapping[str, str] | None = None,
        cwd: str = "/",
        deadline: float | None = None,
        output: OnOutput | None = None,
    ) -> int:
        """The status of `script`; `deadline` is on time.monotonic()'s clock.

        Raises TimeoutError past the deadline, ShellEndedError, OSError.
        """
        marker = secrets.token_hex(16).encode()
        self._stream.send(command_line(script, env or {}, cwd, marker.decode()))
        while (at := self._data.find(marker)) < 0:
            self._emit(len(self._data) - _held_back(self._data, marker), output)
            self._more(deadline, output)
        self._emit(at, output)
        while b"\n" not in self._data:
            self._more(deadline, None)
        line, _, self._data = self._data.partition(b"\n")
        return int(line.split()[1])

    def drain(self, seconds: float, output: OnOutput | None) -> None:
        """Hand on what a dying shell still printed, for at most `seconds`. Never raises."""
        deadline = monotonic() + seconds
        try:
            while True:
                self._more(deadline, output)
                self._emit(len(self._data), output)
        except (ShellEndedError, TimeoutError, OSError):
            return

    def _more(self, deadline: float | None, output: OnOutput | None) -> None:
        left = None if deadline is None else deadline - monotonic()
        if left is not None and left <= 0:
            raise TimeoutError
        data = self._stream.receive(left)
        if not data:
            self._emit(len(self._data), output)
            raise ShellEndedError
        self._data += data

    def _emit(self, size: int, output: OnOutput | None) -> None:
        if size and output is not None:
            output(self._data[:size])
        self._data = self._data[size:]
