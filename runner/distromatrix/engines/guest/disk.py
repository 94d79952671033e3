"""What makes a guest's disk of a root filesystem, on this host: tar and mke2fs, by a script."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import subprocess
from collections import deque
from collections.abc import Iterable, Iterator
from pathlib import Path
from subprocess import DEVNULL, PIPE
from threading import Thread
from typing import IO

from distromatrix.engines.answer import LONGEST, MOST_LISTED, hear_out
from distromatrix.errors import CannotStartError, EngineUnavailableError, InfrastructureError

_MAKING = "a guest's disk cannot be made"
_FULL = b"No space left on device"
_LINES = 100  # that are kept of what a program says
_LONGEST = 1000  # bytes of one
NO_GUEST = 3  # a script's status where no guest can be made of an image


def fill_disk(rootfs: Iterable[bytes], script: str, *arguments: str) -> None:
    """Run a script (`sh -e`) that gets a root filesystem as a tar stream on its stdin, as root
    or as if it were. Raises CannotStartError, InfrastructureError."""
    command = ["sh", "-ec", script, "sh", *arguments]
    if os.geteuid() != 0:
        command = ["fakeroot", *command]  # so that owners are as they are to be on the disk
    process = start_tool(command, _MAKING, stdin=PIPE, stderr=PIPE)
    assert process.stdin is not None and process.stderr is not None  # noqa: S101 - both are pipes
    heard = _Heard(process.stderr)
    with process:
        try:
            with contextlib.suppress(BrokenPipeError):
                for piece in rootfs:
                    process.stdin.write(piece)
        except BaseException:
            process.kill()
            raise
        finally:  # or what the script has called waits for more, and we for its last words
            with contextlib.suppress(BrokenPipeError):
                process.stdin.close()
        said = heard.all()
    if process.returncode == 0:
        return
    last = _last(process.returncode, said)
    if process.returncode == NO_GUEST:
        raise CannotStartError(f"no guest can be made of the image: {last}")
    if last.endswith("not found"):
        raise _lacking(_MAKING, last)
    raise _fault(_MAKING, last, transient=False)


def bounded(rootfs: Iterable[bytes], most: int) -> Iterator[bytes]:
    """The same stream. Raises CannotStartError where it has more bytes than a guest's disk."""
    left = most
    for piece in rootfs:
        left -= len(piece)
        if left < 0:
            raise CannotStartError(
                f"no guest can be made of the image: it has more than {most // 1024**3} GiB"
            )
        yield piece


def new_overlay(file: Path, base: Path, form: str) -> None:
    """An empty overlay (qcow2) over a disk. Raises InfrastructureError."""
    kinds = ("-f", "qcow2", "-b", str(base), "-F", form)
    run_tool("qemu-img", "create", "-q", *kinds, str(file))


def run_tool(*command: str, doing: str = _MAKING, worst: int = 0, most: int = MOST_LISTED) -> bytes:
    """What a tool that works on a disk prints, fewer bytes than `most`. `doing`: what cannot be
    done where it fails, with a status above `worst`. Raises InfrastructureError."""
    process = start_tool([*command], doing, stdout=PIPE, stderr=PIPE)
    try:
        printed, said = hear_out(process, LONGEST, most=most)
    except subprocess.TimeoutExpired as error:
        why = f"{command[0]} was not done after {LONGEST:.0f} s"
        raise InfrastructureError(f"{doing}: {why}") from error
    if len(printed) == most:
        raise InfrastructureError(f"{doing}: {command[0]} lists too much")
    if not 0 <= process.returncode <= worst:
        last = _last(process.returncode, said).removeprefix(f"{command[0]}: ")
        raise _fault(f"{doing}: {command[0]}", last, transient=True)
    return printed


def start_tool(
    command: list[str],
    doing: str,
    *,
    stdin: int = DEVNULL,
    stdout: int = DEVNULL,
    stderr: int = DEVNULL,
) -> subprocess.Popen[bytes]:
    """Start it. Raises EngineUnavailableError where it is not installed."""
    env = {**os.environ, "LC_ALL": "C", "PATH": f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin"}
    try:
        return subprocess.Popen(command, stdin=stdin, stdout=stdout, stderr=stderr, env=env)
    except FileNotFoundError as error:
        raise _lacking(doing, str(error.filename)) from error


class _Heard:
    """What a program complains of: heard while it works, for tar has a line for each file that
    a full disk does not take, and waits until somebody reads it."""

    def __init__(self, stream: IO[bytes]) -> None:
        self._stream = stream
        self._lines: deque[bytes] = deque(maxlen=_LINES)
        self._full = b""
        self._thread = Thread(target=self._hear, daemon=True, name="distromatrix-heard")
        self._thread.start()

    def _hear(self) -> None:
        for line in iter(lambda: self._stream.readline(_LONGEST), b""):
            self._lines.append(line)
            if _FULL in line:
                self._full = line

    def all(self) -> bytes:
        """The last lines, and that the disk is full where one said so, when all is said."""
        self._thread.join()
        return b"".join((*self._lines, self._full))


def natural(text: str) -> tuple[tuple[int, str], ...]:
    """A key that sorts versions: 6.9 before 6.10."""
    return tuple((int(n or 0), t) for n, t in re.findall(r"(\d*)(\D*)", text))


def bytes_of(*paths: Path) -> int:
    """What files, and all below folders, take of the disk; what goes meanwhile, nothing."""
    total = 0
    for path in paths:
        below = (Path(top, name) for top, _, names in os.walk(path) for name in names)
        for file in (path, *below):
            with contextlib.suppress(OSError):
                total += file.lstat().st_blocks * 512
    return total


def remove_tree(folder: Path, *, ignore_errors: bool = False) -> None:
    """Remove a folder with all that is in it. Raises OSError."""
    if os.geteuid() != 0:  # folders in it may be closed to their owner
        for path, _, _ in os.walk(folder):
            with contextlib.suppress(OSError):
                Path(path).chmod(0o700)
    shutil.rmtree(folder, ignore_errors=ignore_errors)


def _last(status: int, output: bytes) -> str:
    lines = output.decode(errors="replace").strip().splitlines()
    return lines[-1] if lines else f"status {status}"


def _fault(doing: str, last: str, *, transient: bool) -> InfrastructureError:
    """What to raise for what a tool said last."""
    if _FULL.decode() in last:
        last, transient = f"the disk of this host is full ({last})", False
    return InfrastructureError(f"{doing}: {last}", transient=transient)


def _lacking(doing: str, what: str) -> EngineUnavailableError:
    return EngineUnavailableError(
        f"{doing}: {what} is missing (`distromatrix doctor --guests --fix` installs what is needed)"
    )
