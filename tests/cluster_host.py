"""A "host" on this machine: namespaces of its own (network, processes, mounts, host name), with
a dockerd and a process of Dask in them.

Its first process does nothing but reap; all others enter its namespaces. It dies with this
process, and with it all that is in them.
"""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from time import sleep
from typing import IO

import docker

from given import ROOT, alpine_or_pulled

MARK = "DASK_RIG"  # the variable by which the processes of a worker or scheduler are found

# The first process of a host: $1 its folder, $2 its name. The shell reaps while it waits.
BEGIN = r"""set -eu
mount --make-rprivate /
mount -t proc proc /proc
mount -t tmpfs tmpfs /run
mkdir -m 700 -p /run/user/0
[ ! -e /etc/machine-id ] || mount --bind "$1/machine-id" /etc/machine-id
mount --bind "$1/resolv.conf" /etc/resolv.conf
echo "$2" >/proc/sys/kernel/hostname
echo 1 >/proc/sys/net/ipv4/ip_forward
: >"$1/begun"
while :; do sleep 1000 & wait; done
"""


class RigError(AssertionError):
    """Something of the rig did not do what it must; with what its processes said."""


@dataclass
class Host:
    """One "computer". `outer`: what began its first process."""

    name: str
    folder: Path
    address: str
    outer: subprocess.Popen[bytes]
    starts: int = 0  # names the log of each process
    engine: subprocess.Popen[bytes] | None = None
    dask: subprocess.Popen[bytes] | None = None  # its worker, or the scheduler
    log: Path = Path()  # that of `dask`

    @property
    def socket(self) -> Path:
        """Where its engine listens; the path is the same outside."""
        return self.folder / "docker.sock"

    @property
    def docker_host(self) -> str:
        return f"unix://{self.socket}"

    def environ(self) -> dict[str, str]:
        """What programs there are given; nothing that leads to this machine's engine or folders."""
        alien = re.compile("(DISTROMATRIX|DOCKER|CONTAINER|XDG|DASK|PYTEST|TOX)_|PYTHONPATH$")
        home = self.folder / "home"
        return {name: value for name, value in os.environ.items() if not alien.match(name)} | {
            "HOME": str(home),
            "XDG_RUNTIME_DIR": "/run/user/0",
            "TMPDIR": str(self.folder / "tmp"),
            "DOCKER_HOST": self.docker_host,
            "PYTHONPATH": str(ROOT / "runner"),
            "DISTROMATRIX_ARCHIVES": str(alpine_or_pulled().parent),
            **{
                f"XDG_{kind.upper()}_HOME": str(home / kind)
                for kind in ("cache", "config", "data", "state")
            },
        }

    def words(self, *command: str) -> list[str]:
        """A command line that runs that command on the host."""
        (first,) = children(self.outer.pid)
        return ["nsenter", "-t", str(first), "-m", "-n", "-u", "-i", "-p", "--", *command]

    def call(self, *command: str, environ: Mapping[str, str] | None = None) -> str:
        """Run a command there to its end; what it said. Raises RigError."""
        given = self.environ() | dict(environ or {})
        done = subprocess.run(
            self.words(*command), env=given, capture_output=True, text=True, check=False
        )
        if done.returncode:
            raise RigError(f"{self.name}: {command}: {done.returncode}: {done.stderr[-2000:]}")
        return done.stdout

    def start(
        self, what: str, *command: str, environ: Mapping[str, str]
    ) -> tuple[subprocess.Popen[bytes], Path]:
        """Begin a command there; its process here, and the file with what it says."""
        self.starts += 1
        log = self.folder / f"{what}-{self.starts}.log"
        with log.open("wb") as out:
            return begun(self.words(*command), out, environ), log

    def processes(self) -> list[int]:
        """The ids, as seen from here, of the worker's (scheduler's) processes and of all that
        they began, also of what left its parent."""
        mark = f"{MARK}={self.folder}".encode()
        found = []
        for one in Path("/proc").glob("[0-9]*/environ"):
            with suppress(OSError):
                if mark in one.read_bytes().split(b"\0"):
                    found.append(int(one.parent.name))
        return found

    def left(self) -> list[str]:
        """What lies on its engine but images: `container NAME`, `volume NAME`, `network NAME`."""
        client = docker.DockerClient(base_url=self.docker_host, timeout=60)
        try:
            kept = [
                f"container {one.name}"
                for one in client.containers.list(all=True, ignore_removed=True)
            ]
            kept += [f"volume {one.name}" for one in client.volumes.list()]
            names = [one.name for one in client.networks.list()]
            kept += [f"network {one}" for one in names if one not in ("bridge", "host", "none")]
        finally:
            client.close()
        return sorted(kept)

    def kill_dask(self) -> None:
        """kill -9 of its worker (its nanny, too) or scheduler, and of all that they began."""
        while found := self.processes():
            for one in found:
                with suppress(ProcessLookupError):
                    os.kill(one, signal.SIGKILL)
            sleep(0.01)
        if self.dask:
            self.dask.wait()

    def kill_engine(self) -> None:
        """kill -9 of its dockerd; what runs in containers goes on, as it does anywhere."""
        assert self.engine is not None
        for one in below(self.engine.pid):
            with suppress(ProcessLookupError):
                os.kill(one, signal.SIGKILL)
        self.engine.wait()

    def end(self) -> None:
        """The host is gone, with all of its processes."""
        end(self.outer)
        for one in (self.engine, self.dask):
            if one:
                one.wait()


def begun(words: list[str], log: IO[bytes], environ: Mapping[str, str]) -> subprocess.Popen[bytes]:
    """Begin a program that dies with this process."""
    return subprocess.Popen(
        [str(shutil.which("setpriv")), "--pdeathsig", "KILL", *words],
        stdin=subprocess.DEVNULL,
        stdout=log,
        stderr=subprocess.STDOUT,
        env=environ,
        start_new_session=True,
    )


def end(outer: subprocess.Popen[bytes]) -> None:
    """End the namespaces that it began; nothing in them lives when this returns: their first
    process is not gone before all others are, and its parent waits for it."""
    if outer.poll() is None:
        for one in children(outer.pid) or [outer.pid]:
            with suppress(ProcessLookupError):
                os.kill(one, signal.SIGKILL)
    outer.wait()


def children(process: int) -> list[int]:
    """The ids of the processes that it began."""
    found = []
    for one in Path(f"/proc/{process}/task").glob("*/children"):
        with suppress(OSError):
            found += [int(word) for word in one.read_text().split()]
    return found


def below(process: int) -> list[int]:
    """Those and theirs, and itself at the end."""
    return [inner for one in children(process) for inner in below(one)] + [process]


def run(line: str) -> None:
    """A command without quotes, here. Raises RigError."""
    done = subprocess.run(line.split(), capture_output=True, text=True, check=False)
    if done.returncode:
        raise RigError(f"{line}: {done.stderr[-2000:]}")
