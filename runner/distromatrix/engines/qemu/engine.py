"""The engine `qemu`: direct guests. A cell's prepared container image with the distribution's own
kernel, booted by QEMU without a boot loader, SSH or an init system, and then kept ready."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Mapping
from contextlib import ExitStack
from math import ceil
from pathlib import Path
from threading import Lock
from weakref import WeakSet

from distromatrix.engines.contract import (
    Address,
    Engine,
    EngineFacts,
    Leftover,
    Machine,
    MachineSpec,
    Stage,
)
from distromatrix.engines.guest.acceleration import known_acceleration
from distromatrix.engines.guest.engine import GuestEngine
from distromatrix.engines.guest.facts import engine_facts, leftovers, write_facts
from distromatrix.engines.guest.qemu_program import qemu_version
from distromatrix.engines.layers import ProductSource
from distromatrix.engines.parcel import Parcel, owner_of
from distromatrix.engines.qemu import process as qemu_process
from distromatrix.engines.qemu.disk import Disk
from distromatrix.engines.qemu.guest import QemuGuest
from distromatrix.engines.qemu.machine import QemuMachine
from distromatrix.engines.qemu.port_broker import JoinedGuest, PortBroker
from distromatrix.engines.qemu.process import OVERLAY, PRODUCT_SIZE, Virtual
from distromatrix.engines.qemu.templates import QemuTemplates
from distromatrix.engines.shell.homes import without_home
from distromatrix.errors import (
    InfrastructureError,
)
from distromatrix.files.whole import disk_fault
from distromatrix.model import AccelWanted, Kept

_MIB = 1024**2
_LEAST_MEMORY = 256  # MiB that a distribution's kernel comes up with


class QemuEngine(GuestEngine):
    """See GuestEngine."""

    name = "qemu"

    def __init__(
        self, containers: Engine, cache: Path | None = None, *, accel: AccelWanted = "auto"
    ) -> None:
        super().__init__(containers, cache, accel=accel)
        self._machines = self.cache / "guests" / "machines"
        self._templates = QemuTemplates(self.cache / "guests")
        self._opened: WeakSet[QemuMachine] = WeakSet()

    def facts(self) -> EngineFacts:
        """See Engine."""
        version = qemu_version().removeprefix("QEMU emulator version ").split(" ")[0]
        return engine_facts(self.name, "QEMU", version, self._machines.parent)

    def ping(self) -> None:
        """See Engine."""
        qemu_version()

    def stage(self, product: ProductSource, *, image: str, labels: Mapping[str, str]) -> QemuStage:
        """See Engine."""
        self.image(image)
        try:
            self._machines.mkdir(parents=True, exist_ok=True)
            return QemuStage(product, self._machines, labels)
        except OSError as error:
            raise _fault("the product cannot be staged", error) from error

    def open(self, spec: MachineSpec, stage: Stage | None = None) -> Machine:
        """See Engine."""
        found = self.image(spec.image)
        staged = stage if isinstance(stage, QemuStage) else None
        holds, folder = ExitStack(), None
        try:
            product, size = staged.disk(spec.user) if staged else (None, 0)
            disk = holds.enter_context(
                self._templates.disk(
                    found.id, lambda: self.images.export(spec.image, spec.labels), spec.on_step
                )
            )
            virtual = self.virtual(spec, disk)
            template = holds.enter_context(
                self._templates.saved(found.id, disk, virtual, spec.on_step)
            )
            folder = self._new_folder(spec)
            shutil.copyfile(template.overlay, folder / OVERLAY)
            guest = QemuGuest(spec, folder, disk, virtual, product=product)
            machine = QemuMachine(
                guest, staged=product is not None, env=without_home(found.env, spec.user)
            )
            machine.closing.callback(holds.close)
        except BaseException as error:
            if folder is not None:
                shutil.rmtree(folder, ignore_errors=True)
            holds.close()
            if isinstance(error, OSError):
                raise _fault("a guest cannot be made", error) from error
            raise
        try:
            machine.restore(template)
            if product is not None:
                guest.fill(size)
            machine.begin()
            spec.on_step("restored")
            PortBroker(machine)
            self._opened.add(machine)
        except BaseException as error:
            if guest.refused:  # the next one is to have another
                template.spoil()
            machine.close()
            if isinstance(error, OSError):
                raise _fault("a guest cannot be opened", error) from error
            raise
        return machine

    def virtual(self, spec: MachineSpec, disk: Disk) -> Virtual:
        """What it is made of."""
        cpus = max(1, ceil(spec.cpus))
        memory = max(spec.memory // _MIB, _LEAST_MEMORY) * _MIB
        if self.accel != "tcg" and known_acceleration(self.cache) is None:
            spec.on_step("trying KVM")
        accel = self.acceleration(disk.kernel, memory, cpus)
        return Virtual(accel=accel, cpus=cpus, memory=memory)

    def _new_folder(self, spec: MachineSpec) -> Path:
        folder = self._machines / spec.name
        try:
            folder.mkdir(parents=True)
        except FileExistsError as error:
            raise InfrastructureError(f"there is a guest {spec.name} already") from error
        try:
            write_facts(folder, spec.labels, user=spec.user)
        except OSError:
            shutil.rmtree(folder, ignore_errors=True)
            raise
        return folder

    def join(self, address: Address) -> Machine:
        """See Engine."""
        return JoinedGuest(address)

    def enter(self, kept: Kept, env: Mapping[str, str]) -> int:
        """See Engine."""
        from distromatrix.engines.qemu.enter import enter

        for machine in tuple(self._opened):
            if machine.folder.name == kept.name:
                machine.leave()
        return enter(self._machines / kept.name, env)

    def leftovers(self) -> tuple[Leftover, ...]:
        """See Engine; templates are among them, kept unless their making was cut off, and made
        when they were last used."""
        return (*leftovers(self._machines), *self._templates.store.list())

    def remove(self, leftover: Leftover) -> None:
        """See Engine."""
        if leftover.kind == "template":
            self._templates.store.remove(leftover.name)
            return
        qemu_process.end(self._machines / leftover.name)
        try:
            shutil.rmtree(self._machines / leftover.name)
        except FileNotFoundError:
            return
        except OSError as error:
            raise InfrastructureError(f"cannot remove {leftover.name}: {error}") from error

    def close(self) -> None:
        """See Engine."""


class QemuStage:
    """The product's snapshot as disks that the guests of a run read, one for each user: the tar
    file, and behind it nothing."""

    def __init__(self, product: ProductSource, machines: Path, labels: Mapping[str, str]) -> None:
        self._folder = machines / f"distromatrix-stage-{os.getpid()}-{time.monotonic_ns()}"
        self._folder.mkdir()
        self._parcel = Parcel(product.tar, plain=True)
        self._sizes: dict[str, int] = {}  # owner -> bytes of the tar
        self._lock = Lock()
        try:
            write_facts(self._folder, labels, kind="stage")
        except OSError:
            self.close()
            raise

    def disk(self, user: str) -> tuple[Path, int]:
        """A user's (`root` or `UID:GID`), and the bytes of the tar in it. Raises OSError."""
        owner = owner_of(user)
        file = self._folder / f"product-{owner.replace(':', '-')}.img"
        with self._lock:
            if owner not in self._sizes:
                self._parcel.write(file, owner)
                self._sizes[owner] = file.stat().st_size
                os.truncate(file, PRODUCT_SIZE)
            return file, self._sizes[owner]

    def close(self) -> None:
        """See Stage: a guest that is kept has its copy already."""
        shutil.rmtree(self._folder, ignore_errors=True)


def _fault(what: str, error: OSError) -> InfrastructureError:
    """What to raise for it: of this host's disk, where that is why."""
    folder = Path(error.filename or "the cache")
    return disk_fault(error, folder) or InfrastructureError(f"{what}: {error}")
