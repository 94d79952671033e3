"""A shell in a guest of Vagrant's that was kept, for a person: ssh gives it the terminal."""

from __future__ import annotations

import os
import secrets
import subprocess
from collections.abc import Mapping

from distromatrix.engines.guest.facts import read_facts
from distromatrix.engines.guest.programs import become
from distromatrix.engines.guest.scripts import FOLDER, entry, written
from distromatrix.engines.parcel import ids_of
from distromatrix.engines.vagrant.folders import Home
from distromatrix.engines.vagrant.ssh import Connection, clean_start
from distromatrix.errors import EngineUnavailableError, MachineGoneError

_LOST = 255  # ssh's status where it did not get there, or no longer is


def enter(home: Home, name: str, env: Mapping[str, str]) -> int:
    """The status of a new shell in the kept guest of that name, with those variables, which go
    there in a file that only the user may read. Raises MachineGoneError."""
    folders = (f for f in home.machines.glob("*") if read_facts(f).get("name") == name)
    if (folder := next(folders, None)) is None:
        raise MachineGoneError(f"{name} is gone")
    facts = read_facts(folder)
    connection = Connection(folder, home.sockets)
    connection.root = facts.get("login", "root") == "root"
    user = str(facts.get("user") or "root")
    file = f"/run/distromatrix-{secrets.token_hex(12)}"
    uid, gid = ids_of(user)
    program = f"{FOLDER}/enter-{uid}-{gid}"
    made = written(program, become(uid, gid, alone=False))
    put = f"{made}\numask 077; cat >{file} && chown {uid} {file}"
    status, said = connection.send(iter([entry(facts, env).encode()]), put)
    if status != 0:
        raise MachineGoneError(f"{name} cannot be entered: {said or f'status {status}'}")
    script = f"""exec 9<{file}; rm -f {file}
if [ -t 0 ]; then chown {uid} "$(tty)"; fi
{clean_start(user, f'TERM="$TERM" {program} /bin/sh /dev/fd/9')}"""
    terminal = "-t" if os.isatty(0) else "-T"
    command = ["ssh", "-F", str(connection.config), terminal, *connection.command(script)]
    try:
        status = subprocess.run(command, check=False).returncode
    except FileNotFoundError as error:
        raise EngineUnavailableError(
            "ssh is not installed, and Vagrant's guests need it: install openssh-client"
        ) from error
    if status == _LOST and not connection.is_open():
        raise MachineGoneError(f"{name} is gone")
    return status
