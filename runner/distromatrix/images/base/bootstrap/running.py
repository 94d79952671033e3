"""Runs what a tool has to do: with root's rights where it needs them, in namespaces of its own
where that can be, and so that it ends when we do."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from contextlib import suppress
from functools import cache
from pathlib import Path
from threading import Event

_TERM_GRACE = 2.0  # mmdebstrap removes its own temporary folder on SIGTERM
_LOG_MOST = 256 * 1024**2  # bytes
_LOG_TAIL = 64 * 1024
_BOUND = ("setpriv", "--pdeathsig")
_ALONE = ("unshare", "--mount", "--pid", "--fork", "--kill-child=KILL")
_AS_ROOT = (*_ALONE, "--map-root-user", "--map-auto")


def run(
    command: tuple[str, ...], folder: Path, log: Path, cancelled: Event, timeout: float
) -> int | None:
    """Run a command, its output in `log`. The exit status, or None when it was stopped by its
    timeout or by `cancelled`."""
    env = {**os.environ, "LC_ALL": "C"}
    if os.geteuid() == 0:
        # The tree it builds, too, goes where there is room, and is found there if we are
        # killed. Without root another user id builds it, to whom our folder is closed.
        env["TMPDIR"] = str(folder)
    with log.open("wb") as output:
        process = subprocess.Popen(
            command,
            cwd=folder,
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
            if log.stat().st_size > _LOG_MOST:
                _end(process)
                with log.open("ab") as told:
                    told.write(
                        b"\nit printed more than %d MiB, and was ended\n" % (_LOG_MOST >> 20)
                    )
                return 1
        return None
    finally:
        _end(process)


@cache
def bound_to_us() -> tuple[str, ...]:
    """What makes a command end with us, however we end, and take its mounts along: root can
    give it namespaces of its own, which go with their first process. (SIGTERM alone is
    something that mmdebstrap forgets while it waits for apt.)"""
    if sys.platform != "linux" or not shutil.which("setpriv"):
        return ()
    if os.geteuid() == 0 and _works(_ALONE):
        return (*_BOUND, "KILL", *_ALONE)
    return (*_BOUND, "TERM")


@cache
def as_root() -> tuple[str, ...] | None:
    """What gives a command root's rights over a tree, for it to end with us: nothing more where
    we are root, else a user namespace with a range of ids; None where neither can be had."""
    if os.geteuid() == 0:
        return bound_to_us()
    return (*_BOUND, "KILL", *_AS_ROOT) if shutil.which("setpriv") and _works(_AS_ROOT) else None


def alone(prefix: tuple[str, ...]) -> bool:
    """Whether what runs under that prefix has a mount namespace of its own."""
    return "--mount" in prefix


def remove(folder: Path) -> None:
    """Remove a folder with the tree in it, which may belong to ids of a user namespace."""
    shutil.rmtree(folder, ignore_errors=True)
    if folder.exists() and os.geteuid() != 0 and _works(_AS_ROOT):
        command = (*_AS_ROOT, "rm", "-rf", "--", str(folder))
        subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, check=False)


def _works(prefix: tuple[str, ...]) -> bool:
    if not shutil.which(prefix[0]):
        return False
    trial = subprocess.run(
        (*prefix, "true"), stdin=subprocess.DEVNULL, capture_output=True, check=False
    )
    return trial.returncode == 0


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


def tail(log: Path) -> str:
    """The end of what was printed."""
    with log.open("rb") as file:
        file.seek(max(0, log.stat().st_size - _LOG_TAIL))
        return file.read().decode(errors="replace")
