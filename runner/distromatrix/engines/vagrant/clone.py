"""How a machine begins: a clone of a template's saved guest, with what it must not share."""

from __future__ import annotations

import json
import secrets
import shlex
import shutil
import time
import uuid
from dataclasses import replace
from pathlib import Path

from distromatrix.engines.contract import MOUNT, OUT_FOLDERS, MachineSpec
from distromatrix.engines.guest.console import said_last
from distromatrix.engines.guest.disk import new_overlay
from distromatrix.engines.guest.scripts import BOOT, FOLDER, RESOLVES, become_written, begin, named
from distromatrix.engines.parcel import Parcel, owner_of
from distromatrix.engines.shell.homes import home_made
from distromatrix.engines.vagrant.folders import Home, free_port
from distromatrix.engines.vagrant.leftovers import end_machine, whole_or_gone
from distromatrix.engines.vagrant.libvirt.domain import guest_in
from distromatrix.engines.vagrant.libvirt.libvirtd import VirshError
from distromatrix.engines.vagrant.libvirt.saved_state import (
    clone_definition,
    disks_of,
    read_saved,
    write_clone,
)
from distromatrix.engines.vagrant.machine import OpenGuest, VagrantMachine
from distromatrix.engines.vagrant.source import is_named, title_of
from distromatrix.engines.vagrant.ssh import Connection, Login
from distromatrix.engines.vagrant.templates import BoxTemplate
from distromatrix.engines.vagrant.vagrantfile import Definition, vagrantfile
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


def open_clone(
    home: Home, template: BoxTemplate, spec: MachineSpec, product: Parcel | None
) -> VagrantMachine:
    """A machine, with its copy of the product. Raises InfrastructureError; then nothing is
    left."""
    known = {"login": template.user, "scale": template.scale, "template": template.folder.name}
    with whole_or_gone(home, spec, **known) as (folder, console):
        port = _restore(home, template, spec, folder, console)
        connection = Connection(folder, home.sockets)
        connection.write(
            Login(
                address="127.0.0.1",
                port=port,
                user=template.user,
                keys=template.keys,
                host_key=template.host_key,
            )
        )
        guest = guest_in(home, folder, {**known, "console": console})
        try:
            connection.open(_ANSWERS_WITHIN)
        except TimeoutError as error:
            raise InfrastructureError(
                f"{spec.name} does not answer by ssh ({error}){said_last(console)}"
            ) from error
        machine = machine_begun(home, spec, guest, connection, product)
        spec.on_step("restored")
        return machine


def _restore(
    home: Home, template: BoxTemplate, spec: MachineSpec, folder: Path, console: Path
) -> int:
    """Have the clone run; the port on which its sshd listens."""
    saved = read_saved(template.state)
    disks = {}
    for number, disk in enumerate(disks_of(saved.definition)):
        own = home.pool / f"{spec.name}-{number}.img"
        new_overlay(own, Path(disk), "qcow2")
        disks[disk] = str(own)
    state = folder / "state.save"
    identity = str(uuid.uuid4())
    for left in reversed(range(_TRIES)):
        definition = replace(
            template.definition,
            title=title_of(spec),
            name=spec.name,
            port=free_port(),
            console=str(console),
            network=spec.network,
            emulator=str(home.libvirtd.emulator),
        )
        clone = clone_definition(saved.definition, definition, identity, disks)
        write_clone(template.state, saved, clone, state)
        try:
            home.libvirtd("restore", str(state), timeout=300.0)
            break
        except VirshError as error:
            if not left or "Could not set up host forwarding" not in str(error):
                raise InfrastructureError(f"{spec.name} cannot be started: {error}") from error
        finally:
            state.unlink(missing_ok=True)
    _show(definition, identity, console.parent)
    return definition.port


def machine_begun(
    home: Home,
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
        remove=lambda: end_machine(home, guest.folder),
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
    owner = owner_of(spec.user)
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
