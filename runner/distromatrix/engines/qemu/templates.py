"""What is kept ready for direct guests: disks, and guests that have booted, saved.

All of it lies in folders `distromatrix-template-…` of the cache, whose names are made of all that
goes into them. A folder's `lock` is held by whoever uses it; what nobody has used for long goes.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from distromatrix.engines.contract import MachineSpec, OnStep, quiet
from distromatrix.engines.guest.disk import new_overlay
from distromatrix.engines.guest.initramfs import fingerprint
from distromatrix.engines.guest.qemu_program import qemu_version
from distromatrix.engines.guest.ready import PREFIX, Store, read_facts
from distromatrix.engines.qemu import process as qemu_process
from distromatrix.engines.qemu.disk import FORMAT, Disk, make_disk
from distromatrix.engines.qemu.guest import QemuGuest
from distromatrix.engines.qemu.machine import QemuMachine, SavedGuest
from distromatrix.engines.qemu.process import OVERLAY, Memory, Virtual, arguments


class QemuTemplates:
    """Those of one cache folder."""

    def __init__(self, folder: Path) -> None:
        self.store = Store(folder, qemu_process.end)

    @contextmanager
    def disk(
        self, image: str, rootfs: Callable[[], Iterable[bytes]], on_step: OnStep = quiet
    ) -> Iterator[Disk]:
        """The disk of an image (its id), made at most once, held while it is used. Raises
        CannotStartError, InfrastructureError."""
        name = _name("disk", FORMAT, fingerprint(), image)

        def make(folder: Path) -> dict[str, str]:
            make_disk(rootfs(), folder)
            return {"image": image}

        absent = partial(on_step, "making its disk")
        with self.store.hold(name, make, read_facts, absent):
            yield Disk(self.store.folder / name)

    @contextmanager
    def saved(
        self, image: str, disk: Disk, virtual: Virtual, on_step: OnStep
    ) -> Iterator[SavedGuest]:
        """A saved guest on that disk, made at most once, held while it is used. Raises
        CannotStartError, InfrastructureError."""
        of = arguments("", virtual, Disk(Path()))  # all that it is made of
        name = _name("saved", FORMAT, disk.folder.name, of, qemu_version())

        def make(folder: Path) -> dict[str, str]:
            return {"image": image, **_save(name, folder, disk, virtual)}

        absent = partial(on_step, f"booting it {virtual.accel.how}")
        with self.store.hold(name, make, read_facts, absent) as facts:
            yield SavedGuest(self.store.folder / name, facts["token"], int(facts["process"]))


def _save(name: str, folder: Path, disk: Disk, virtual: Virtual) -> dict[str, str]:
    saved = SavedGuest(folder)
    new_overlay(folder / OVERLAY, disk.root, "raw")
    with saved.ram.open("wb") as file:
        file.truncate(virtual.memory // 1024**2 * 1024**2)
    spec = MachineSpec(
        name=name, image="", memory=virtual.memory, hostname="distromatrix", network=False
    )
    guest = QemuGuest(spec, folder, disk, virtual, bound=True)
    try:
        guest.boot(Memory(file=saved.ram, shared=True))
        shell = QemuMachine(guest, staged=False).lend("root")
        guest.save(saved.state)
        shell.let_go()
    finally:
        guest.end()
    new_overlay(saved.overlay, folder / OVERLAY, "qcow2")
    return {"token": shell.token, "process": str(shell.process)}


def _name(*parts: object) -> str:
    kind, *rest = parts
    digest = hashlib.sha256(json.dumps(rest, default=str).encode()).hexdigest()[:24]
    return f"{PREFIX}{kind}-{digest}"
