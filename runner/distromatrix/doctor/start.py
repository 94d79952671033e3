"""Starts an installed Docker engine: by systemd, by its init script, or with no init at all."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterable
from pathlib import Path

from distromatrix.doctor.command import Run, Say
from distromatrix.doctor.host import DOCKER_LOG, DOCKER_SOCKET
from distromatrix.engines.docker.connection.ping import ping
from distromatrix.errors import InfrastructureError

PATIENCE = 30.0  # seconds until a started engine must answer; its first start makes its folders
LAST_LINES = 10
# What dockerd says when it cannot start, and what helps.
_HINTS = (
    ("iptables", "update-alternatives --set iptables /usr/sbin/iptables-legacy"),
    ("cgroup", "apt-get install -y cgroupfs-mount && cgroupfs-mount"),
)


def start_engine(
    commands: Iterable[str],
    run: Run,
    say: Say,
    *,
    answers: Callable[[], bool] | None = None,
    log: Path = DOCKER_LOG,
    patience: float = PATIENCE,
) -> None:
    """Start dockerd by one of `commands` after the other, and wait until it answers. Does
    nothing if it answers already: its package may have started it.

    `patience` is in seconds, for each command. Raises InfrastructureError with the end of its
    log when it does not answer.
    """
    answers = answers or _docker_answers
    if answers():
        return
    output = ""
    for command in commands:
        say(f"$ {command}")
        ended = run(command)
        output = ended.output
        if ended.status == 0 and _wait(answers, patience):
            return
    raise InfrastructureError(_post_mortem(output, log), transient=False)


def _docker_answers() -> bool:
    """An engine that refuses us is there: who may use it is another question."""
    try:
        return ping(DOCKER_SOCKET)
    except PermissionError:
        return True


def _wait(answers: Callable[[], bool], patience: float) -> bool:
    deadline = time.monotonic() + patience
    while not answers():
        if time.monotonic() >= deadline:
            return False
        time.sleep(0.2)
    return True


def _post_mortem(output: str, log: Path) -> str:
    """Why it did not start: what the command printed, else the end of the engine's log."""
    try:
        with log.open(encoding="utf-8", errors="replace") as stream:
            output = f"{output}\n{''.join(deque(stream, LAST_LINES))}"
    except OSError:
        pass
    text = output.strip()
    hints = "".join(f"\nthis may help: {command}" for word, command in _HINTS if word in text)
    return f"dockerd does not answer after it was started; the end of {log}:\n{text}{hints}"
