"""Making a base image from the distribution's own package mirror, with mmdebstrap."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import time
from contextlib import suppress
from functools import cache
from pathlib import Path
from threading import Event

from distromatrix.errors import ImageError
from distromatrix.model import Bootstrap

TIMEOUT = 1800.0
_TERM_GRACE = 2.0  # mmdebstrap removes its own temporary folder on SIGTERM
_LOG_TAIL = 64 * 1024

# As in Docker's own Debian images: no translated lists, no flush of each unpacked file.
_LIKE_OFFICIAL = ('--aptopt=Acquire::Languages "none"', "--dpkgopt=force-unsafe-io")

_UNREACHABLE = re.compile(
    r"((?:Could not resolve|Temporary failure resolving|Could not connect to|Unable to connect"
    r"|Cannot initiate the connection|Connection failed|Connection timed out).*)"
)
_EXPIRED = re.compile(r"Release file for (\S+) is expired")
_ERROR = re.compile(r"^E: (?!mmdebstrap failed|apt-get .* failed$)(.*)", re.MULTILINE)


class OutOfReachError(Exception):
    """A source cannot be had here: the next one may be tried. `str()` says why and what to
    do, in one line."""


def command(source: Bootstrap, mirror: str, target: Path) -> tuple[str, ...]:
    """The command that writes the root filesystem of `source` to `target`. Without `mirror`
    the tool takes the distribution's own."""
    tool = [source.tool, "--variant=minbase", "--format=tar", *_LIKE_OFFICIAL, *source.options]
    return (*tool, source.suite, str(target), *([mirror] if mirror else []))


def bootstrap(
    source: Bootstrap, mirror: str, folder: Path, cancelled: Event, timeout: float = TIMEOUT
) -> Path:
    """Build the root filesystem of `source` in `folder`, which is emptied before, and return
    its tar file. Raises OutOfReachError where the tool or its mirror is not to be had,
    ImageError for all else, also when `cancelled` is set meanwhile."""
    if shutil.which(source.tool) is None:
        raise OutOfReachError(f"{source.tool} is not installed: apt-get install {source.tool}")
    shutil.rmtree(folder, ignore_errors=True)  # of one that was killed
    folder.mkdir(parents=True)
    target, log = folder / "rootfs.tar", folder / "log"
    with log.open("wb") as output:
        status = _run(command(source, mirror, target), folder, output.fileno(), cancelled, timeout)
    text = _tail(log)
    if cancelled.is_set():
        raise ImageError(f"{source.tool} {source.suite}: cancelled", log=text)
    if status is None:
        raise ImageError(
            f"{source.tool} {source.suite} did not end within {timeout / 60:.0f} min",
            log=text,
            transient=True,
        )
    if status != 0:
        raise _failure(source, status, text)
    return target


def _run(
    command: tuple[str, ...], folder: Path, output: int, cancelled: Event, timeout: float
) -> int | None:
    """The exit status, or None when it was stopped by its timeout or by `cancelled`."""
    env = {**os.environ, "LC_ALL": "C"}
    if os.geteuid() == 0:
        # The tree it builds, too, goes where there is room, and is found there if we are
        # killed. Without root another user id builds it, to whom our folder is closed.
        env["TMPDIR"] = str(folder)
    command = (*_bound_to_us(), *command)
    process = subprocess.Popen(
        command,
        env=env,
        stdin=subprocess.DEVNULL,
        stdout=output,
        stderr=output,
        start_new_session=True,
    )
    until = time.monotonic() + timeout
    try:
        while time.monotonic() < until and not cancelled.is_set():
            with suppress(subprocess.TimeoutExpired):
                return process.wait(0.1)
        return None
    finally:
        _end(process)


@cache
def _bound_to_us() -> tuple[str, ...]:
    """What makes a command end with us, however we end, and take its mounts along: root can
    give it namespaces of its own, which go with their first process. (SIGTERM alone is
    something that mmdebstrap forgets while it waits for apt.)"""
    if sys.platform != "linux" or not shutil.which("setpriv"):
        return ()
    alone = ("unshare", "--mount", "--pid", "--fork", "--kill-child=KILL")
    if os.geteuid() == 0 and shutil.which("unshare"):
        trial = subprocess.run(
            (*alone, "true"), stdin=subprocess.DEVNULL, capture_output=True, check=False
        )
        if trial.returncode == 0:
            return ("setpriv", "--pdeathsig", "KILL", *alone)
    return ("setpriv", "--pdeathsig", "TERM")


def _end(process: subprocess.Popen[bytes]) -> None:
    """End a process with all its group; mmdebstrap's children may outlive it."""
    if process.poll() is None:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGTERM)
        with suppress(subprocess.TimeoutExpired):
            process.wait(_TERM_GRACE)
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def _tail(log: Path) -> str:
    with log.open("rb") as file:
        file.seek(max(0, log.stat().st_size - _LOG_TAIL))
        return file.read().decode(errors="replace")


def _failure(source: Bootstrap, status: int, text: str) -> Exception:
    """What the tool's output says went wrong."""
    what = f"{source.tool} {source.suite}"
    if expired := _EXPIRED.search(text):
        return ImageError(
            f"{what}: the mirror's Release file has expired ({expired.group(1)}); add to the "
            'bootstrap\'s options: --aptopt=Acquire::Check-Valid-Until "false"',
            log=text,
        )
    if unreachable := _UNREACHABLE.search(text):
        return OutOfReachError(
            f"{what}: package mirror not reachable ({unreachable.group(1).strip()}): "
            "set `mirrors` in config.yaml, or a proxy in http_proxy"
        )
    if "NO_PUBKEY" in text:
        return ImageError(
            f"{what}: the mirror's signature cannot be checked: "
            "install debian-archive-keyring (or the keyring of that distribution)",
            log=text,
        )
    lines = _ERROR.findall(text) or text.strip().splitlines()[-1:]
    why = lines[0] if lines else "it printed nothing"
    return ImageError(f"{what} failed with status {status}: {why}", log=text)
