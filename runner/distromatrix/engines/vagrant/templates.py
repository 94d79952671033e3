"""Guests that are kept ready: made and booted by Vagrant once, then saved with their memory.

A box is made once of an image; a template once of a box, with so much memory and so many
processors. Both are known by what they are made of, and made by one process at a time.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path

from distromatrix.engines.contract import Leftover, MachineSpec
from distromatrix.engines.guest.acceleration import Accel
from distromatrix.engines.guest.qemu_program import qemu_version
from distromatrix.engines.guest.ready import DONE, PREFIX, Store, read_facts
from distromatrix.engines.guest.scripts import install
from distromatrix.engines.image_store import Preparation
from distromatrix.engines.vagrant.boxes import FORMAT, Boxes
from distromatrix.engines.vagrant.command import end_in
from distromatrix.engines.vagrant.folders import Home, digest
from distromatrix.engines.vagrant.libvirt.domain import guest_in, remove_domain
from distromatrix.engines.vagrant.libvirt.saved_state import disks_of, is_shared, read_saved
from distromatrix.engines.vagrant.source import (
    Source,
    coming_up,
    define,
    is_named,
    login,
    make_ready,
    says_up,
    settle,
    up,
)
from distromatrix.engines.vagrant.ssh import Connection
from distromatrix.engines.vagrant.vagrantfile import Definition, command_line, vagrantfile
from distromatrix.errors import InfrastructureError

UP_WITHIN = 900.0  # seconds that the first boot may take


@dataclass(frozen=True, slots=True)
class BoxTemplate:
    """A saved guest. `definition`: with its port and console; `keys`: private ones."""

    folder: Path
    user: str
    keys: tuple[str, ...]
    host_key: str
    definition: Definition
    scale: float  # how much longer than at full speed things take in it

    @property
    def state(self) -> Path:
        """Its memory and devices, as libvirt saves them."""
        return self.folder / "state.save"


class BoxTemplates:
    """Makes and finds them. `accel`: what of the machine a guest gets, by its kernel, memory
    (bytes) and processors."""

    def __init__(
        self,
        home: Home,
        export: Callable[[str, Mapping[str, str], Preparation], Iterable[bytes]],
        accel: Callable[[Path | None, int, int], Accel],
    ) -> None:
        self._home = home
        self._making: set[Path] = set()
        self._store = Store(home.templates, self._end)
        self._accel = accel
        self.boxes = Boxes(home, export)

    @contextmanager
    def source(self, image: str, spec: MachineSpec, cpus: int) -> Iterator[Source]:
        """What a guest of an image (its id), or of what `spec.guest` names, is made of, held
        meanwhile. Raises CannotStartError, InfrastructureError."""
        self._home.make()
        box = None
        with ExitStack() as holds:
            if not is_named(spec.guest):
                key = self._home.key()
                found = self.boxes.hold(image, spec.labels, key, spec.on_step)
                box = holds.enter_context(found)
            accel = self._accel(box / "vmlinuz" if box else None, spec.memory, cpus)
            yield Source(box=box, guest=spec.guest, memory=spec.memory, cpus=cpus, accel=accel)

    @contextmanager
    def using(self, image: str, spec: MachineSpec, cpus: int) -> Iterator[BoxTemplate]:
        """The template of that source, held meanwhile; a machine that names it in its facts then
        holds it on. Raises CannotStartError, InfrastructureError."""
        with self.source(image, spec, cpus) as source:
            accel = source.accel
            line = command_line(kvm=accel.kind == "kvm")
            ran = (accel.kind, accel.cpu, line, qemu_version())
            what = [FORMAT, source.words, spec.memory, cpus, *ran, install()]
            name = PREFIX + digest([*what, spec.ready and spec.ready.key])
            make, absent = partial(self._make, source, spec), partial(says_up, spec, accel)
            with self._store.hold(name, make, _read, absent) as found:
                yield found

    def give_up(self) -> None:
        """Remove what is being made by who no longer waits for it. Never raises."""
        for folder in tuple(self._making):
            self._keep_logs(folder)
            self._store.give_up(folder.name)

    def _make(self, source: Source, spec: MachineSpec, folder: Path) -> Mapping[str, object]:
        self._making.add(folder)
        try:
            return asdict(self._made(source, spec, folder))
        except BaseException:
            self._keep_logs(folder)
            raise
        finally:
            self._making.discard(folder)

    def _made(self, source: Source, spec: MachineSpec, folder: Path) -> BoxTemplate:
        self._home.libvirtd.ensure()
        console = folder / "console.log"
        definition = define(
            source,
            self._home,
            MachineSpec(name=folder.name, image=""),
            title=f"The template of guests of {source.words}",
            folder=folder,
            console=console,
        )
        (folder / "Vagrantfile").write_text(vagrantfile(definition), encoding="utf-8")
        with coming_up(console):
            template = self._boot(folder, definition, source.accel.scale, spec)
            saved = read_saved(template.state).definition
        if is_shared(saved):
            raise InfrastructureError(
                f"{definition.own}: guests with networks of their own cannot be kept ready "
                "(`keep_ready: false` gives each cell a `vagrant up` of its own)",
                transient=False,
            )
        return template

    def _boot(
        self, folder: Path, definition: Definition, scale: float, spec: MachineSpec
    ) -> BoxTemplate:
        up(definition, folder, Path(definition.console), UP_WITHIN)
        known = folder / f".vagrant/machines/{definition.machine}/libvirt/id"
        domain = known.read_text().strip()
        who = login(folder, definition)
        connection = Connection(folder, self._home.sockets)
        settle(connection, who)
        facts = {"console": definition.console, "scale": scale, "domain": domain}
        make_ready(spec, guest_in(self._home, folder, facts), connection, who)
        template = BoxTemplate(folder, who.user, who.keys, connection.host_key(), definition, scale)
        self._home.libvirtd("save", domain, str(template.state), timeout=300.0)
        return template

    def _keep_logs(self, folder: Path) -> None:
        for kept in ("console.log", "vagrant.log"):
            with contextlib.suppress(OSError):
                (folder / kept).replace(folder.with_name(f"{folder.name}-{kept}"))

    def remove(self, kind: str, name: str) -> None:
        """Remove a template with its domain and disks, or a box with what Vagrant knows of it,
        unless something stands on it, uses it or makes it. No error if it is gone. Raises
        InfrastructureError."""
        store = self._store if kind == "template" else self.boxes.store
        store.remove(name, lambda: name in self._used(kind))

    def _used(self, what: str) -> set[str]:
        """The templates that machines stand on, or the boxes that these or templates do."""
        files = [*self._home.machines.glob("*/machine.json")]
        if what == "box":
            files += self._home.templates.glob(f"*/{DONE}")
        found = set()
        for file in files:
            with contextlib.suppress(OSError, ValueError, AttributeError):
                facts = json.loads(file.read_text(encoding="utf-8"))
                found.add(facts.get(what) or facts.get("definition", {}).get(what, ""))
        return found

    def _end(self, folder: Path) -> None:
        """Remove what it has outside of its folder."""
        name = folder.name
        end_in(folder)  # of one who made it and was killed
        disks = list(self._home.pool.glob(f"{name}-*"))
        if disks or (folder / "Vagrantfile").exists():
            for domain in self._home.libvirtd("list", "--all", "--name").split():
                if domain.startswith(f"{name}-"):
                    remove_domain(self._home.libvirtd, domain)
        for disk in disks:
            disk.unlink(missing_ok=True)
        self._forget_boxes(name)

    def _forget_boxes(self, name: str) -> None:
        """Remove the volumes of the user's boxes, once no guest but this template is left that may
        stand on them."""
        others = [one for one in self._home.templates.glob(f"{PREFIX}*/") if one.name != name]
        if not others and not any(self._home.machines.iterdir()):
            for volume in self._home.pool.glob("*_vagrant_box_image_*"):
                if not volume.name.startswith(PREFIX):
                    volume.unlink(missing_ok=True)

    def list(self) -> tuple[Leftover, ...]:
        """All boxes and templates, whole or not."""
        return (
            *self._store.list(lambda name: self._home.pool.glob(f"{name}-*")),
            *self.boxes.store.list(),
        )


def _read(folder: Path) -> BoxTemplate | None:
    facts = read_facts(folder) or {}
    try:
        known = facts["definition"]
        definition = Definition(**{**known, "own": known["own"] and Path(known["own"])})
        changed = {"folder": folder, "keys": tuple(facts["keys"]), "definition": definition}
        template = BoxTemplate(**{**facts, **changed})
    except (TypeError, KeyError):
        return None
    if not template.state.exists():
        return None
    disks = disks_of(read_saved(template.state).definition)
    return template if all(Path(disk).exists() for disk in disks) else None
