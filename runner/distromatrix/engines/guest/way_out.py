"""The network of a guest's QEMU: a namespace of its own with slirp4netns as the way out.

QEMU's user networking hands a guest's connections to the gateway over to the loopback of where
QEMU runs. In this namespace nothing listens there, and slirp4netns, outside of it, connects
nowhere on the host's loopback. What the guest sees stays QEMU's: its addresses and saved states.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path
from threading import Thread
from typing import Any

from distromatrix.errors import EngineUnavailableError

PROGRAM = "slirp4netns"
RESOLVER = "resolv.conf"
# Not QEMU's 10.0.2.0/24, which lies within: what comes out of it goes on into this one.
_NETWORK = "10.0.3.0/24"
INNER = "10.0.3.100"  # of the namespace
_SAYS_RESOLVER = "nameserver 10.0.3.3\n"
_NEEDED = ("unshare", "setpriv", PROGRAM)

# $1: a pipe that tells that we are in the namespace, and, by its end, that QEMU has ended; $2: one
# that tells that the way out is open, or why not; $3: a resolv.conf; then QEMU's command line. A
# new namespace lets nobody ping (ping_group_range).
_INSIDE = """
echo >/proc/self/fd/$1
read -r open </proc/self/fd/$2 || :
none='slirp4netns opens no way out: may this user use /dev/net/tun?'
[ "$open" = 1 ] || { echo "${open:-$none}" >&2; exit 1; }
{ echo 0 0 >/proc/sys/net/ipv4/ping_group_range; } 2>/dev/null || :
[ ! -e /etc/resolv.conf ] || mount --bind "$3" /etc/resolv.conf
shift 3
exec "$@"
"""
# Of the mounts that slirp4netns leaves behind as it goes into its sandbox, it makes only / private:
# what lies on another that is shared, as Docker's /var/lib/docker, it would unmount on the host.
_PRIVATE = ("unshare", "--mount", "--propagation", "private")
POWERLESS = ("setpriv", "--bounding-set", "-all", "--inh-caps", "-all")


def lacking(which: Callable[[str], str | None] = shutil.which) -> list[str]:
    """The programs that it takes and that are not here."""
    return [name for name in _NEEDED if not which(name)]


def check_programs() -> None:
    """Raises EngineUnavailableError where one lacks."""
    if lacks := lacking():
        raise EngineUnavailableError(
            f"a guest with `network: true` needs {' and '.join(lacks)}: "
            "`distromatrix doctor --guests --fix` installs it (or say `network: false`)"
        )


def start(
    command: list[str], folder: Path, log: Path, *, pass_fds: Iterable[int] = (), **how: Any
) -> subprocess.Popen[bytes]:
    """As Popen, in such a namespace and in that folder: the process becomes the command. `log`:
    where its stderr goes. Raises EngineUnavailableError."""
    check_programs()
    write_resolver(folder)
    if os.geteuid() != 0:
        command = [*POWERLESS, *command]
    lives, life = os.pipe()
    ready, tell_ready = os.pipe()
    try:
        within = inside(command, folder, life, ready)
        fds = (*pass_fds, life, ready)
        process = subprocess.Popen(within, cwd=folder, pass_fds=fds, **how)
        os.close(life)
        life = -1
        if not os.read(lives, 1):
            process.wait()
            said = log.read_text(errors="replace").strip().rpartition("\n")[2]
            raise EngineUnavailableError(
                f"this host has no network namespace for a guest with `network: true`: {said}; "
                "let ordinary users have user namespaces, or say `network: false`"
            )
        out = open_out(folder, process.pid, lives, tell_ready)
        Thread(target=out.wait, daemon=True, name="distromatrix-way-out").start()
        return process
    finally:
        for one in (lives, life, ready, tell_ready):
            with suppress(OSError):
                os.close(one)


def write_resolver(folder: Path) -> None:
    """Write what /etc/resolv.conf is in the namespaces of that folder."""
    (folder / RESOLVER).write_text(_SAYS_RESOLVER, encoding="ascii")


def inside(command: list[str], folder: Path, life: int, ready: int) -> list[str]:
    """What becomes that command in a namespace: it writes to `life` once it is there, holds that
    open, and waits until `ready` says 1, or why it cannot be. `folder`: of the resolv.conf."""
    user = () if os.geteuid() == 0 else ("--map-root-user",)
    own = ["unshare", "--net", "--mount", "--propagation", "slave", *user]
    script = ["sh", "-ec", _INSIDE, "sh", str(life), str(ready), str(folder / RESOLVER)]
    return [*own, *script, *command]


def open_out(
    folder: Path, process: int, lives: int, ready: int, *other: str
) -> subprocess.Popen[bytes]:
    """Open the way out of that process's namespace, until `lives` ends; it writes 1 to `ready`,
    and into its log in that folder what is wrong."""
    command = [
        *(_PRIVATE if os.geteuid() == 0 else ()),
        *(PROGRAM, "--configure", "--disable-host-loopback", "--cidr", _NETWORK),
        *("--enable-sandbox", "--enable-seccomp", *other),
        *("--exit-fd", str(lives), "--ready-fd", str(ready), str(process), "tap0"),
    ]
    with (folder / f"{PROGRAM}.log").open("wb") as log:
        return subprocess.Popen(
            command,
            cwd="/",
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            pass_fds=(lives, ready),
            start_new_session=True,
        )
