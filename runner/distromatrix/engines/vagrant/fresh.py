"""A machine that is not a clone of what is kept ready: a plain `vagrant up` of its own, and
`vagrant destroy -f` in the end.

So are the guests of all providers but libvirt, and libvirt's that the user does not want saved or
that have what cannot be.
"""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Any

from distromatrix.engines.contract import MachineSpec
from distromatrix.engines.guest.facts import change_facts, read_facts
from distromatrix.engines.parcel import Parcel
from distromatrix.engines.vagrant.clone import machine_begun
from distromatrix.engines.vagrant.folders import Home
from distromatrix.engines.vagrant.leftovers import end_machine, whole_or_gone
from distromatrix.engines.vagrant.libvirt.domain import guest_in
from distromatrix.engines.vagrant.machine import VagrantMachine
from distromatrix.engines.vagrant.source import (
    Source,
    coming_up,
    define,
    login,
    make_ready,
    says_up,
    settle,
    title_of,
    up,
)
from distromatrix.engines.vagrant.ssh import Connection
from distromatrix.engines.vagrant.vagrantfile import Definition, vagrantfile
from distromatrix.errors import CannotStartError, InfrastructureError
from distromatrix.files.lock import hold
from distromatrix.model import ProviderName
from distromatrix.plan.needs import PROVIDERS

UP_WITHIN = 1800.0  # seconds: the box may have to be fetched


class FreshGuests:
    """Opens such machines. Thread-safe, and safe among processes."""

    def __init__(self, home: Home) -> None:
        self._home = home
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
        known = {"scale": source.accel.scale, "provider": provider}
        opening = self._home.machines / spec.name
        self._opening.add(opening)
        try:
            with whole_or_gone(self._home, spec, **known) as (folder, console):
                return self._opened(source, spec, product, folder, console)
        finally:
            self._opening.discard(opening)

    def give_up(self) -> None:
        """Remove the machines for which nobody waits any longer. Never raises."""
        for folder in tuple(self._opening):
            with contextlib.suppress(InfrastructureError):
                end_machine(self._home, folder)

    def _opened(
        self,
        source: Source,
        spec: MachineSpec,
        product: Parcel | None,
        folder: Path,
        console: Path,
    ) -> VagrantMachine:
        home = self._home
        if source.ours:
            home.libvirtd.ensure()
        definition = define(
            source, home, spec, title=title_of(spec), folder=folder, console=console
        )
        known: dict[str, Any] = {"machine": definition.machine, "box": definition.box}
        if source.ours:
            known["domain"] = f"{spec.name}-{definition.machine}"
        change_facts(folder, **known, own=str(definition.own or ""))
        _write(definition, folder, console.parent)
        # What Vagrant and its providers share is not theirs alone to change: one at a time.
        says_up(spec, source.accel)
        with hold(home.folder / "up.lock"), coming_up(console):
            up(definition, folder, console, UP_WITHIN)
        who = login(folder, definition)
        change_facts(folder, login=who.user)
        connection = Connection(folder, home.sockets)
        settle(connection, who)
        guest = guest_in(home, folder, read_facts(folder))
        make_ready(spec, guest, connection, who)
        connection.write(who)
        return machine_begun(home, spec, guest, connection, product, cloned=False)


def _write(definition: Definition, folder: Path, shown: Path) -> None:
    """The Vagrantfile, in the machine's folder and where a person looks for it; what Vagrant
    keeps of the machine is in the first of them."""
    text = vagrantfile(definition)
    (folder / "Vagrantfile").write_text(text, encoding="utf-8")
    if shown != folder:
        (shown / "Vagrantfile").write_text(text, encoding="utf-8")
        (shown / ".vagrant").unlink(missing_ok=True)
        (shown / ".vagrant").symlink_to(folder / ".vagrant")
