"""From a machine's specification to the body of Docker's `POST /containers/create`. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from distromatrix.engines.cache_store import Cache
from distromatrix.engines.contract import MOUNT, OWN_ADDRESS, MachineSpec
from distromatrix.engines.docker.dialect import DOCKER, Dialect
from distromatrix.engines.shell.homes import home_found
from distromatrix.engines.shell.shell import LOOP
from distromatrix.errors import CannotStartError

LABEL_MACHINE = "distromatrix.machine"  # a container's name as it was opened; also on its volume
LABEL_STAGE = "distromatrix.stage"  # the volumes that an overlay stands on, with commas between

# Docker before 26 takes ::1 from containers whose network has no IPv6, and names it in their
# /etc/hosts nevertheless. See DockerEngine.open for kernels that have none.
LOOPBACK_IPV6 = {"net.ipv6.conf.lo.disable_ipv6": "0"}

# Docker's own list (oci/defaults.go), but of /proc/sys only what is not the network's.
_READONLY_WITHOUT_NET = [
    *("/proc/bus", "/proc/fs", "/proc/irq", "/proc/sysrq-trigger"),
    *(f"/proc/sys/{name}" for name in ("abi", "crypto", "debug", "dev", "fs", "kernel", "user")),
    *("/proc/sys/sunrpc", "/proc/sys/vm", "/proc/sys/xen"),
]

# With these, folders can be renamed, and hard links stay links when they are written to.
_AS_A_DISK = "redirect_dir=on,index=on"
SETUID = "setuid"  # the privilege with which programs may be another user's
INIT = "init"  # the privilege whose container has an init system as process 1
# Engines give these to root unasked: to forge its neighbours' addresses with, or nodes of devices.
_CAPABILITIES = {"net-raw": "NET_RAW", "mknod": "MKNOD", "audit-write": "AUDIT_WRITE"}
# From 256 on, systemd boots on cgroup v1 only where it is told to; others take no notice.
FORCE = ["SYSTEMD_CGROUP_ENABLE_LEGACY_FORCE=1"]
# What an init system says when it gives up is told from there.
_INIT_LOG = {"Type": "json-file", "Config": {"max-size": "1m"}}


@dataclass(frozen=True, slots=True, kw_only=True)
class Overlay:
    """A private view: an overlay of these folders on the engine's host, which lie in the volumes
    `stage`. `lower`: one, or several with colons between."""

    lower: str
    upper: str
    work: str
    stage: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What of the engine's facts shapes a container."""

    cpus: int
    apparmor: bool
    dialect: Dialect = DOCKER
    cgroup: str = ""  # its version, 1 or 2
    # Name, soft and hard value, as setrlimit(2) takes them; none: the engine's own.
    resources: tuple[tuple[str, int, int], ...] = ()


def create_body(
    spec: MachineSpec,
    limits: Limits,
    mount: Overlay | str | None = None,
    *,
    network: str = "none",
) -> dict[str, Any]:
    """The container's configuration. `mount` is an overlay, the name of a stage volume, or
    nothing; `network`: its NetworkMode. Raises CannotStartError for a privilege that Docker
    cannot give."""
    labels = {**spec.labels, LABEL_MACHINE: spec.name}
    if isinstance(mount, Overlay):
        labels[LABEL_STAGE] = mount.stage
    return {
        "Image": spec.image,
        # [""] takes away the image's own entrypoint.
        "Entrypoint": [""],
        "Cmd": ["/bin/sh", "-c", main_loop(limits.dialect, spec.user)],
        "User": "0" if spec.user == "root" or INIT in spec.privileges else spec.user,
        "WorkingDir": "/",
        "Hostname": spec.host,
        "Labels": labels,
        **({"Healthcheck": dict(check)} if (check := limits.dialect.healthcheck) else {}),
        **({"StopSignal": "SIGKILL"} if limits.dialect.asks_before_force else {}),
        "OpenStdin": True,
        "StdinOnce": False,
        "AttachStdin": True,
        "AttachStdout": True,
        "AttachStderr": True,
        "HostConfig": {
            "Memory": spec.memory,
            "MemorySwap": spec.memory,
            "NanoCpus": int(min(spec.cpus, limits.cpus) * 1e9),
            "PidsLimit": spec.pids,
            "ShmSize": spec.memory // 2,  # as tmpfs(5) has it; it counts as the cell's memory
            "NetworkMode": network,
            # On a network the engine names it, by its address there.
            "ExtraHosts": [f"{spec.host}:{OWN_ADDRESS}"] if network == "none" else [],
            "Sysctls": {} if isinstance(mount, str) else dict(LOOPBACK_IPV6),
            # Output is ours to keep: no second copy of it on the engine's disk.
            "LogConfig": {"Type": "none"},
            "Mounts": [*_mounts(mount, labels), *_cache_mounts(spec.caches, labels)],
            "Ulimits": [{"Name": n, "Soft": s, "Hard": h} for n, s, h in limits.resources],
            **_privileges(spec.privileges, limits),
            **({"LogConfig": _INIT_LOG} if INIT in spec.privileges else {}),
        },
        **(_of_init(limits) if INIT in spec.privileges else {}),
    }


def shell_loop(dialect: Dialect, user: str) -> str:
    """What a shell of that user's in a container runs."""
    added = " ".join(dialect.adds_variables)
    return (f"unset {added}\n" if added else "") + home_found(user) + LOOP


def main_loop(dialect: Dialect, user: str) -> str:
    """What its main process runs."""
    loop = shell_loop(dialect, user)
    return f"{loop}\nwhile sleep 86400; do :; done" if dialect.closes_stdin else loop


def _mounts(mount: Overlay | str | None, labels: Mapping[str, str]) -> list[dict[str, Any]]:
    if mount is None:
        return []
    common = {"Type": "volume", "Target": MOUNT}
    if isinstance(mount, str):
        return [{**common, "Source": mount}]
    # Being anonymous, it is removed with its container.
    folders = f"lowerdir={mount.lower},upperdir={mount.upper},workdir={mount.work}"
    driver_options = {"type": "overlay", "device": "overlay", "o": f"{folders},{_AS_A_DISK}"}
    driver = {"Name": "local", "Options": driver_options}
    options = {"NoCopy": True, "Labels": dict(labels), "DriverConfig": driver}
    return [{**common, "VolumeOptions": options}]


def _cache_mounts(caches: tuple[Cache, ...], labels: Mapping[str, str]) -> list[dict[str, Any]]:
    """A copy is an anonymous volume with its machine's labels, which goes with the container;
    whichever is new belongs to whom its folder belongs to in the image."""
    return [
        {
            "Type": "volume",
            "Target": cache.path,
            **({} if cache.private else {"Source": cache.name}),
            "VolumeOptions": {"Labels": dict(labels if cache.private else cache.labels)},
        }
        for cache in caches
    ]


def _of_init(limits: Limits) -> dict[str, Any]:
    """What differs where an init system is process 1: see systemd's "The Container Interface"."""
    return {
        "Entrypoint": ["/sbin/init"],
        "Cmd": FORCE if limits.cgroup != "2" else [],
        "Env": ["container=docker"],
        "StopSignal": "SIGRTMIN+3",
        "OpenStdin": False,
        "AttachStdin": False,
    }


def _privileges(asked: tuple[str, ...], limits: Limits) -> dict[str, Any]:
    """Exactly what was asked for, on top of little. Without no-new-privileges a program that is
    setuid may become root, with what the engine leaves to root: the same as a suite of root's."""
    security = [] if SETUID in asked else ["no-new-privileges"]
    given: dict[str, Any] = {"SecurityOpt": security, "CapAdd": [], "Devices": []}
    given["CapDrop"] = [cap for name, cap in _CAPABILITIES.items() if name not in asked]
    for one in asked:
        if one == SETUID:
            continue
        if one in _CAPABILITIES:
            given["CapAdd"].append(_CAPABILITIES[one])
        elif one == "mount" or (one == INIT and limits.dialect.boots_init):
            given["CapAdd"].append("SYS_ADMIN")
            # The files by which a cgroup v1 has the host run a program are in its topmost one.
            given["CgroupnsMode"] = "private"
            if one == INIT:
                given["Tmpfs"] = {"/run": "exec,mode=755", "/run/lock": ""}
            if limits.apparmor:
                security.append("apparmor=unconfined")
        elif one == "sysctl" and limits.dialect.parts_proc_sys:
            given["CapAdd"].append("NET_ADMIN")
            given["ReadonlyPaths"] = _READONLY_WITHOUT_NET
        elif one.startswith("/dev/"):
            given["Devices"].append(
                {"PathOnHost": one, "PathInContainer": one, "CgroupPermissions": "rwm"}
            )
        else:
            known = ["mount", SETUID, *_CAPABILITIES]
            known += ["sysctl"] if limits.dialect.parts_proc_sys else []
            known += [INIT] if limits.dialect.boots_init else []
            raise CannotStartError(
                f"{limits.dialect.product} cannot give the privilege '{one}' to a container: "
                f"it knows {', '.join(known)} and device paths below /dev/"
            )
    return given
