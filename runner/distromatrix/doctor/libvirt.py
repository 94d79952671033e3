"""Starts libvirtd, without sight of a KVM that does not work; says how, where it is not ours.

libvirtd asks QEMU what it can do, by a start of QEMU that it ends again, and asks anew each time
a guest is defined while `/dev/kvm` may be opened and QEMU could not use it
(virQEMUCapsIsValid: "KVM was not enabled when probing, but it should be usable now"). Where KVM
opens and no kernel comes up in it, each asking stands still for most of a minute. A `/dev/null`
in its place, which may be opened too, saves the standing still and not the asking: what is there
must be something that not even root may open for writing.

It also waits for each QEMU that it ends to be gone. They are orphans, so that is when process 1
has reaped them: in containers late or never. tini(1) reaps them, where it is installed.
"""

from __future__ import annotations

import shlex
import stat
import time
from pathlib import Path

from distromatrix.doctor.command import Run, Say, must
from distromatrix.doctor.host import Host
from distromatrix.errors import InfrastructureError

NETWORK = "default"
PATIENCE = 30.0  # seconds until a started libvirtd must answer; its first start makes its folders
_VIRSH = "virsh -c qemu:///system"
_PIDS = (Path("/run/libvirtd.pid"), Path("/run/virtqemud.pid"))
_DROP_IN = "/etc/systemd/system/libvirtd.service.d/50-distromatrix.conf"
_NETWORK_FILE = "/usr/share/libvirt/networks/default.xml"
_LOG = "/var/log/libvirtd.log"
# With what reaps orphans at once, where that is installed.
_DAEMON = (
    f"(setsid $(command -v tini >/dev/null && echo tini -s --) libvirtd >>{_LOG} 2>&1 </dev/null &)"
)
_NOTHING = "/run/distromatrix-no-kvm"
_HIDE = (
    f": >{_NOTHING} && mount --bind {_NOTHING} /dev/kvm && mount -o remount,bind,ro /dev/kvm"
    f" && chmod 0 {_NOTHING}"
)


def virsh(arguments: str) -> str:
    """A command line for the libvirtd that Vagrant uses; it gives up rather than wait for long."""
    return f"timeout 20 {_VIRSH} -q {arguments}"


def start_commands(host: Host, *, hide: bool) -> tuple[str, ...]:
    """What starts an installed libvirtd and its network. `hide`: KVM was proved unusable."""
    if host.init == "systemd":
        family = host.family.libvirt if host.family else "systemctl enable --now libvirtd"
        advice = hide_commands(host) if hide else ()
        return (host.as_root(family), *advice, *network_commands(host))
    return (*map(host.as_root, ("virtlogd -d", _by_hand(hide))), *network_commands(host))


def _by_hand(hide: bool) -> str:
    """A command line that starts libvirtd in a session of its own; hiding KVM from it in a mount
    namespace of its own, into which later mounts of the host still come."""
    if not hide:
        return f"sh -c {shlex.quote(_DAEMON)}"
    script = shlex.quote(f"{_HIDE} && {_DAEMON}")
    return f"unshare --mount --propagation slave sh -c {script}"


def network_commands(host: Host) -> tuple[str, ...]:
    """What starts the network that guests get their addresses from."""
    return (host.as_root(f"{_VIRSH} net-start {NETWORK}"),)


def hide_commands(host: Host) -> tuple[str, ...]:
    """What hides /dev/kvm from a libvirtd that runs: for people, for it is not ours to restart."""
    commands: tuple[str, ...]
    if host.init == "systemd":
        folder = Path(_DROP_IN).parent
        text = shlex.quote("[Service]\\nInaccessiblePaths=/dev/kvm\\n")
        script = f"mkdir -p {folder} && printf {text} >{_DROP_IN}"
        commands = (
            f"sh -c {shlex.quote(script)}",
            "systemctl daemon-reload",
            "systemctl restart libvirtd",
        )
    else:
        stop = f"kill $(cat {_PIDS[0]}) && sleep 2"
        commands = (
            f"sh -c {shlex.quote(stop)}",
            _by_hand(hide=True),
        )
    return tuple(map(host.as_root, commands))


def refuses(output: str) -> bool:
    """Whether virsh's words mean that libvirtd is there and the user has no rights on it."""
    return any(w in output for w in ("Permission denied", "authentication", "access denied"))


def sees_kvm(pids: tuple[Path, ...] = _PIDS, proc: Path = Path("/proc")) -> bool | None:
    """Whether the libvirtd that runs has in its /dev a KVM that it may open, or what it takes
    for one; None: that is not ours to see, or none runs."""
    for file in pids:
        try:
            status = (proc / file.read_text("ascii").strip() / "root/dev/kvm").stat()
        except FileNotFoundError:
            continue
        except (OSError, ValueError):
            return None
        return stat.S_ISCHR(status.st_mode) and stat.S_IMODE(status.st_mode) != 0
    return None


def start_libvirt(
    host: Host, *, hide: bool, run: Run, say: Say, patience: float = PATIENCE
) -> None:
    """Start what does not run yet: log daemon, libvirtd, its network. A libvirtd that runs is
    left as it is. Raises InfrastructureError with what the failing command printed."""
    if not _answers(run):
        _start_daemons(host, hide, run, say)
        if not _wait(run, patience):
            last = run(virsh("uri")).output.strip()
            message = f"libvirtd does not answer after it was started: {last} ({_LOG} says more)"
            raise InfrastructureError(message, transient=False)
    if NETWORK in run(virsh("net-list --name")).output.split():
        return
    if NETWORK not in run(host.as_root(virsh("net-list --all --name"))).output.split():
        must(host.as_root(f"{_VIRSH} net-define {_NETWORK_FILE}"), run, say)
    (start,) = network_commands(host)
    must(start, run, say)


def _start_daemons(host: Host, hide: bool, run: Run, say: Say) -> None:
    commands = start_commands(host, hide=hide)[: -len(network_commands(host))]
    if host.init == "systemd":
        # What hides KVM there is the user's to decide: it outlives this run.
        commands = commands[:1]
    for command in commands:
        if "virtlogd" in command:  # it may run already, and then ends with a fault
            say(f"$ {command}")
            run(command)
        else:
            must(command, run, say)


def _answers(run: Run) -> bool:
    ended = run(virsh("uri"))
    return ended.status == 0 or refuses(ended.output)


def _wait(run: Run, patience: float) -> bool:
    deadline = time.monotonic() + patience
    while not _answers(run):
        if time.monotonic() >= deadline:
            return False
        time.sleep(0.2)
    return True
