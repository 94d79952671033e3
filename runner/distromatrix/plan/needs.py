"""The needs a suite can have, which engine meets which of them, and why not where it does not.

One table. Engines of containers all meet the same needs, and which one is used is the user's
choice (`CONTAINERS`); engines of guests (`GUESTS`) come after them, by what they cost.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

# pytest's plugin reads the table in every session: it costs no import, and no dataclass, of which
# one takes a millisecond to make.
if TYPE_CHECKING:
    from distromatrix.model import Guest, HostFacts, Need

CONTAINERS = ("docker", "podman")  # the first where the user chooses none
GUESTS = ("qemu", "vagrant")  # the cheapest first

# Vagrant's providers, and what they are called; all but the first are passed through untested.
PROVIDERS = {
    "libvirt": "libvirt",
    "virtualbox": "VirtualBox",
    "vmware_desktop": "VMware",
    "hyperv": "Hyper-V",
    "proxmox": "Proxmox",
}
PRIVILEGES = {
    "mount": "mount and unmount file systems",
    "sysctl": "write to net.* under /proc/sys",
    "init": "run an init system as process 1",
    "setuid": "let programs that are setuid become their owner: sudo, su, helpers of the product's",
    "net-raw": "open raw sockets, and start programs that have that as a file capability: ping",
    "mknod": "make device nodes",
    "audit-write": "write to the kernel's audit log",
}
# What one engine of containers cannot give, and why.
_NOT_BY = {
    ("podman", "sysctl"): "would make all of /proc/sys writable, the kernel's own settings too",
    ("podman", "init"): "boots no init system here yet",
}
# The first systemd that does not boot on cgroup v1; from 256 on it must be forced to (its NEWS).
NO_CGROUP_1 = 258
DEVICE_PREFIX = "/dev/"  # a privilege may also be the path of one of the host's devices
DEVICE = r"/dev(/[A-Za-z0-9_][A-Za-z0-9._:-]*)+"  # which is no other way to `/dev` itself
# A product for whose mark `needs` means something else says `off` in its matrix's env.
SWITCH = "DISTROMATRIX_CASE_NEEDS"


class KnownNeed(NamedTuple):
    """A need. `privilege`: what lets a container meet it (a prefix, where it is a device);
    None: a container never can. `guests`: the engines whose guests have it; `lacking`: why the
    others have not. `versioned`: takes a constraint such as `>=6.1`, on the kernel's version."""

    description: str
    privilege: str | None = None
    guests: tuple[str, ...] = GUESTS
    lacking: str = ""
    versioned: bool = False


NEEDS = {
    "mount": KnownNeed(description="mounts file systems", privilege="mount"),
    "sysctl": KnownNeed(description="writes net.* under /proc/sys", privilege="sysctl"),
    "init": KnownNeed(
        description="an init system as process 1",
        privilege="init",
        guests=("vagrant",),
        lacking="its guests boot without an init system",
    ),
    "setuid": KnownNeed(description="setuid programs become their owner", privilege="setuid"),
    "gpu": KnownNeed(
        description="a GPU", privilege="/dev/dri", guests=(), lacking="guests have no GPU"
    ),
    "kernel-modules": KnownNeed(description="loads kernel modules"),
    "kernel": KnownNeed(
        description="a kernel of that version, the host's where it is", versioned=True
    ),
    "own-kernel": KnownNeed(description="the distro's own kernel", versioned=True),
    "reboot": KnownNeed(description="restarts the machine"),
}


class Choice(NamedTuple):
    """The engine for a cell and why; `engine` None: nothing here meets its needs."""

    engine: str | None
    reason: str


def choose_engine(
    needs: Sequence[Need], privileges: Sequence[str], host: HostFacts, guest: Guest | None
) -> Choice:
    """The cheapest engine that meets all of `needs`: the user's containers with what
    `privileges` allow, else the guests of a distro (`guest`) that can be had here."""
    refusals = container_refusals(needs, privileges, host)
    if not refusals:
        return Choice(host.engine, _met(needs, host))
    found = choose_guest(needs, host.guests, guest)
    return Choice(found.engine, "; ".join(filter(None, (*refusals, found.reason))))


def container_refusals(
    needs: Sequence[Need], privileges: Sequence[str], host: HostFacts
) -> tuple[str, ...]:
    """Why the host's containers with these privileges do not meet all of `needs`: nothing where
    they do."""
    refusals = [why for need in needs if (why := refusal(need, privileges, host.kernel))]
    return tuple(refusals or _withheld(privileges, host.engine))


def choose_guest(needs: Sequence[Need], here: Mapping[str, str], guest: Guest | None) -> Choice:
    """The cheapest engine of guests that meets all of `needs`; `here`: those of this host, each
    with why it cannot be used ('' where it can). `reason`: why not the cheaper ones."""
    against: dict[str, str] = {}
    for engine in GUESTS:
        why = guest_refusal(engine, needs, here, guest)
        if not why:
            notes = [f"not {name}: {text}" for name, text in against.items()]
            if engine == "vagrant" and (note := untested(guest)):
                notes.append(note)
            return Choice(engine, "; ".join(notes))
        against[engine] = why
    if len(set(against.values())) == 1:
        return Choice(None, f"no guest: {against[GUESTS[0]]}")
    return Choice(None, "; ".join(f"no {name}: {text}" for name, text in against.items()))


def guest_refusal(
    engine: str, needs: Sequence[Need], here: Mapping[str, str], guest: Guest | None
) -> str:
    """Why guests of an engine do not meet all of `needs` here, '' where they do. Of a version
    nothing is known before the guest is there."""
    for need in needs:
        known = NEEDS[need.name]
        if engine not in known.guests:
            return known.lacking
    if guest is None:
        return "its distro has no `guest:`"
    if engine == "qemu" and not guest.kernel:
        return "its distro's `guest:` has no `bootstrap: {kernel: …}`"
    whole = (guest.made and guest.system) or guest.box or guest.vagrantfile
    if engine == "vagrant" and not whole:
        return "its distro's `guest:` has no `system:`, no `box:` and no `vagrantfile:`"
    return here.get(engine, "this host has no engine of guests")


def of_image(engine: str, guest: Guest | None) -> bool:
    """Whether an engine's guests of a distro are made of the image that its containers run."""
    return guest is not None and bool(guest.made if engine == "vagrant" else guest.kernel)


def untested(guest: Guest | None) -> str:
    """What is to be said of a distro's guests of Vagrant's whose provider nobody has tried."""
    if guest is None or guest.provider == "libvirt":
        return ""
    return f"through {PROVIDERS[guest.provider]}, with which distromatrix is untested"


def refusal(need: Need, privileges: Sequence[str], kernel: str = "") -> str:
    """Why a container with these privileges does not meet a need, '' where it does. `kernel`:
    the version of the host's."""
    if need.name == "kernel":
        if version_meets(need.version, kernel):
            return ""
        return f"needs {need}, and the kernel of containers here is {kernel or 'not known'}"
    privilege = NEEDS[need.name].privilege
    if privilege is None:
        return f"needs {need}, which a container does not have"
    if any(_grants(given, privilege) for given in privileges):
        return ""
    example = f"{privilege}/…" if privilege.startswith(DEVICE_PREFIX) else privilege
    return f"needs {need}, which a container may give only with `privileges: [{example}]`"


def meetable(needs: Sequence[str]) -> bool:
    """Whether some engine could meet all of these at once, with every privilege and version."""
    container = all(NEEDS[name].privilege is not None or name == "kernel" for name in needs)
    return container or any(all(g in NEEDS[name].guests for name in needs) for g in GUESTS)


def version_meets(constraint: str, version: str) -> bool:
    """Whether a version such as `6.1.0-18-amd64` meets a constraint such as `>=5.10,<7`. Only
    as many numbers count as the constraint has: 6.1.5 is `==6.1`, and not `>6.1`. '' as a
    constraint is always met, '' as a version meets no other."""
    if not constraint:
        return True
    found = re.match(r"\d+(\.\d+)*", version)
    if found is None:
        return False
    has = tuple(map(int, found[0].split(".")))
    return all(_holds(part, has) for part in constraint.split(","))


def _holds(part: str, has: tuple[int, ...]) -> bool:
    operator = part.rstrip("0123456789.")
    wanted = tuple(map(int, part[len(operator) :].split(".")))
    cut = (has + (0,) * len(wanted))[: len(wanted)]
    return {
        ">=": cut >= wanted,
        "<=": cut <= wanted,
        ">": cut > wanted,
        "<": cut < wanted,
    }.get(operator, cut == wanted)


def _withheld(privileges: Sequence[str], container: str) -> Iterator[str]:
    """Privileges that the engine of containers does not give."""
    for name in privileges:
        if (container, name) in _NOT_BY:
            why = _NOT_BY[container, name]
            yield f"asks for the privilege {name}, with which {container} {why}"


def _met(needs: Sequence[Need], host: HostFacts) -> str:
    """Why a container serves, and under which condition."""
    allowed = ", ".join(str(need) for need in needs if need.name != "kernel")
    of_host = ", ".join(str(need) for need in needs if need.name == "kernel")
    reasons = [f"needs {allowed}, which `privileges:` allows"] if allowed else []
    if host.cgroup == "1" and any(need.name == "init" for need in needs):
        reasons.append(f"on this host's cgroup v1 that takes a systemd before {NO_CGROUP_1}")
    if of_host:
        reasons.append(f"needs {of_host}, and the kernel of containers here is {host.kernel}")
    return "; ".join(reasons) or "a container is enough"


def _grants(given: str, wanted: str) -> bool:
    return given == wanted or (
        wanted.startswith(DEVICE_PREFIX) and given.startswith((wanted + "/", "/dev/nvidia"))
    )
