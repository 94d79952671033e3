"""Shells kept open in a machine: a command costs a round trip, not a new process from outside.

A shell is LOOP, a POSIX `sh` that reads one command per line and evals it. A line prints, on
stdout and on stderr, a marker that nobody can guess, before the command and after it, there
with its status. What stands between them is the command's, byte by byte; anything else comes
from processes that earlier commands left behind, and is dropped.
"""

from __future__ import annotations

import re
import secrets
from dataclasses import dataclass, field
from time import monotonic
from typing import Protocol

from distromatrix.engines.contract import Command, OnOutput
from distromatrix.errors import InfrastructureError, InputError
from distromatrix.plan.scripts import passed_to

# Nothing here is exported, so nothing of it reaches a command's environment. _dm_s: what gives a
# command a session of its own, where the machine has it (util-linux and busybox do) and no
# command has removed it. _dm_b begins a command: it says the id of the process that becomes it,
# and lets the kernel's out-of-memory killer find that before this shell. A shell reads byte by
# byte: what each line would repeat is here. An interpreter that counts itself in SHLVL begins at
# 1, as it does where nobody calls it. 3 is stderr for commands: what the shell itself says
# (`Killed`) is none of theirs.
LOOP = """_dm_n='
'
_dm_s=$(command -v setsid)
_dm_b() {
[ -x "$_dm_s" ] || _dm_s=
cd -P /proc/self || { echo $_dm_m b; return; }
echo $_dm_m b ${PWD##*/}
echo 200 >oom_score_adj
} 2>/dev/null
[ "$SHLVL" != 1 ] || unset SHLVL
exec 3>&2 2>/dev/null
while IFS= read -r _dm_l; do eval "$_dm_l"; done"""


def loop_by(session: str) -> str:
    """LOOP, with that program for a setsid that costs less (see guest/programs.py)."""
    found = "_dm_s=$(command -v setsid)\n"
    assert found in LOOP  # noqa: S101
    return LOOP.replace(found, f"_dm_s={session}\n")


_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*", re.ASCII)
STDOUT, STDERR = 1, 2


class ShellEndedError(Exception):
    """The shell's output ended before the command did."""


class ForgedError(InfrastructureError):
    """Somebody in the machine, who knows the marker, wrote what no shell of ours writes."""

    def __init__(self) -> None:
        super().__init__(
            "what ran in the machine wrote a line of distromatrix's own, to tell how it ended: "
            "it is not believed",
            transient=False,
        )


class Stream(Protocol):
    """The ends of a shell: what goes into its stdin, what comes from its stdout and stderr."""

    def send(self, data: bytes) -> None:
        """Write all of it. Raises OSError."""

    def receive(self, timeout: float | None) -> list[tuple[int, bytes]]:
        """What comes next, in order, each with STDOUT or STDERR; nothing at the end. Raises
        TimeoutError after `timeout` seconds."""

    def shutdown(self) -> None:
        """End it, so that a `receive` in another thread returns nothing. Never raises."""

    def close(self) -> None:
        """Let go of it. Never raises."""


def quote(text: str) -> str:
    """`text` as one word of LOOP's shell, on one line. Raises InputError for a NUL."""
    if "\0" in text:
        raise InputError("a script or a variable contains a NUL character")
    return "'" + text.replace("'", "'\\''").replace("\n", "'\"$_dm_n\"'") + "'"


def command_line(command: Command, marker: str) -> bytes:
    """The one line that makes LOOP run `command`, with the marker and the command's process id
    before it, and the marker and the status after it.

    Raises InputError for a variable name that sh cannot export.
    """
    env, apart = command.env, command.errors is not None
    for name in env:
        if not _NAME.fullmatch(name):
            raise InputError(f"'{name}' cannot be the name of an environment variable")
    exports = "".join(f"export {name}={quote(value)};" for name, value in env.items())
    begin = "echo $_dm_m >&2;" if apart else ""
    sh = "/bin/sh -e -c" if command.strict else "/bin/sh -c"
    call = passed_to(f"exec $_dm_s {sh}", "/bin/sh", command.script, quote)
    # In a subshell: its process becomes the command, and leads its session.
    body = f"_dm_b;{begin}cd {quote(command.cwd)}||exit;unset OLDPWD;{exports}{call}"
    stderr = "2>&3" if apart else "2>&1"
    after = ";echo $_dm_m >&3" if apart else ""
    line = f"_dm_m={marker};({body})</dev/null {stderr} 3>&-;echo $_dm_m e $?{after}\n"
    return line.encode("utf-8", "surrogateescape")


def _line_here(script: str, marker: str) -> bytes:
    """The line that makes LOOP itself run a script of ours."""
    body = f"{{ eval {quote(script)}; }} </dev/null 2>&1 3>&-"
    return f"_dm_m={marker};echo $_dm_m b;{body};echo $_dm_m e $?\n".encode()


def _held_back(data: bytes, marker: bytes) -> int:
    """How many bytes at the end of `data` could be the beginning of the marker."""
    for size in range(min(len(data), len(marker) - 1), 0, -1):
        if data.endswith(marker[:size]):
            return size
    return 0


def _number(words: list[bytes], digits: int) -> int | None:
    """The one word as a number of at most so many digits; None where that is not what it is."""
    if len(words) != 1 or not words[0].isdigit() or len(words[0]) > digits:
        return None
    return int(words[0])


@dataclass(slots=True)
class _Channel:
    """One of the two outputs while a command runs: handed on between its two markers."""

    marker: bytes
    output: OnOutput | None
    data: bytes = b""
    words: list[list[bytes]] = field(default_factory=list)  # what stood behind each marker

    @property
    def ended(self) -> bool:
        return len(self.words) == 2

    def feed(self, data: bytes) -> None:
        self.data += data
        while not self.ended and (at := self.data.find(self.marker)) >= 0:
            self._emit(at)
            line, newline, rest = self.data.partition(b"\n")
            if not newline:
                return
            self.words.append(line.split()[1:])
            self.data = rest
        if not self.ended:
            self._emit(len(self.data) - _held_back(self.data, self.marker))

    def flush(self) -> None:
        """The shell has ended: what was held back is the command's."""
        if not self.data.startswith(self.marker):
            self._emit(len(self.data))

    def _emit(self, size: int) -> None:
        if size and self.output is not None and len(self.words) == 1:
            self.output(self.data[:size])
        self.data = self.data[size:]


class Shell:
    """Runs commands, one at a time, through a stream whose other end is LOOP."""

    def __init__(self, stream: Stream) -> None:
        self.stream = stream
        self._channels: tuple[_Channel, ...] = ()
        self.said = b""  # the beginning of what it said on stderr outside of commands

    def run(self, command: Command) -> int:
        """Its status. Raises TimeoutError past its timeout (`wait` goes on waiting),
        ShellEndedError, ForgedError, OSError."""
        marker = secrets.token_hex(12)
        line = command_line(command, marker)
        outputs = (command.output,) if command.errors is None else (command.output, command.errors)
        self._channels = tuple(_Channel(marker.encode(), output) for output in outputs)
        deadline = None if command.timeout is None else monotonic() + command.timeout
        self.stream.send(line)
        return self.wait(deadline)

    def ask(
        self, script: str, *, deadline: float | None = None, output: OnOutput | None = None
    ) -> int:
        """The status of a script of ours, at the least cost: the shell itself runs it, and what
        it sets stays. Raises as `run` does."""
        marker = secrets.token_hex(12)
        self._channels = (_Channel(marker.encode(), output),)
        self.stream.send(_line_here(script, marker))
        return self.wait(deadline)

    def wait(self, deadline: float | None) -> int:
        """The status of the command that runs. Raises as `run` does."""
        out = self._channels[0]
        while not all(channel.ended for channel in self._channels):
            self._more(deadline)
        status = _number(out.words[1][1:], 3)
        if status is None:
            raise ForgedError
        return status

    @property
    def process(self) -> int | None:
        """The process id, as the machine's processes see it, of the command that runs; None
        where that is not known (yet)."""
        words = self._channels[0].words if self._channels else []
        begun = words[0] if words else []
        return _number(begun[1:], 9) if begun[:1] == [b"b"] else None

    def begin(self, machine: str, timeout: float) -> None:
        """See that it answers. Where it does not, it is closed; raises InfrastructureError with
        what was said instead."""
        try:
            self.run(Command(":", timeout=timeout))
        except (ShellEndedError, TimeoutError, OSError) as error:
            self.drain(0.5)
            self.stream.close()
            said = self.said.decode(errors="replace").strip()
            raise InfrastructureError(
                f"a shell in {machine} did not answer: {said}".rstrip(": ")
            ) from error

    def drain(self, seconds: float) -> None:
        """Hand on what a dying shell still printed, for at most `seconds`. Never raises."""
        deadline = monotonic() + seconds
        try:
            while True:
                self._more(deadline)
        except (ShellEndedError, TimeoutError, OSError):
            return

    def _more(self, deadline: float | None) -> None:
        left = None if deadline is None else deadline - monotonic()
        if left is not None and left <= 0:
            raise TimeoutError
        pieces = self.stream.receive(left)
        if not pieces:
            for channel in self._channels:
                channel.flush()
            raise ShellEndedError
        for kind, data in pieces:
            if kind == STDOUT:
                self._channels[0].feed(data)
            elif len(self._channels) == 2:
                self._channels[1].feed(data)
            elif len(self.said) < 4096:
                self.said += data
