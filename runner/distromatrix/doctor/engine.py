"""Looks at the container engine: is it there, and is it fit."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

from distromatrix.collect.text import without_logins
from distromatrix.doctor import podman
from distromatrix.doctor.host import DOCKER_SOCKET, Host
from distromatrix.doctor.model import Check, Status
from distromatrix.doctor.podman import podman_checks
from distromatrix.engines.contract import Engine, EngineFacts
from distromatrix.engines.docker.connection.ping import answers, ping
from distromatrix.engines.docker.podman import socket_path
from distromatrix.errors import EngineUnavailableError

GIB = 1024**3
# An image of each distribution of the catalogue takes some 150 MB, its prepared layer the same.
DISK_ENOUGH = 10 * GIB
DISK_LEAST = 2 * GIB
# What copies: a driver, and the snapshotter of containerd that does the same.
_COPYING = ("vfs", "native")
# How each product is told to stack layers instead of copying them.
_OVERLAY = {
    "Docker": """echo '{"storage-driver": "overlay2"}' >/etc/docker/daemon.json  # and restart""",
    "Podman": "podman system reset  # and then again, now with overlays: all images go",
}


def engine_checks(
    name: str, open_engine: Callable[[str], Engine], environ: Mapping[str, str], host: Host
) -> tuple[Check, ...]:
    """The engine, rights on its socket, storage driver, cgroup version, disk space."""
    engine = open_engine(name)
    own = podman_checks(host, cgroup=_host_cgroup()) if name == "podman" else ()
    if host.podman and any(check.commands for check in own):
        # It would start with what is to be mended first.
        return (*own, _cgroup(_host_cgroup(), host))
    try:
        facts = engine.facts()
    except EngineUnavailableError as error:
        text = str(error).partition("\n")[0]
        if name == "podman":
            return (podman.absent(text, environ, host), *own, _cgroup(_host_cgroup(), host))
        return (_absent(text, environ, host), _cgroup(_host_cgroup(), host), _disk(""))
    finally:
        engine.close()
    checks = [Check(name="container engine", status="ok", found=str(facts))]
    if facts.local and name == "docker":
        checks.append(_rights(environ, host))
    if facts.local and name == "podman":
        checks += [podman.rights(facts, environ), *own]
    checks.append(_storage(facts))
    checks.append(_cgroup(facts.cgroup_version, host, rootless=facts.rootless))
    if facts.local:
        checks.append(_disk(facts.data_root, facts.name))
    return tuple(checks)


def podman_sockets(environ: Mapping[str, str]) -> tuple[Path, ...]:
    """Where Podman's Docker-API socket may be: the user's own, then the system's."""
    own = environ.get("XDG_RUNTIME_DIR") or f"/run/user/{os.geteuid()}"
    return (Path(own) / "podman/podman.sock", Path("/run/podman/podman.sock"))


def _absent(reason: str, environ: Mapping[str, str], host: Host) -> Check:
    """Why no engine answers, and what mends it."""
    missing = Check(name="container engine", status="missing", found="", why=podman.NO_ENGINE)
    if given := environ.get("DOCKER_HOST"):
        found = f"nothing answers at DOCKER_HOST={without_logins(given)}: {reason}"
        return replace(missing, found=found, mend=("unset DOCKER_HOST",))
    for path in podman_sockets(environ):
        if answers(path):
            found = f"Podman answers at {path}, which is not where Docker's socket is"
            own = path == socket_path(environ)
            use = "DISTROMATRIX_ENGINE=podman" if own else f"DOCKER_HOST=unix://{path}"
            return replace(missing, found=found, mend=(f"export {use}",))
    try:
        ping(DOCKER_SOCKET)
    except PermissionError:
        return _no_rights(host)
    start = host.start()[:1]
    if host.dockerd:
        found = f"installed, but not started ({reason})"
        return replace(missing, found=found, mend=start, start=True)
    let_in = () if host.root else host.let_in()
    return replace(
        missing,
        found="not installed",
        mend=host.install("engine") + start + let_in,
        install="engine",
        start=True,
        let_in=not host.root,
    )


def _no_rights(host: Host) -> Check:
    """The engine is there, and the user may not use it (yet)."""
    name = "rights on the socket"
    if host.in_docker_group:
        return Check(
            name=name,
            status="warning",
            found=f"{host.user} is in group docker, but not yet in this login",
            why="the group counts from the next login on; until then put `sg docker -c` before",
            mend=("newgrp docker",),
        )
    return Check(
        name=name,
        status="missing",
        found=f"{host.user} may not use {DOCKER_SOCKET}",
        why="log in again afterwards; the group is as mighty as root",
        mend=host.let_in(),
        let_in=True,
    )


def _rights(environ: Mapping[str, str], host: Host) -> Check:
    where = environ.get("DOCKER_HOST") or str(DOCKER_SOCKET)
    found = f"{host.user} may use {without_logins(where)}"
    return Check(name="rights on the socket", status="ok", found=found)


def _storage(facts: EngineFacts) -> Check:
    if facts.storage_driver not in _COPYING:
        return Check(name="storage driver", status="ok", found=facts.storage_driver)
    return Check(
        name="storage driver",
        status="warning",
        found=facts.storage_driver,
        why="every container copies its whole image: slow, and much disk",
        mend=(_OVERLAY[facts.product],) if facts.product in _OVERLAY else (),
    )


def _host_cgroup() -> str:
    return "2" if Path("/sys/fs/cgroup/cgroup.controllers").exists() else "1"


def _cgroup(version: str, host: Host, *, rootless: bool = False) -> Check:
    if version == "2":
        return Check(name="cgroup version", status="ok", found="2")
    arguments = "systemd.unified_cgroup_hierarchy=1"
    commands = [f"grubby --update-kernel=ALL --args={arguments}"]
    if Path("/etc/default/grub").exists():
        edit = f's/^GRUB_CMDLINE_LINUX="/&{arguments} /'
        commands = [f"sed -i '{edit}' /etc/default/grub", "update-grub"]
    return Check(
        name="cgroup version",
        status="warning",
        found=version or "unknown",
        why="a rootless engine bounds neither memory nor processes nor cpus with it"
        if rootless
        else "systemd 256 and newer will not boot in a container (suites that need init); "
        "all else works",
        mend=tuple(map(host.as_root, commands)) if host.init == "systemd" else (),
    )


def _disk(data_root: str, command: str = "docker") -> Check:
    """Space where the engine keeps its images; where the folder is to be, if it is not yet."""
    folder = Path(data_root or "/var/lib/docker")
    while not os.access(folder, os.F_OK) and folder != folder.parent:
        folder = folder.parent
    free = shutil.disk_usage(folder).free
    status: Status = "ok" if free >= DISK_ENOUGH else "warning" if free >= DISK_LEAST else "missing"
    return Check(
        name="disk space",
        status=status,
        found=f"{free / GIB:.1f} GiB free at {folder}",
        why="" if status == "ok" else f"images take some {DISK_ENOUGH // GIB} GiB",
        mend=() if status == "ok" else ("distromatrix images prune", f"{command} system prune"),
    )
