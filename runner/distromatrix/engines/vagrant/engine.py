"""Vagrant's guests: whole systems with their init, made ready once by `vagrant up`, and restored.

What a guest boots is the prepared image of its cell, from the store of the containers' engine,
whose store is this engine's. See templates.py for what is kept ready, clone.py for
how a machine begins, folders.py for where everything lies.
"""

from __future__ import annotations

import math
import os
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import cast

from distromatrix.engines.contract import Address, Engine, EngineFacts, Leftover, MachineSpec, Stage
from distromatrix.engines.guest import way_out
from distromatrix.engines.guest.acceleration import (
    Accel,
    emulated,
    known_acceleration,
)
from distromatrix.engines.guest.engine import GuestEngine
from distromatrix.engines.guest.facts import engine_facts, leftovers, read_facts
from distromatrix.engines.layers import ProductSource
from distromatrix.engines.parcel import Parcel
from distromatrix.engines.shell.homes import without_home
from distromatrix.engines.vagrant.clone import open_clone
from distromatrix.engines.vagrant.folders import Home
from distromatrix.engines.vagrant.fresh import FreshGuests
from distromatrix.engines.vagrant.leftovers import remove
from distromatrix.engines.vagrant.libvirt.domain import guest_in
from distromatrix.engines.vagrant.machine import VagrantMachine
from distromatrix.engines.vagrant.source import is_named
from distromatrix.engines.vagrant.ssh import Connection
from distromatrix.engines.vagrant.templates import BoxTemplates
from distromatrix.errors import EngineUnavailableError, MachineGoneError
from distromatrix.model import AccelWanted, Kept

_PROGRAMS = {"vagrant": "vagrant", "ssh": "openssh-client"}  # what all its providers need
_OF_LIBVIRT = {"virsh": "libvirt-clients", "qemu-img": "qemu-utils"}


class VagrantEngine(GuestEngine):
    """See GuestEngine."""

    name = "vagrant"

    def __init__(
        self, containers: Engine, cache: Path | None = None, *, accel: AccelWanted = "auto"
    ) -> None:
        super().__init__(containers, cache, accel=accel)
        self._version = ""
        known = known_acceleration(self.cache)
        hide_kvm = known is None or known.kind != "kvm"
        self.home = Home(self.cache / "guests" / "vagrant", hide_kvm=hide_kvm)
        self.templates_kept = BoxTemplates(self.home, self.images.export, self._acceleration)
        self._plain = FreshGuests(self.home)

    def facts(self) -> EngineFacts:
        """See Engine."""
        self.ping()
        if not self._version:
            done = subprocess.run(
                ["vagrant", "--version"], capture_output=True, text=True, check=False
            )
            self._version = done.stdout.strip().removeprefix("Vagrant ") or "of unknown version"
        return engine_facts(self.name, "Vagrant", self._version, self.home.folder, "libvirt")

    def ping(self) -> None:
        """See Engine."""
        _have(_PROGRAMS)

    def stage(
        self, product: ProductSource, *, image: str, labels: Mapping[str, str]
    ) -> VagrantStage:
        """See Engine."""
        del labels  # nothing is made that would carry them
        self.image(image)
        return VagrantStage(product.tar, plain=True)

    def open(self, spec: MachineSpec, stage: Stage | None = None) -> VagrantMachine:
        """See Engine; `stage` is one of this engine's. Raises CannotStartError,
        InfrastructureError."""
        if spec.guest is None or spec.guest.provider == "libvirt":
            _have(_OF_LIBVIRT)
            if spec.network:
                way_out.check_programs()
        image = self.image(spec.image)
        cpus = min(max(1, math.ceil(spec.cpus)), os.cpu_count() or 1)
        product = cast("VagrantStage | None", stage)
        if spec.guest is not None and not spec.guest.keep_ready:
            with self.templates_kept.source(image.id, spec, cpus) as source:
                machine = self._plain.open(source, spec, product)
        else:
            with self.templates_kept.using(image.id, spec, cpus) as template:
                machine = open_clone(self.home, template, spec, product)
        if not is_named(spec.guest):  # else it boots another's system
            machine.has_variables(without_home(image.env, spec.user))
        return machine

    def join(self, address: Address) -> VagrantMachine:
        """See Engine."""
        folder = self.home.machines / address.id
        connection = Connection(folder, self.home.sockets)
        facts = read_facts(folder)
        connection.root = facts.get("login", "root") == "root"
        if not (facts and connection.is_open()):
            raise MachineGoneError(f"{address.name} is gone")
        spec = MachineSpec(
            name=address.name,
            image="",
            user=address.user,
            memory=address.memory,
            pids=facts["pids"],
        )
        machine = VagrantMachine(
            spec,
            guest_in(self.home, folder, facts),
            connection,
            staged=bool(address.product),
            owned=False,
            env=address.env,
        )
        machine.begin()
        return machine

    def enter(self, kept: Kept, env: Mapping[str, str]) -> int:
        """See Engine."""
        from distromatrix.engines.vagrant.enter import enter

        return enter(self.home, kept.name, env)

    def leftovers(self) -> tuple[Leftover, ...]:
        """See Engine; what is kept ready is among them, kept, and made when it was last used."""
        return (*leftovers(self.home.machines), *self.templates_kept.list())

    def remove(self, leftover: Leftover) -> None:
        """See Engine."""
        if leftover.kind in ("template", "box"):
            self.templates_kept.remove(leftover.kind, leftover.name)
        else:
            remove(self.home, leftover)

    def close(self) -> None:
        """See Engine. The containers' engine stays open: it is another's."""
        self.templates_kept.give_up()
        self._plain.give_up()

    def _acceleration(self, kernel: Path | None, memory: int, cpus: int) -> Accel:
        if kernel is not None:
            return self.acceleration(kernel, memory, cpus)
        known = known_acceleration(self.cache)
        if known is not None and self.accel != "tcg":
            return known
        return emulated("no kernel to prove KVM with")


def _have(programs: Mapping[str, str]) -> None:
    for program, package in programs.items():
        if shutil.which(program) is None:
            raise EngineUnavailableError(
                f"Vagrant's guests need {program} (Debian: {package}): "
                "`distromatrix doctor --guests --fix` installs it"
            )


class VagrantStage(Parcel):
    """See Stage: the snapshot goes into each guest as a tar stream."""
