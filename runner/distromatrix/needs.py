"""The needs a suite can have, which engine meets which of them, and why not where it does not.

One table. Engines of containers all meet the same needs, and which one is used is the user's
choice (`CONTAINERS`); a guest engine adds its answers to the table.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

# pytest's plugin reads the table in every session: it costs no import, and no dataclass, of which
# one takes a millisecond to make.
if TYPE_CHECKING:
    from distromatrix.model import Need

CONTAINERS = ("docker", "podman")  # the first where the user chooses none

PRIVILEGES = {
    "mount": "mount and unmount file systems",
    "sysctl": "write to net.* under /proc/sys",
    "init": "run an init system as process 1",
}
_NOT_YET = frozenset({"init"})  # a container could; no engine here does it yet
# What one engine of containers cannot give, and why.
_NOT_BY = {
    ("podman", "sysctl"): "would make all of /proc/sys writable, the kernel's own settings too",
}
DEVICE_PREFIX = "/dev/"  # a privilege may also be the path of one of the host's devices


class KnownNeed(NamedTuple):
    """A need. `privilege`: what lets a container meet it (a prefix, where it is a device);
    None: a container never can. `versioned`: takes a constraint such as `>=6.1`."""

    description: str
    privilege: str | None = None
    versioned: bool = False


NEEDS = {
    "mount": KnownNeed(description="mounts file systems", privilege="mount"),
    "sysctl": KnownNeed(description="writes net.* under /proc/sys", privilege="sysctl"),
    "init": KnownNeed(description="an init system as process 1", privilege="init"),
    "gpu": KnownNeed(description="a GPU", privilege="/dev/dri"),
    "kernel-modules": KnownNeed(description="loads kernel modules"),
    "own-kernel": KnownNeed(description="the distro's own kernel", versioned=True),
    "reboot": KnownNeed(description="restarts the machine"),
}


class Choice(NamedTuple):
    """The engine for a cell and why; `engine` None: nothing here meets its needs."""

    engine: str | None
    reason: str


def choose_engine(
    needs: Sequence[Need], privileges: Sequence[str], container: str = CONTAINERS[0]
) -> Choice:
    """The cheapest engine that meets all of `needs` with what `privileges` allow; `container`
    is the user's engine of containers."""
    refusals = [why for need in needs if (why := refusal(need, privileges))]
    if not refusals:
        late = [name for name in privileges if name in _NOT_YET]
        refusals = [f"asks for the privilege {n}, which no engine here gives yet" for n in late]
        refusals += [
            f"asks for the privilege {name}, with which {container} {_NOT_BY[container, name]}"
            for name in privileges
            if (container, name) in _NOT_BY
        ]
    if refusals:
        return Choice(engine=None, reason="; ".join(refusals))
    if needs:
        names = ", ".join(str(need) for need in needs)
        return Choice(engine=container, reason=f"needs {names}, which `privileges:` allows")
    return Choice(engine=container, reason="needs nothing that a container cannot give")


def refusal(need: Need, privileges: Sequence[str]) -> str:
    """Why a container with these privileges does not meet a need, '' where it does."""
    privilege = NEEDS[need.name].privilege
    if privilege is None:
        return f"needs {need}, which a container cannot give; no guest engine is available yet"
    if privilege in _NOT_YET:
        return f"needs {need}, which no engine here gives yet"
    if any(_grants(given, privilege) for given in privileges):
        return ""
    example = f"{privilege}/…" if privilege.startswith(DEVICE_PREFIX) else privilege
    return f"needs {need}, which a container may give only with `privileges: [{example}]`"


def _grants(given: str, wanted: str) -> bool:
    return given == wanted or (
        wanted.startswith(DEVICE_PREFIX) and given.startswith((wanted + "/", "/dev/nvidia"))
    )
