"""Another user of the host, who looks for and reaches for what is a run's, while it runs."""

from __future__ import annotations

import multiprocessing
import os
import secrets
import socket
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

PLACES = ("/tmp", "/var/tmp", "/dev/shm", "/run")
_LISTENS = "0A"  # of /proc/net/tcp


@contextmanager
def made_user() -> Iterator[int]:
    """The uid of a user who is made, and goes."""
    name = f"dm{secrets.token_hex(4)}"
    subprocess.run(["useradd", "-M", "-d", "/nonexistent", "-s", "/bin/sh", name], check=True)
    try:
        yield int(subprocess.check_output(["id", "-u", name], text=True))
    finally:
        subprocess.run(["userdel", name], check=True, capture_output=True)


def as_user(uid: int, do: Callable[[], object]) -> None:
    """Call a function as another user, in a process of its own."""
    process = multiprocessing.get_context("fork").Process(target=_be, args=(uid, do))
    process.start()
    process.join(300)
    assert process.exitcode == 0


class Watching:
    """The neighbour's eyes, until the end of the `with`; then `found` is what they saw.
    `secret`: what must be nowhere. `folders`: of ours, in which nothing is the neighbour's."""

    def __init__(self, uid: int, *folders: Path, secret: str) -> None:
        self.found: list[str] = []
        fork = multiprocessing.get_context("fork")
        self._line, theirs = fork.Pipe()
        watch = partial(_watch, theirs, folders, secret)
        self._process = fork.Process(target=_be, args=(uid, watch))

    def __enter__(self) -> Watching:
        self._process.start()
        self._line.recv()
        return self

    def __exit__(self, *_: object) -> None:
        self._line.send("end")
        self.found = self._line.recv()
        self._process.join(30)


def _be(uid: int, do: Callable[[], object]) -> None:
    os.setgroups([])
    os.setgid(uid)
    os.setuid(uid)
    do()


def _watch(line: Connection[Any, Any], folders: tuple[Path, ...], secret: str) -> None:
    before, ports = {*_temporary(), *_sockets()}, set(_listeners())
    line.send("began")
    found: set[str] = set()
    while not line.poll(0.02):
        for look in (_temporary(), _commands(secret), _sockets(), _ports(ports), _below(folders)):
            found.update(look)
    line.recv()
    line.send(sorted(found - before))


def _temporary() -> Iterator[str]:
    """What of ours can be listed, read or written among temporary files."""
    for place in map(Path, PLACES):
        with suppress(OSError):
            for one in place.iterdir():
                if "distromatrix" in one.name and one.lstat().st_uid != os.geteuid():
                    if one.is_symlink() or os.access(one, os.W_OK):
                        yield f"may write {one}"
                    if os.access(one, os.R_OK):
                        yield f"may read {one}"


def _commands(secret: str) -> Iterator[str]:
    """Who says the secret in a command line or in an environment that all may read."""
    for process in Path("/proc").iterdir():
        for name in ("cmdline", "environ") if process.name.isdigit() else ():
            with suppress(OSError):
                if secret and secret in (process / name).read_text(errors="replace"):
                    yield f"{name} of {(process / 'comm').read_text().strip()} holds the secret"


def _sockets() -> Iterator[str]:
    """Sockets of ours that let in who is not us."""
    for row in Path("/proc/net/unix").read_text().splitlines()[1:]:
        name = row.split()[7] if len(row.split()) > 7 else ""
        if "distromatrix" in name:
            with suppress(OSError), socket.socket(socket.AF_UNIX) as one:
                one.settimeout(1.0)
                one.connect(f"\0{name[1:]}" if name.startswith("@") else name)
                yield f"may speak to {name}"


def _listeners() -> Iterator[tuple[str, int]]:
    for row in Path("/proc/net/tcp").read_text().splitlines()[1:]:
        words = row.split()
        if words[3] == _LISTENS:
            address, port = words[1].split(":")
            yield socket.inet_ntoa(bytes.fromhex(address)[::-1]), int(port, 16)


def _ports(before: set[tuple[str, int]]) -> Iterator[str]:
    """Ports that listen since we began, and speak to anyone."""
    for address, port in set(_listeners()) - before:
        with suppress(OSError), socket.create_connection((address, port), 1.0) as one:
            one.settimeout(1.0)
            before.add((address, port))
            yield f"port {address}:{port} says {one.recv(64)!r}"


def _below(folders: tuple[Path, ...]) -> Iterator[str]:
    """What of these folders is ours to see or to change."""
    for folder in folders:
        if os.access(folder, os.R_OK):
            yield f"may read {folder}"
        for top, names, files in os.walk(folder):
            for name in (*names, *files):
                if os.access(Path(top, name), os.W_OK):
                    yield f"may write {Path(top, name)}"
