"""A machine that is not a clone of what is kept ready: a plain `vagrant up` of its own, and
`vagrant destroy -f` in the end.

So are the guests of all providers but libvirt, and libvirt's that the user does not want saved or
that have what cannot be.
"""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Any

from distromatrix.engines.contract import LABEL_CELL, MachineSpec
from distromatrix.engines.guest.console import last_lines, panic
from distromatrix.engines.parcel import Parcel
from distromatrix.engines.vagrant.clone import console_of, machine_begun
from distromatrix.engines.vagrant.command import log_to, vagrant
from distromatrix.engines.vagrant.folders import Home
from distromatrix.engines.vagrant.leftovers import end_machine, machine_facts, whole_or_gone
from distromatrix.engines.vagrant.libvirt.domain import guest_in
from distromatrix.engines.vagrant.libvirt.libvirtd import Libvirtd
from distromatrix.engines.vagrant.machine import FACTS, VagrantMachine, change_facts, spec_facts
from distromatrix.engines.vagrant.source import (
    Source,
    box_held,
    define,
    login,
    make_ready,
    root_of,
    settle,
)
from distromatrix.engines.vagrant.ssh import Connection
from distromatrix.engines.vagrant.vagrantfile import Definition, vagrantfile
from distromatrix.errors import CannotStartError, InfrastructureError
from distromatrix.files.lock import hold
from distromatrix.model import ProviderName
from distromatrix.plan.needs import PROVIDERS

UP_WITHIN = 1800.0  # seconds: the box may have to be fetched
_ANSWERS_WITHIN = 120.0


class FreshGuests:
    """Opens such machines. Thread-safe, and safe among processes."""

    def __init__(self, home: Home, libvirtd: Libvirtd) -> None:
        self._home = home
        self._libvirtd = libvirtd
        self._opening: set[Path] = set()

    def open(self, source: Source, spec: MachineSpec, product: Parcel | None) -> VagrantMachine:
        """A machine, with its copy of the product. Raises CannotStartError,
        InfrastructureError; then nothing is left."""
        provider: ProviderName = source.guest.provider if source.guest else "libvirt"
        if not (spec.network or source.ours):
            raise CannotStartError(
                f"guests of {PROVIDERS[provider]} have a network in any case, and this cell must "
                "have none (`network: false`)"
            )
        folder = self._home.machines / spec.name
        self._opening.add(folder)
        try:
            return self._open(source, spec, product, folder, provider)
        finally:
            self._opening.discard(folder)

    def give_up(self) -> None:
        """Remove the machines for which nobody waits any longer. Never raises."""
        for folder in tuple(self._opening):
            with contextlib.suppress(InfrastructureError):
                end_machine(self._home, self._libvirtd, folder)

    def _open(
        self,
        source: Source,
        spec: MachineSpec,
        product: Parcel | None,
        folder: Path,
        provider: ProviderName,
    ) -> VagrantMachine:
        console = console_of(spec, folder)
        with whole_or_gone(self._home, self._libvirtd, folder):
            folder.mkdir(parents=True, mode=0o700)
            console.parent.mkdir(parents=True, exist_ok=True)
            facts = spec_facts(
                spec, console=str(console), scale=source.accel.scale, provider=provider
            )
            (folder / FACTS).write_text(facts, encoding="utf-8")
            return self._opened(source, spec, product, folder, console)

    def _opened(
        self,
        source: Source,
        spec: MachineSpec,
        product: Parcel | None,
        folder: Path,
        console: Path,
    ) -> VagrantMachine:
        if source.ours:
            self._libvirtd.ensure()
        title = f"The guest {spec.name} ({spec.labels.get(LABEL_CELL, 'no cell')})"
        with box_held(self._home, source.box):
            definition = define(
                source,
                self._home,
                self._libvirtd,
                spec,
                title=title,
                folder=folder,
                console=console,
            )
            known: dict[str, Any] = {"machine": definition.machine, "box": definition.box}
            if source.ours:
                known["domain"] = f"{spec.name}-{definition.machine}"
            change_facts(folder, **known, own=str(definition.own or ""))
            _write(definition, folder, console.parent)
            # What Vagrant and its providers share is not theirs alone to change: one at a time.
            with hold(self._home.folder / "up.lock"):
                self._up(definition, folder, console)
        who = login(folder, definition)
        change_facts(folder, login=who.user)
        connection = Connection(folder, self._home.sockets)
        settle(connection, who)
        guest = guest_in(folder, machine_facts(folder), self._libvirtd)
        make_ready(spec, guest, connection, who)
        connection.write(who)
        return machine_begun(
            self._home,
            self._libvirtd,
            spec,
            guest,
            connection,
            product,
            cloned=False,
        )

    def _up(self, definition: Definition, folder: Path, console: Path) -> None:
        try:
            vagrant(
                *("up", definition.machine, "--provider", definition.provider),
                folder=folder,
                root=root_of(definition),
                timeout=UP_WITHIN,
                told=log_to(console.parent / "vagrant.log"),
                hopeless=lambda: panic(console),
            )
        except InfrastructureError as error:
            words = panic(console) or " / ".join(last_lines(console, 3))
            said = f"; its console says: {words}" if words else ""
            raise InfrastructureError(
                f"the guest did not come up: {error}{said}", transient=error.transient
            ) from error


def _write(definition: Definition, folder: Path, shown: Path) -> None:
    """The Vagrantfile, in the machine's folder and where a person looks for it; what Vagrant
    keeps of the machine is in the first of them."""
    text = vagrantfile(definition)
    (folder / "Vagrantfile").write_text(text, encoding="utf-8")
    if shown != folder:
        (shown / "Vagrantfile").write_text(text, encoding="utf-8")
        (shown / ".vagrant").unlink(missing_ok=True)
        (shown / ".vagrant").symlink_to(folder / ".vagrant")
