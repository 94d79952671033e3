"""Podman: where its Docker-API socket is, and its service, started when nothing answers there.

Its service is a process like any other, the caller's own, and holds nothing: containers live
on without it. By systemd it is started through its socket and ends by itself; where no
systemd is, we start it, in a session of its own, and it ends when it has been idle for IDLE.
"""

from __future__ import annotations

import os
import platform
import re
import shlex
import shutil
import subprocess
from collections.abc import Callable, Mapping
from pathlib import Path
from time import monotonic, sleep
from typing import Any

from distromatrix.engines.docker.connection.ping import answers
from distromatrix.errors import EngineUnavailableError
from distromatrix.files.lock import hold
from distromatrix.files.own import is_own, own_folder, own_place
from distromatrix.files.user_folders import home, log_folder

IDLE = 600  # seconds
PATIENCE = 30.0  # seconds until a started service must answer; its first start makes its store
_LAST_LINES = 5

ABSENT = "install Podman"
REFUSED = "it belongs to another user"


def address() -> dict[str, Any]:
    """Where it is, for docker-py: what CONTAINER_HOST says, as Podman's own client does; else
    this user's own, which is started if it does not answer. Raises EngineUnavailableError."""
    if given := os.environ.get("CONTAINER_HOST"):
        return {"base_url": given}
    path = socket_path(os.environ)
    if not answers(path, own=True):
        start(path)
    return {"base_url": f"unix://{path}"}


def socket_path(environ: Mapping[str, str]) -> Path:
    """Root's socket is the system's, a user's lies in the user's runtime folder. Without a
    login session there is none: then in a folder of ours, readable by this user alone.
    Touches nothing."""
    if os.geteuid() == 0:
        return Path("/run/podman/podman.sock")
    runtime = Path(environ.get("XDG_RUNTIME_DIR") or f"/run/user/{os.geteuid()}")
    if is_own(runtime):
        return runtime / "podman/podman.sock"
    return own_place() / "podman.sock"


def log_file() -> Path:
    """Where the service that we start writes what it says."""
    return log_folder() / "podman.log"


def commands(path: Path) -> tuple[tuple[str, ...], ...]:
    """The commands that start the service, the next where one does not."""
    by_hand = ("podman", "system", "service", f"--time={IDLE}", f"unix://{path}")
    if not Path("/run/systemd/system").is_dir():  # sd_booted(3)
        return (by_hand,)
    user = () if os.geteuid() == 0 else ("--user",)
    return (("systemctl", *user, "start", "podman.socket"), by_hand)


def start(path: Path) -> None:
    """Start the service, one process at a time, and wait until it answers.

    Raises EngineUnavailableError with its last words.
    """
    if shutil.which("podman") is None:
        raise EngineUnavailableError(f"podman is not installed: {ABSENT}")
    own_folder("Podman's socket", path.parent)
    with hold(path.with_name("distromatrix.lock")):
        if answers(path, own=True):
            return
        said = ""
        for command in commands(path):
            if command[0] == "systemctl":
                said, ended = _systemd(command), lambda: False
            else:
                said, ended = "", _spawn(command)
            if not said and _wait(path, ended):
                return
    text = " ".join((said or _last_words()).split())
    raise EngineUnavailableError(
        f"Podman's service does not answer at {path} after "
        f"`{shlex.join(command)}`: {text or 'it said nothing'} (its log is {log_file()})"
    )


def _systemd(command: tuple[str, ...]) -> str:
    """Run it; what it said if it failed."""
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=PATIENCE, check=False
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return str(error)
    return "" if done.returncode == 0 else done.stderr or f"exit status {done.returncode}"


def _spawn(command: tuple[str, ...]) -> Callable[[], bool]:
    """Start it; what is given back tells whether it has ended."""
    log = log_file()
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("ab") as out:
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            cwd="/",
            env=_environment(),
        )
    return lambda: process.poll() is not None


def _environment() -> dict[str, str]:
    """Ours; but a user's Podman that has no store yet, and was told nothing of it, shall stack
    layers (Linux >= 5.13 lets it): Podman 4.3 would copy every image for every container."""
    environ, own = dict(os.environ), home()
    if own is None or os.geteuid() == 0 or not _stacks():
        return environ
    there = (".config/containers/storage.conf", ".local/share/containers/storage/libpod")
    if not any((own / path).exists() for path in there):
        environ.setdefault("STORAGE_DRIVER", "overlay")
    return environ


def _stacks() -> bool:
    version = re.match(r"(\d+)\.(\d+)", platform.release())
    return version is not None and (int(version[1]), int(version[2])) >= (5, 13)


def _wait(path: Path, ended: Callable[[], bool]) -> bool:
    deadline = monotonic() + PATIENCE
    while not answers(path, own=True):
        if ended() or monotonic() > deadline:
            return False
        sleep(0.05)
    return True


def _last_words() -> str:
    try:
        lines = log_file().read_text(errors="replace").splitlines()
    except OSError:
        return ""
    return "\n".join(lines[-_LAST_LINES:])
