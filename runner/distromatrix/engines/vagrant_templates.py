"""Guests that are kept ready: made and booted by Vagrant once, then saved with their memory.

A box is made once of an image; a template once of a box, with so much memory and so many
processors. Both are known by what they are made of, and made by one process at a time.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from distromatrix.engines.accel import Accel
from distromatrix.engines.base import MachineSpec
from distromatrix.engines.console import last_lines, panic
from distromatrix.engines.guest_scripts import install
from distromatrix.engines.libvirt_saved import disks_of, is_shared, read_saved
from distromatrix.engines.libvirtd import POOL, Libvirtd, VirshError
from distromatrix.engines.ssh import Connection, Login
from distromatrix.engines.vagrant_boxes import VERSION, Box, have_box, lock_of, register, remove_box
from distromatrix.engines.vagrant_call import vagrant
from distromatrix.engines.vagrant_file import COMMAND_LINE, Definition, vagrantfile
from distromatrix.engines.vagrant_home import TEMPLATE, Home, InUseError, digest, free_port, hold
from distromatrix.errors import InfrastructureError
from distromatrix.model import Guest

FORMAT = 3  # part of every name: raise it when what is made of an image changes
UP_WITHIN = 900.0  # seconds that the first boot may take
_FACTS = "template.json"  # written last: what has none is not whole


@dataclass(frozen=True, slots=True)
class Template:
    """A saved guest. `port` and `console` are those in its definition; `keys`: private ones."""

    name: str
    folder: str
    uuid: str
    machine: str
    user: str
    keys: tuple[str, ...]
    definition: Definition
    scale: float  # how much longer than at full speed things take in it

    @property
    def state(self) -> Path:
        """Its memory and devices, as libvirt saves them."""
        return Path(self.folder) / "state.save"


class Templates:
    """Makes and finds them. `accel`: what of the machine a guest gets, by its kernel, memory
    (bytes) and processors."""

    def __init__(
        self,
        home: Home,
        libvirtd: Libvirtd,
        export: Callable[[str, Mapping[str, str]], Iterable[bytes]],
        accel: Callable[[Path | None, int, int], Accel],
    ) -> None:
        self._home = home
        self._libvirtd = libvirtd
        self._export = export
        self._accel = accel

    @contextmanager
    def using(self, image: str, spec: MachineSpec, cpus: int) -> Iterator[Template]:
        """The template of an image (its id), or of what `spec.guest` names, held meanwhile; a
        machine that names it in its facts then holds it on. Raises CannotStartError,
        InfrastructureError."""
        guest, memory = spec.guest, spec.memory
        self._home.make()
        while True:
            box = None if _named(guest) else self.box(image, spec.labels)
            accel = self._accel(box.folder / "vmlinuz" if box else None, memory, cpus)
            source = box.name if box else _source(guest)
            what = [FORMAT, source, memory, cpus, accel.kind, accel.cpu, COMMAND_LINE, _qemu()]
            name = TEMPLATE + digest([*what, install()])
            folder = self._home.templates / name
            with hold(self._lock(name), shared=True):
                if found := _read(folder):
                    with contextlib.suppress(OSError):
                        os.utime(folder / _FACTS)  # when it was used last
                    yield found
                    return
            with hold(self._lock(name)), self._box_held(box):
                if _read(folder) is None and (box is None or box.whole):
                    self._make(name, folder, box, guest, memory, cpus, accel)

    def box(self, image: str, labels: Mapping[str, str]) -> Box:
        """The box of an image; what is made meanwhile has those labels. Raises
        CannotStartError, InfrastructureError."""
        return have_box(self._home, image, labels, self._export, FORMAT)

    def _lock(self, name: str) -> Path:
        return self._home.templates / f"{name}.lock"

    @contextmanager
    def _box_held(self, box: Box | None) -> Iterator[None]:
        if box is None:
            yield
            return
        with hold(lock_of(self._home, box.name), shared=True):
            yield

    def _make(
        self,
        name: str,
        folder: Path,
        box: Box | None,
        guest: Guest | None,
        memory: int,
        cpus: int,
        accel: Accel,
    ) -> Template:
        self._remove(name)
        folder.mkdir(parents=True)
        self._libvirtd.ensure()
        definition = Definition(
            title=f"The template of guests of {box.name if box else _source(guest)}",
            name=name,
            uri=self._libvirtd.uri,
            pool=POOL,
            port=free_port(),
            memory=memory // 1024**2,
            cpus=cpus,
            kvm=accel.kind == "kvm",
            cpu=accel.cpu,
            console=str(folder / "console.log"),
        )
        definition = _of_source(definition, box, guest, self._home)
        if box is not None:
            register(self._home, box)
            self._libvirtd("pool-refresh", POOL)
        (folder / "Vagrantfile").write_text(vagrantfile(definition), encoding="utf-8")
        template = self._boot(name, folder, definition, accel.scale)
        facts = {**asdict(template), "definition": asdict(definition)}
        part = folder / f"{_FACTS}.part"
        part.write_text(json.dumps(facts, default=str), encoding="utf-8")
        part.replace(folder / _FACTS)
        return template

    def _boot(self, name: str, folder: Path, definition: Definition, scale: float) -> Template:
        machine = definition.machine
        try:
            vagrant(
                *("up", machine, "--provider", "libvirt"),
                folder=folder,
                timeout=UP_WITHIN,
                told=_log(folder / "vagrant.log"),
                hopeless=lambda: panic(folder / "console.log"),
            )
            uuid = (folder / f".vagrant/machines/{machine}/libvirt/id").read_text().strip()
            user, keys = _login(folder, definition)
            login = Login(address="127.0.0.1", port=definition.port, user=user, keys=keys)
            _settle(Connection(folder, self._home.sockets), login)
            self._libvirtd("save", uuid, str(folder / "state.save"), timeout=300.0)
            saved = read_saved(folder / "state.save").definition
        except InfrastructureError as error:
            console = folder / "console.log"
            words = panic(console) or " / ".join(last_lines(console, 3))
            self._undo(name)
            said = f"; its console says: {words}" if words else ""
            raise InfrastructureError(
                f"the guest did not come up: {error}{said}", transient=error.transient
            ) from error
        except BaseException:
            self._undo(name)
            raise
        if is_shared(saved):
            raise InfrastructureError(
                f"{definition.own}: guests with networks of their own cannot be kept ready",
                transient=False,
            )
        return Template(
            name=name,
            folder=str(folder),
            uuid=uuid,
            machine=machine,
            user=user,
            keys=keys,
            definition=definition,
            scale=scale,
        )

    def _undo(self, name: str) -> None:
        with contextlib.suppress(InfrastructureError):
            self._remove(name, keep_log=True)

    def remove(self, name: str) -> None:
        """Remove a template with its domain and disks, unless it is in use or being made. No
        error if it is gone. Raises InfrastructureError."""
        with contextlib.suppress(InUseError), hold(self._lock(name), wait=False):
            if name not in self._used("template"):
                self._remove(name)

    def remove_box(self, name: str) -> None:
        """Remove a box, and what Vagrant knows of it, unless a template stands on it."""
        remove_box(self._home, name, lambda: name in self._used("box"))

    def _used(self, what: str) -> set[str]:
        """The templates that machines stand on, or the boxes that templates do."""
        files = {
            "template": self._home.machines.glob("*/machine.json"),
            "box": self._home.templates.glob(f"*/{_FACTS}"),
        }[what]
        found = set()
        for file in files:
            with contextlib.suppress(OSError, ValueError, KeyError):
                facts = json.loads(file.read_text(encoding="utf-8"))
                found.add(facts["template"] if what == "template" else facts["definition"]["box"])
        return found

    def _remove(self, name: str, *, keep_log: bool = False) -> None:
        folder = self._home.templates / name
        if folder.exists() or list(self._home.pool.glob(f"{name}-*")):
            for domain in self._libvirtd("list", "--all", "--name").split():
                if domain.startswith(f"{name}-"):
                    remove_domain(self._libvirtd, domain)
        for disk in self._home.pool.glob(f"{name}-*"):
            disk.unlink(missing_ok=True)
        if keep_log:
            for kept in ("console.log", "vagrant.log"):
                with contextlib.suppress(OSError):
                    (folder / kept).replace(self._home.templates / f"{name}-{kept}")
        shutil.rmtree(folder, ignore_errors=True)

    def list(self) -> tuple[Kept, ...]:
        """All boxes and templates, whole or not."""
        found = []
        for folder in sorted(self._home.templates.glob(f"{TEMPLATE}*/")):
            facts = folder / _FACTS
            used = (facts if facts.exists() else folder).stat().st_mtime
            found.append(Kept("template", folder.name, used, _bytes(folder)))
        for folder in sorted(self._home.boxes.glob(f"{TEMPLATE}*/")):
            found.append(Kept("box", folder.name, folder.stat().st_mtime, _bytes(folder)))
        return tuple(found)


@dataclass(frozen=True, slots=True)
class Kept:
    """Something that is kept ready. `used`: when last, in seconds since the epoch."""

    kind: str  # template | box
    name: str
    used: float
    size: int  # bytes on the disk


def remove_domain(libvirtd: Libvirtd, domain: str) -> None:
    """End it and forget it. No error if it is gone. Raises InfrastructureError."""
    _kill(libvirtd, domain)
    for command in ("destroy", "undefine"):
        with contextlib.suppress(VirshError):
            libvirtd(command, domain)
    if domain in libvirtd("list", "--all", "--name").split():
        raise InfrastructureError(f"the domain {domain} cannot be removed")


def _kill(libvirtd: Libvirtd, domain: str) -> None:
    """End its QEMU at once: libvirt would ask it first, which takes two seconds, and its disk is
    thrown away."""
    with contextlib.suppress(OSError, ValueError):
        pid = int((libvirtd.folder / f"run/qemu/{domain}.pid").read_text())
        command = Path(f"/proc/{pid}/cmdline").read_bytes()
        if f"guest={domain},".encode() in command:
            os.kill(pid, signal.SIGKILL)


def _named(guest: Guest | None) -> bool:
    """Whether it comes from somewhere else than an image."""
    return guest is not None and (guest.vagrantfile is not None or not guest.kernel)


def _source(guest: Guest | None) -> str:
    """What it is made of, in words that change when it does."""
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


def _of_source(
    definition: Definition, box: Box | None, guest: Guest | None, home: Home
) -> Definition:
    """The definition with what it is made of."""
    if box is not None:
        return replace(
            definition,
            box=box.name,
            version=VERSION,
            kernel=str(box.folder / "vmlinuz"),
            initrd=str(box.folder / "initrd"),
            key=str(home.key()),
            user="root",
        )
    assert guest is not None  # noqa: S101
    if guest.vagrantfile is not None:
        return replace(definition, own=guest.vagrantfile, machine=guest.machine or "default")
    return replace(definition, box=guest.box, version=guest.version)


def _login(folder: Path, definition: Definition) -> tuple[str, tuple[str, ...]]:
    """Who logs in, and by which keys; Vagrant knows it where we do not."""
    if definition.user:
        return definition.user, (definition.key,)
    user, keys = "vagrant", []
    said = vagrant("ssh-config", definition.machine, folder=folder, timeout=60.0)
    for line in said.splitlines():
        word, _, value = line.strip().partition(" ")
        if word == "User":
            user = value
        elif word == "IdentityFile":
            keys.append(value.strip('"'))
    return user, tuple(keys)


# So that what is saved is at rest, and nothing of it is lost that was only in memory.
_SETTLE = """{install}
timeout 60 sh -c 'command -v systemctl && systemctl is-system-running --wait' >/dev/null
sync"""


def _settle(connection: Connection, login: Login) -> None:
    """Wait until the guest has come up altogether, over a connection that its saved state
    knows nothing of. Raises InfrastructureError, where it has no sudo or no sh, too."""
    connection.write(login)
    try:
        connection.open(60.0)
        status, said = connection.send(iter(()), _SETTLE.format(install=install()))
    except TimeoutError as error:
        raise InfrastructureError(f"nobody can log in to it by ssh: {error}") from error
    finally:
        connection.close()
        connection.config.unlink(missing_ok=True)
    if status != 0:
        raise InfrastructureError(
            f"no command can be run in it as root ({said or f'status {status}'})", transient=False
        )


def _log(file: Path) -> Callable[[str], None]:
    def write(line: str) -> None:
        with file.open("a", encoding="utf-8") as log:
            log.write(line + "\n")

    return write


def _read(folder: Path) -> Template | None:
    try:
        facts = json.loads((folder / _FACTS).read_text(encoding="utf-8"))
        known = facts["definition"]
        own = known.pop("own")
        definition = Definition(**known, own=Path(own) if own else None)
        template = Template(**{**facts, "definition": definition, "keys": tuple(facts["keys"])})
    except (OSError, ValueError, TypeError, KeyError):
        return None
    if not template.state.exists():
        return None
    disks = disks_of(read_saved(template.state).definition)
    return template if all(Path(disk).exists() for disk in disks) else None


def _qemu() -> str:
    """Stands for QEMU's version, of which a saved state is."""
    from distromatrix.engines.accel import find_qemu

    found = find_qemu()
    if found is None:
        return ""
    status = found.stat()
    return f"{found} {status.st_size} {status.st_mtime_ns}"


def _bytes(folder: Path) -> int:
    return sum(
        file.stat().st_blocks * 512
        for file in folder.rglob("*")
        if file.is_file() and not file.is_symlink()
    )
