"""A shell in a guest of Vagrant's that was kept, for a person: ssh gives it the terminal."""

from __future__ import annotations

import os
import secrets
import shlex
import subprocess
from collections.abc import Mapping

from distromatrix.engines.guest.facts import read_facts
from distromatrix.engines.shell.homes import home_found
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
    known = {**(facts.get("env") or {}), **env}  # those of its image, and the cell's
    file = f"/run/distromatrix-{secrets.token_hex(12)}"
    uid = "0" if user == "root" else user.partition(":")[0]
    lines = [home_found(user)]
    lines += [f"export {key}={shlex.quote(value)}" for key, value in known.items()]
    lines += [f"cd {shlex.quote(str(facts.get('product') or '/'))} || cd /", "exec /bin/sh 9<&-"]
    entry = "\n".join(lines).encode()
    status, said = connection.send(iter([entry]), f"umask 077; cat >{file} && chown {uid} {file}")
    if status != 0:
        raise MachineGoneError(f"{name} cannot be entered: {said or f'status {status}'}")
    script = f"""exec 9<{file}; rm -f {file}
if [ -t 0 ]; then chown {uid} "$(tty)"; fi
{clean_start(user, 'TERM="$TERM" /bin/sh /dev/fd/9')}"""
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
