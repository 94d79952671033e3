"""Looks at Podman: what it stands on, and what it must be told on hosts like this one."""

from __future__ import annotations

import os
import shlex
import shutil
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

from distromatrix.doctor.host import Host
from distromatrix.doctor.model import Check
from distromatrix.engines.contract import EngineFacts
from distromatrix.engines.docker import podman
from distromatrix.files.user_folders import home as own_home

# As `man containers.conf` names the folders of drop-ins; the first is root's.
_SYSTEM_CONF = Path("/etc/containers/containers.conf.d")
_USER_CONF = Path(".config/containers/containers.conf.d")
_CONF = "50-distromatrix.conf"
_SUBIDS = 65536  # user ids of a container: shadow's own default, SUB_UID_COUNT of login.defs(5)
_FIRST_SUBID = 100000
NO_ENGINE = "nothing can run without one"
_NETWORKS = ("pasta", "slirp4netns")  # what gives an ordinary user's container a network


def absent(reason: str, environ: Mapping[str, str], host: Host) -> Check:
    """Why no Podman answers, and what mends it."""
    check = host.lacks("podman", "container engine", "Podman is not installed", NO_ENGINE)
    if given := environ.get("CONTAINER_HOST"):
        found = f"nothing answers at CONTAINER_HOST={given}: {reason}"
        command = "unset CONTAINER_HOST"
    elif host.podman:
        found = f"Podman is installed, and does not start: {reason}"
        command = shlex.join(podman.commands(podman.socket_path(environ))[-1])
    else:
        return check
    return replace(check, found=found, mend=(command,), install=None)


def rights(facts: EngineFacts, environ: Mapping[str, str]) -> Check:
    """Whose engine it is: root's, or the user's own."""
    whose = "rootless, this user's own" if facts.rootless else "root's"
    where = environ.get("CONTAINER_HOST") or podman.socket_path(environ)
    return Check(name="rights on the socket", status="ok", found=f"{where} ({whose})")


def podman_checks(
    host: Host,
    *,
    cgroup: str,
    root: Path = Path("/"),
    home: Path | None = None,
    which: Callable[[str], str | None] = shutil.which,
) -> tuple[Check, ...]:
    """What Podman stands on here; `cgroup` is the host's version."""
    checks = [_runtime(host, cgroup, root, home or own_home() or root, which)]
    if not host.root:
        checks += [_user_ids(host, root, which), _network(host, root, which)]
    return tuple(checks)


def _runtime(
    host: Host, cgroup: str, root: Path, home: Path, which: Callable[[str], str | None]
) -> Check:
    name = "container runtime"
    there = [one for one in ("crun", "runc") if which(one)]
    file = (_SYSTEM_CONF if host.root else home / _USER_CONF) / _CONF
    if "crun" not in there or cgroup == "2" or (root / file.relative_to("/")).exists():
        if there:
            return Check(name=name, status="ok", found=", ".join(there))
        found = "neither crun nor runc"
        commands: tuple[str, ...] = ()
    else:
        found = "crun, which starts no container where cgroup v1 is in use"
        commands = (_write(_settings(host), file), _stop())
    return Check(
        name=name,
        status="missing" if host.podman else "warning",
        found=found,
        why="Podman starts containers with it",
        mend=(*(() if "runc" in there else host.install("podman")), *commands),
        install=None if "runc" in there else "podman",
        commands=commands,
    )


def _settings(host: Host) -> str:
    """The drop-in: no more than this host needs."""
    lines = [
        "# Written by `distromatrix doctor --fix`: this host uses cgroup v1, on which crun starts",
        "# no container. Without this file Podman chooses for itself again.",
        "[engine]",
        'runtime = "runc"',
    ]
    if host.init != "systemd":
        lines.append('cgroup_manager = "cgroupfs"')
    return "\n".join(lines) + "\n"


def _write(text: str, file: Path) -> str:
    """A command line that makes the file; its text is in it, to be seen beforehand."""
    script = f"mkdir -p {file.parent} && printf %s {shlex.quote(text)} >{file}"
    return f"sh -c {shlex.quote(script)}"


def _stop() -> str:
    """A command line that ends the service that we start, if it runs: it has read its settings
    already, and the next one reads them anew."""
    service = shlex.join(podman.commands(podman.socket_path(os.environ))[-1])
    return f"sh -c {shlex.quote(f'pkill -xf {shlex.quote(service)} || :')}"


def _user_ids(host: Host, root: Path, which: Callable[[str], str | None]) -> Check:
    name = "user ids"
    tools = [tool for tool in ("newuidmap", "newgidmap") if not which(tool)]
    ranges = [_ranges(root / "etc" / file) for file in ("subuid", "subgid")]
    given = all(any(owner == host.user for owner, _, _ in found) for found in ranges)
    if given and not tools:
        return Check(name=name, status="ok", found=f"{host.user} has a range for containers")
    commands: tuple[str, ...] = ()
    if not given:
        first = max((start + count for r in ranges for _, start, count in r), default=0)
        first = max(first, _FIRST_SUBID)
        span = f"{first}-{first + _SUBIDS - 1}"
        flags = f"--add-subuids {span} --add-subgids {span}"
        commands = (
            host.as_root(f"usermod {flags} {shlex.quote(host.user)}"),
            "podman system migrate",
        )
    found = f"no {', no '.join(tools)}" if tools else f"{host.user} has no range in /etc/subuid"
    return Check(
        name=name,
        status="missing",
        found=found,
        why="a rootless container has users of its own",
        mend=(*(host.install("podman") if tools else ()), *commands),
        install="podman" if tools else None,
        commands=commands,
    )


def _network(host: Host, root: Path, which: Callable[[str], str | None]) -> Check:
    name = "rootless network"
    why = "without it a rootless container has no network"
    tun = root / "dev/net/tun"
    if tun.exists() and not os.access(tun, os.R_OK | os.W_OK):
        command = host.as_root("chmod 666 /dev/net/tun")
        return Check(
            name=name,
            status="missing",
            found=f"{host.user} may not open /dev/net/tun, which all may where udev makes it",
            why=why,
            mend=(command,),
            commands=(command,),
        )
    if there := [tool for tool in _NETWORKS if which(tool)]:
        return Check(name=name, status="ok", found=", ".join(there))
    return host.lacks("podman", name, f"neither {' nor '.join(_NETWORKS)}", why)


def _ranges(file: Path) -> tuple[tuple[str, int, int], ...]:
    """Owner, first id and count: subuid(5)."""
    try:
        rows = [line.split(":") for line in file.read_text("utf-8").splitlines()]
        return tuple((row[0], int(row[1]), int(row[2])) for row in rows if len(row) == 3)
    except (OSError, ValueError):
        return ()
