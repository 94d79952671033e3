"""How a machine begins: a clone of a template's saved guest, with what it must not share."""

from __future__ import annotations

import errno
import json
import os
import secrets
import shlex
import shutil
import subprocess
import time
import uuid
from dataclasses import replace
from pathlib import Path

from distromatrix.engines.contract import LABEL_CELL, LABEL_FOLDER, MOUNT, OUT_FOLDERS, MachineSpec
from distromatrix.engines.guest.console import last_lines, panic
from distromatrix.engines.guest.scripts import BOOT, FOLDER, RESOLVES, become_written, begin, named
from distromatrix.engines.parcel import Parcel
from distromatrix.engines.shell.homes import home_made
from distromatrix.engines.vagrant.folders import Home, free_port
from distromatrix.engines.vagrant.leftovers import end_machine, whole_or_gone
from distromatrix.engines.vagrant.libvirt.domain import guest_in
from distromatrix.engines.vagrant.libvirt.libvirtd import Libvirtd, VirshError
from distromatrix.engines.vagrant.libvirt.saved_state import (
    Clone,
    clone_definition,
    disks_of,
    read_saved,
    write_clone,
)
from distromatrix.engines.vagrant.machine import FACTS, OpenGuest, VagrantMachine, spec_facts
from distromatrix.engines.vagrant.source import is_named
from distromatrix.engines.vagrant.ssh import Connection, Login
from distromatrix.engines.vagrant.templates import BoxTemplate
from distromatrix.engines.vagrant.vagrantfile import Definition, arguments_of, vagrantfile
from distromatrix.errors import InfrastructureError

_ANSWERS_WITHIN = 120.0  # seconds until sshd of a restored guest answers
_TRIES = 4  # a port that was free may be taken

# What a clone must not have of the guest that was saved: its time, and the random numbers that
# it would give out next. What is written to /dev/urandom counts once the kernel draws anew
# (RNDRESEEDCRNG, random(4)), which it does else after a minute.
_FRESH = """date -u -s @{now} >/dev/null
printf '{seed}' >/dev/urandom && {folder}/reseed ||
  {{ echo 'its kernel does not draw new random numbers' >&2; exit 1; }}
"""


class Cloner:
    """Opens machines. Thread-safe."""

    def __init__(self, home: Home, libvirtd: Libvirtd) -> None:
        self._home = home
        self._libvirtd = libvirtd

    def open(
        self, template: BoxTemplate, spec: MachineSpec, product: Parcel | None
    ) -> VagrantMachine:
        """A machine, with its copy of the product. Raises InfrastructureError;
        then nothing is left."""
        folder = self._home.machines / spec.name
        with whole_or_gone(self._home, self._libvirtd, folder):
            folder.mkdir(parents=True, mode=0o700)
            facts = spec_facts(
                spec,
                login=template.user,
                console=str(console_of(spec, folder)),
                scale=template.scale,
                template=template.name,
            )
            (folder / FACTS).write_text(facts, encoding="utf-8")
            return self._opened(template, spec, product, folder)

    def _opened(
        self, template: BoxTemplate, spec: MachineSpec, product: Parcel | None, folder: Path
    ) -> VagrantMachine:
        shown = console_of(spec, folder).parent
        shown.mkdir(parents=True, exist_ok=True)
        port = self._restore(template, spec, folder, shown)
        connection = Connection(folder, self._home.sockets)
        connection.write(
            Login(
                address="127.0.0.1",
                port=port,
                user=template.user,
                keys=template.keys,
                host_key=template.host_key,
            )
        )
        facts = {"console": str(shown / "console.log"), "scale": template.scale}
        guest = guest_in(folder, facts, self._libvirtd)
        try:
            connection.open(_ANSWERS_WITHIN)
        except TimeoutError as error:
            words = panic(guest.console) or " / ".join(last_lines(guest.console, 3))
            raise InfrastructureError(
                f"{spec.name} does not answer by ssh ({error}); its console says: {words}"
            ) from error
        return machine_begun(self._home, self._libvirtd, spec, guest, connection, product)

    def _restore(self, template: BoxTemplate, spec: MachineSpec, folder: Path, shown: Path) -> int:
        """Have the clone run; the port on which its sshd listens."""
        saved = read_saved(template.state)
        disks = {}
        for number, disk in enumerate(disks_of(saved.definition)):
            own = self._home.pool / f"{spec.name}-{number}.img"
            _overlay(disk, own)
            disks[disk] = str(own)
        state = folder / "state.save"
        identity = str(uuid.uuid4())
        for left in reversed(range(_TRIES)):
            definition = replace(
                template.definition,
                title=f"The guest {spec.name} ({spec.labels.get(LABEL_CELL, 'no cell')})",
                name=spec.name,
                port=free_port(),
                console=str(shown / "console.log"),
                network=spec.network,
                emulator=str(self._libvirtd.emulator),
            )
            clone = Clone(
                name=spec.name,
                uuid=identity,
                description=f"distromatrix: a clone of {template.name}",
                disks=disks,
                console=definition.console,
                arguments=arguments_of(definition),
                emulator=definition.emulator,
            )
            write_clone(template.state, saved, clone_definition(saved.definition, clone), state)
            try:
                self._libvirtd("restore", str(state), timeout=300.0)
                break
            except VirshError as error:
                if not left or "Could not set up host forwarding" not in str(error):
                    raise InfrastructureError(f"{spec.name} cannot be started: {error}") from error
            finally:
                state.unlink(missing_ok=True)
        _show(definition, identity, shown)
        return definition.port


def machine_begun(
    home: Home,
    libvirtd: Libvirtd,
    spec: MachineSpec,
    guest: OpenGuest,
    connection: Connection,
    product: Parcel | None,
    *,
    cloned: bool = True,
) -> VagrantMachine:
    """The machine of a guest that answers, made ready for its cell. Raises InfrastructureError;
    then nothing is left of it."""
    machine = VagrantMachine(
        spec,
        guest,
        connection,
        staged=product is not None,
        remove=lambda: end_machine(home, libvirtd, guest.folder),
    )
    try:
        fresh = _fresh() if cloned else ""
        machine.begin(_prepare(machine, connection, spec, product, fresh))
    except BaseException:
        machine.close()
        raise
    return machine


def _fresh() -> str:
    return _FRESH.format(
        now=f"{time.time():.3f}",
        seed="".join(f"\\{byte:03o}" for byte in secrets.token_bytes(64)),
        folder=FOLDER,
    )


def _prepare(
    machine: VagrantMachine,
    connection: Connection,
    spec: MachineSpec,
    product: Parcel | None,
    fresh: str,
) -> str:
    """Make it one of its own, and give it the product. Its boot's id. Raises
    InfrastructureError."""
    script = f"{fresh}{become_written(spec.user)}\n{begin(spec.pids)}"
    if is_named(spec.guest):  # another's system, and its name
        script += f"\n{RESOLVES}"
    else:
        script += f"\n{named(spec.host)}\necho {shlex.quote(spec.host)} >/etc/hostname"
    script += f"\n{home_made(spec.user)}"
    owner = "0:0" if spec.user == "root" else spec.user
    if product is not None:
        folders = " ".join(f"{MOUNT}/out/{name}" for name in OUT_FOLDERS)
        script += f"\nmkdir -p {folders} && chown -R {owner} {MOUNT}/out"
    status, said = connection.send(iter(()), f"{script}\n{BOOT} >&2")
    if status != 0:
        raise InfrastructureError(f"{spec.name} cannot be made ready: {said or status}")
    if product is not None:
        with product.open(owner) as tar:
            machine.put_product(tar, MOUNT)
    return said.splitlines()[-1]


def _overlay(disk: str, own: Path) -> None:
    command = ["qemu-img", "create", "-q", "-f", "qcow2", "-F", "qcow2", "-b", disk, str(own)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        said = done.stderr.strip()
        full = said.endswith(os.strerror(errno.ENOSPC))
        raise InfrastructureError(f"a guest's disk cannot be made: {said}", transient=not full)


def console_of(spec: MachineSpec, folder: Path) -> Path:
    """Where its console's log lies: in its cell's folder, where the run has one."""
    run, cell = spec.labels.get(LABEL_FOLDER, ""), spec.labels.get(LABEL_CELL, "")
    if run and cell and (Path(run) / "cells").is_dir():
        return Path(run, "cells", cell, "guest", "vagrant", "console.log")
    return folder / "console.log"


def _show(definition: Definition, identity: str, shown: Path) -> None:
    """The Vagrantfile, with which Vagrant knows the machine as long as it is there."""
    (shown / "Vagrantfile").write_text(vagrantfile(definition), encoding="utf-8")
    known = shown / ".vagrant/machines" / definition.machine / "libvirt"
    shutil.rmtree(shown / ".vagrant", ignore_errors=True)
    known.mkdir(parents=True)
    (known / "id").write_text(identity, encoding="ascii")
    (known / "box_meta").write_text(
        json.dumps({"name": definition.box, "version": definition.version, "provider": "libvirt"})
    )
