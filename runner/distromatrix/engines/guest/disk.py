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
from threading import Thread
from typing import IO

from distromatrix.engines.answer import LONGEST, hear_out
from distromatrix.errors import CannotStartError, EngineUnavailableError, InfrastructureError

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
    process = _started(command)
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
    _judge(process.returncode, said)


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


def run_tool(*command: str) -> None:
    """Run what works on a disk. Raises CannotStartError, InfrastructureError."""
    process = _started([*command])
    try:
        _, said = hear_out(process, LONGEST)
    except subprocess.TimeoutExpired as error:
        raise InfrastructureError(f"{command[0]} was not done after {LONGEST:.0f} s") from error
    _judge(process.returncode, said)


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


def _started(command: list[str]) -> subprocess.Popen[bytes]:
    env = {**os.environ, "LC_ALL": "C", "PATH": f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin"}
    try:
        return subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            env=env,
        )
    except FileNotFoundError as error:
        raise _lacking(str(error.filename)) from error


def _lacking(what: str) -> EngineUnavailableError:
    return EngineUnavailableError(
        f"a guest's disk cannot be made: {what} is missing "
        "(`distromatrix doctor --guests --fix` installs what is needed)"
    )


def _judge(status: int, output: bytes) -> None:
    if status == 0:
        return
    said = output.decode(errors="replace").strip()
    last = said.splitlines()[-1] if said else f"status {status}"
    if _FULL.decode() in last:
        raise InfrastructureError(
            f"a guest's disk cannot be made: the disk of this host is full ({last})",
            transient=False,
        )
    if status == NO_GUEST:
        raise CannotStartError(f"no guest can be made of the image: {last}")
    if last.endswith("not found"):
        raise _lacking(last)
    raise InfrastructureError(f"a guest's disk cannot be made: {last}", transient=False)
