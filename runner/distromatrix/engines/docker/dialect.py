"""What the engines that speak Docker's API do not have in common, as facts about each."""

from __future__ import annotations

import resource
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from docker.errors import APIError

OURS = "distromatrix/"
# Go's names for architectures, and uname(1)'s.
MACHINES = {"amd64": "x86_64", "arm64": "aarch64", "386": "i686", "arm": "armv7l"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Dialect:
    """One product's ways; the defaults are Docker's."""

    product: str
    # Its version, or '' where it must be asked for it.
    version: str = ""
    # What its names of images from no registry begin with.
    local: str = ""
    # Changes to an image that is imported, and to one that is committed, are read as a
    # Dockerfile's instructions; else a label's value is what stands between its first and its
    # last quotation mark.
    imports_dockerfile: bool = True
    commits_dockerfile: bool = True
    # An image's metadata say when it was last tagged.
    remembers_pulls: bool = True
    # It can say what a registry has under a reference without pulling it.
    looks_up: bool = True
    # Images can be loaded from a stream packed with gzip.
    loads_gzip: bool = True
    # Who removes an image by force removes the containers that stand on it.
    force_takes_containers: bool = False
    # Containers get higher limits of open files and processes than the engine itself has,
    # unless told otherwise.
    raises_limits: bool = False
    # Environment variables beside those of the image.
    adds_variables: tuple[str, ...] = ()
    # Who lets go of a container's stdin ends it: a kept machine must go on without.
    closes_stdin: bool = False
    # A volume of the local driver can be an overlay as on a disk. What Podman has instead, the
    # option `O` of a bind mount, renames no folders and is gone once its container has ended.
    mounts_overlays: bool = True
    # Files can be put where no folder is, which then is made; and an archive must end where its
    # end is marked.
    makes_folders: bool = False
    # A container's state says whether it was killed for its memory.
    tells_oom: bool = True
    # Of /proc/sys a container may be given a part to write to.
    parts_proc_sys: bool = True
    # An init system as process 1 was seen to boot in its containers.
    boots_init: bool = True
    # Who removes a container by force asks it to end first, and waits ten seconds for it.
    asks_before_force: bool = False
    # What a container says that is to have no health check.
    healthcheck: Mapping[str, Any] = field(default_factory=lambda: {"Test": ["NONE"]})
    # Containers on one network can be kept apart, by these options; else a network is one
    # container's, and they keep networks apart.
    keeps_apart: bool = True
    network_options: Mapping[str, str] = field(
        default_factory=lambda: {"com.docker.network.bridge.enable_icc": "false"}
    )
    # The NetworkMode that gives each container a network of its own, if there is one.
    user_network: str = ""
    # What to ask `top` for process id, parent's id, elapsed time and command line with.
    ps: str = "-eo pid,ppid,etime,args"

    def name(self, tag: str) -> str:
        """The engine's name for an image of ours; other names and ids stay as they are."""
        return self.local + tag if tag.startswith(OURS) else tag

    def tag(self, name: str) -> str:
        """Our tag for an engine's name, or '' where the image is not ours."""
        bare = name.removeprefix(self.local)
        return bare if bare.startswith(OURS) else ""


DOCKER = Dialect(product="Docker")


def dialect_of(headers: Mapping[str, str]) -> Dialect:
    """That of the engine that answered `GET /_ping` with these headers."""
    if version := headers.get("Libpod-Api-Version"):
        return Dialect(
            product="Podman",
            version=version,
            # Without it Podman's Docker API takes `docker.io/` for meant (containers.conf,
            # compat_api_enforce_docker_hub).
            local="localhost/",
            imports_dockerfile=False,
            commits_dockerfile=int(version.partition(".")[0]) >= 5,
            remembers_pulls=False,
            looks_up=False,
            loads_gzip=False,
            force_takes_containers=True,
            raises_limits=True,
            adds_variables=("container", "TERM"),
            closes_stdin=True,
            mounts_overlays=False,
            makes_folders=True,
            tells_oom=False,
            # Its API passes over ReadonlyPaths; `unmask=/proc/sys` gives the host's own settings.
            parts_proc_sys=False,
            boots_init=False,
            asks_before_force=True,
            # Its own word for none makes it look for systemd's timers whenever one ends.
            healthcheck={},
            keeps_apart=False,
            network_options={"isolate": "true"},
            # As its bridges do, it gives no addresses of IPv6 but the loopback's.
            user_network="slirp4netns:enable_ipv6=false",
            # Else it runs the `ps` that is in the container, if there is one.
            ps="pid,ppid,etime,args",
        )
    return DOCKER


CAP_SYS_RESOURCE = 24  # capabilities(7), linux/capability.h


def own_limits() -> tuple[tuple[str, int, int], ...]:
    """Name, soft and hard value of the limits that a container must be told to have on this
    host: none where root may raise them, as on most; where root lacks CAP_SYS_RESOURCE (it is
    in a container or a sandbox itself), those that it has."""
    if _root_may_raise():
        return ()
    most = int(Path("/proc/sys/kernel/pid_max").read_text("ascii"))
    found = []
    for name, number in (("nofile", resource.RLIMIT_NOFILE), ("nproc", resource.RLIMIT_NPROC)):
        limits = [most if value < 0 else value for value in resource.getrlimit(number)]
        # Podman bounds its own number of processes by the largest process id.
        soft, hard = (min(value, most) for value in limits) if name == "nproc" else limits
        found.append((name, soft, hard))
    return tuple(found)


def _root_may_raise() -> bool:
    try:
        status = Path("/proc/self/status").read_text("ascii")
        bounding = next(line for line in status.splitlines() if line.startswith("CapBnd:"))
    except (OSError, StopIteration):
        return True
    return bool(int(bounding.split()[1], 16) >> CAP_SYS_RESOURCE & 1)


def take_name(client: Any, name: str, dialect: Dialect) -> None:
    """Take a name from an image, and remove the image if it was the last and nothing stands on
    it. `client` is an APIClient; raises its errors."""
    try:
        client.remove_image(name)
    except APIError as error:
        if error.response is None or error.response.status_code != 409:
            raise
        # A container still stands on it: the name alone goes.
        if not dialect.force_takes_containers:
            client.remove_image(name, force=True)
        elif ":" not in name or name.startswith("sha256:"):
            raise
        else:
            _untag(client, name)


def _untag(client: Any, name: str) -> None:
    """Podman's own API alone can do this and leave the containers be
    (https://docs.podman.io/en/latest/_static/api.html, ImageUntagLibpod)."""
    repository, _, version = name.rpartition(":")
    url = f"{client.base_url}/v4.0.0/libpod/images/{name}/untag"
    client.post(url, params={"repo": repository, "tag": version}).raise_for_status()
