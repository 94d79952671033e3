"""What a guest is made of (an image of ours, a box, the user's Vagrantfile), and who logs in."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from distromatrix.engines.contract import LABEL_CELL, Command, MachineSpec
from distromatrix.engines.guest.acceleration import Accel
from distromatrix.engines.guest.console import panic, said_last
from distromatrix.engines.guest.scripts import install
from distromatrix.engines.vagrant.boxes import VERSION, register
from distromatrix.engines.vagrant.command import vagrant
from distromatrix.engines.vagrant.disk import HOST_KEY
from distromatrix.engines.vagrant.folders import Home, digest, free_port
from distromatrix.engines.vagrant.machine import OpenGuest, VagrantMachine
from distromatrix.engines.vagrant.ssh import Connection, Login
from distromatrix.engines.vagrant.vagrantfile import Definition, loaded
from distromatrix.errors import ImageError, InfrastructureError
from distromatrix.model import Guest as Named


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """What a guest is made of: a `box` made here, else what `guest` names; and how it runs."""

    box: Path | None  # its folder
    guest: Named | None
    memory: int  # bytes
    cpus: int
    accel: Accel

    @property
    def words(self) -> str:
        """What it is, in words that change when it does. Raises InfrastructureError."""
        return self.box.name if self.box else _words(self.guest)

    @property
    def ours(self) -> bool:
        """Whether it is libvirt's, with our own libvirtd."""
        return self.guest is None or self.guest.provider == "libvirt"


def is_named(guest: Named | None) -> bool:
    """Whether it comes from somewhere else than an image."""
    return guest is not None and not guest.made


def title_of(spec: MachineSpec) -> str:
    """What a machine is called in its Vagrantfile."""
    return f"The guest {spec.name} ({spec.labels.get(LABEL_CELL, 'no cell')})"


def define(
    source: Source, home: Home, spec: MachineSpec, *, title: str, folder: Path, console: Path
) -> Definition:
    """What a Vagrantfile in that folder says of it, with its box known to Vagrant. `spec`: of its
    name and network. Raises InfrastructureError."""
    definition = Definition(
        title=title,
        name=spec.name,
        uri=home.libvirtd.uri,
        port=free_port(),
        memory=source.memory // 1024**2,
        cpus=source.cpus,
        kvm=source.accel.kind == "kvm",
        cpu=source.accel.cpu,
        console=str(console),
        network=spec.network,
        emulator=str(home.libvirtd.emulator),
    )
    if source.box is not None:
        register(home, source.box)
        return replace(
            definition,
            box=source.box.name,
            version=VERSION,
            kernel=str(source.box / "vmlinuz"),
            initrd=str(source.box / "initrd"),
            key=str(home.key()),
            user="root",
        )
    guest = source.guest
    assert guest is not None  # noqa: S101
    definition = replace(definition, provider=guest.provider)
    if guest.vagrantfile is not None:
        machine = guest.machine or _only_machine(guest.vagrantfile, folder)
        return replace(definition, own=guest.vagrantfile, machine=machine)
    return replace(definition, box=guest.box, version=guest.version)


def up(definition: Definition, folder: Path, console: Path, within: float) -> None:
    """`vagrant up` of the Vagrantfile in that folder, for so many seconds at the most, with a log
    beside the console's. Raises InfrastructureError."""
    vagrant(
        *("up", definition.machine, "--provider", definition.provider),
        folder=folder,
        root=root_of(definition),
        timeout=within,
        log=console.parent / "vagrant.log",
        hopeless=lambda: panic(console),
    )


def says_up(spec: MachineSpec, accel: Accel) -> None:
    """Tell who opens it that a `vagrant up` begins."""
    spec.on_step(f"vagrant up {accel.how}")


@contextmanager
def coming_up(console: Path) -> Iterator[None]:
    """What fails in it says what the guest's console said last."""
    try:
        yield
    except ImageError:
        raise
    except InfrastructureError as error:
        raise InfrastructureError(
            f"the guest did not come up: {error}{said_last(console)}", transient=error.transient
        ) from error


def _only_machine(own: Path, folder: Path) -> str:
    """What the one machine of a user's Vagrantfile is called. Raises InfrastructureError."""
    (folder / "Vagrantfile").write_text(loaded(own), encoding="utf-8")
    said = vagrant("status", "--machine-readable", folder=folder, root=own.parent, timeout=120.0)
    rows = (line.split(",") for line in said.splitlines())
    names = sorted({row[1] for row in rows if len(row) > 3 and row[2] == "state" and row[1]})
    if len(names) != 1:
        found = ", ".join(names) or "none"
        raise InfrastructureError(
            f"{own}: which of its machines? (`guest: {{machine: …}}`; it has {found})",
            transient=False,
        )
    return names[0]


def login(folder: Path, definition: Definition) -> Login:
    """Who logs in where, and by which keys; Vagrant knows it where we do not. Raises
    InfrastructureError."""
    if definition.user:
        shown = Path(definition.kernel).with_name(HOST_KEY)
        return Login(
            address="127.0.0.1",
            port=definition.port,
            user=definition.user,
            keys=(definition.key,),
            host_key=shown.read_text(encoding="ascii").strip(),
        )
    words: dict[str, str] = {}
    keys = []
    said = vagrant(
        "ssh-config", definition.machine, folder=folder, root=root_of(definition), timeout=60.0
    )
    for line in said.splitlines():
        word, _, value = line.strip().partition(" ")
        words.setdefault(word, value)
        if word == "IdentityFile":
            keys.append(value.strip('"'))
    return Login(
        address=words.get("HostName", "127.0.0.1"),
        port=int(words.get("Port", str(definition.port))),
        user=words.get("User", "vagrant"),
        keys=tuple(keys),
    )


def root_of(definition: Definition) -> Path | None:
    """The folder that paths in the user's Vagrantfile begin from."""
    return definition.own.parent if definition.own else None


# So that what is saved is at rest, and nothing of it is lost that was only in memory.
_SETTLE = """{install}
timeout 60 sh -c 'command -v systemctl && systemctl is-system-running --wait' >/dev/null
sync"""


def settle(connection: Connection, who: Login) -> None:
    """Wait until the guest has come up altogether, over a connection that its saved state
    knows nothing of. Raises InfrastructureError, where it has no sudo or no sh, too."""
    connection.write(who)
    try:
        connection.open(60.0)
        status, said = connection.send(iter(()), _SETTLE.format(install=install()))
    except TimeoutError as error:
        # Vagrant has just been let in: the keys are right, and sshd lets nobody in without a shell.
        shell = " (is its login shell there, and /bin/sh?)" if "denied" in str(error) else ""
        raise InfrastructureError(
            f"{who.user} cannot log in to it by ssh{shell}: {error}", transient=False
        ) from error
    finally:
        connection.close()
        connection.config.unlink(missing_ok=True)
    if status != 0:
        raise InfrastructureError(why_not_root(who.user, status, said), transient=False)


def why_not_root(user: str, status: int, said: str) -> str:
    """Why a guest's first command failed, by what ssh says of it."""
    last = said.splitlines()[-1] if said else f"status {status}"
    if "sudo" in last and "not found" in last:
        return f"it has no sudo, and {user}, who logs in to it, is not root"
    if "sudo" in last and "password" in last:
        return f"sudo wants a password of {user}, who logs in to it: it needs NOPASSWD in sudoers"
    if ("/sh" in last and "No such file" in last) or "/sh: not found" in last:
        return "it has no /bin/sh"
    return f"no command can be run in it as root ({last})"


def make_ready(spec: MachineSpec, guest: OpenGuest, connection: Connection, who: Login) -> None:
    """Do what its cell wants of a guest that has come up, before anything else is in it. Raises
    InfrastructureError, ImageError."""
    if spec.ready is None:
        return
    connection.write(who)
    connection.open(60.0)
    root = MachineSpec(name=spec.name, image=spec.image, memory=spec.memory)
    machine = VagrantMachine(root, guest, connection, staged=False, owned=False)
    try:
        machine.begin()
        spec.ready.apply(machine)
        machine.run(Command("sync"))
    finally:
        machine.close()
        connection.close()
        connection.config.unlink(missing_ok=True)


def _words(guest: Named | None) -> str:
    assert guest is not None  # noqa: S101
    if guest.vagrantfile is not None:
        try:
            text = guest.vagrantfile.read_text(encoding="utf-8", errors="replace")
        except OSError as error:
            raise InfrastructureError(
                f"{guest.vagrantfile}: {error.strerror}", transient=False
            ) from error
        return f"{guest.vagrantfile} ({digest([text])}, {guest.machine or 'its only machine'})"
    return f"{guest.box} {guest.version}".strip()
