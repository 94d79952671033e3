"""What our libvirtd runs as QEMU: QEMU itself, and for a guest with a network in a namespace of its
own. There the port that is forwarded to its sshd lies too; slirp4netns forwards the host's to it.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import socket
import sys
from pathlib import Path
from typing import NoReturn

from distromatrix.engines.guest import way_out
from distromatrix.errors import EngineUnavailableError

# As arguments_of of `vagrant_file` writes it for a guest with a network.
_OPEN = re.compile(r"(user,id=ssh,hostfwd=tcp:)127\.0\.0\.1(:(\d+)-:22)")
_WITHIN = 30.0  # seconds for a word of slirp4netns


def write(program: Path, qemu: Path) -> None:
    """Write the program: a script, as libvirt starts it with little environment. It lies beside
    the resolv.conf of its namespaces."""
    way_out.write_resolver(program.parent)
    package = Path(__file__).resolve().parents[4]
    begin = f"import sys; sys.path.insert(0, {str(package)!r})"
    code = f"{begin}; from {__name__} import main; main(sys.argv[1:])"
    plain = shlex.join([*(way_out.POWERLESS if shutil.which("setpriv") else ()), str(qemu)])
    ours = shlex.join([sys.executable, "-I", "-c", code, str(program.parent), str(qemu)])
    program.write_text(
        "#!/bin/sh\n"
        f'case "$*" in *user,id=ssh,hostfwd=*) exec {ours} "$@" ;; esac\n'
        f'exec {plain} "$@"\n',
        encoding="utf-8",
    )
    program.chmod(0o700)


def main(words: list[str]) -> NoReturn:
    """Become QEMU with a way out. `words`: our folder, QEMU, its arguments."""
    folder, *command = words
    try:
        way_out.check_programs()
    except EngineUnavailableError as error:
        sys.exit(str(error))
    port = next((found[3] for word in command if (found := _OPEN.fullmatch(word))), "")
    if not port:
        sys.exit("the guest's network is not one of ours")
    command = [_OPEN.sub(r"\1\2", word) for word in command]
    lives, life = os.pipe()
    ready, tell = os.pipe()
    process = os.getpid()
    if (child := os.fork()) == 0:
        if os.fork() == 0:  # nobody's child: QEMU waits for none
            os.close(life)
            os.close(ready)
            try:
                _open(process, lives, tell, Path(folder), int(port))
            except (OSError, ValueError) as error:
                os.write(tell, f"slirp4netns opens no way out: {error}\n".encode())
        os._exit(0)
    os.waitpid(child, 0)
    os.close(lives)
    os.close(tell)
    for one in (life, ready):
        os.set_inheritable(one, True)
    command = way_out.inside([*way_out.POWERLESS, *command], Path(folder), life, ready)
    os.execvp(command[0], command)  # noqa: S606  # it has no shell


def _open(process: int, lives: int, tell: int, folder: Path, port: int) -> None:
    """Open the way out of that process, and forward the port; say 1, or what fails."""
    if not os.read(lives, 1):
        return
    control = folder / f"out-{process}"
    control.unlink(missing_ok=True)
    ready, tell_ready = os.pipe()
    way_out.open_out(folder, process, lives, tell_ready, "--api-socket", str(control))
    os.close(tell_ready)
    if os.read(ready, 1):
        said = _forward(control, port)
        os.write(tell, said.encode())
    control.unlink(missing_ok=True)


def _forward(control: Path, port: int) -> str:
    """Have the host's port forwarded to that of the namespace; 1, or what fails."""
    where = {"host_addr": "127.0.0.1", "host_port": port, "guest_port": port}
    ask = {"execute": "add_hostfwd", "arguments": {"proto": "tcp", **where}}
    ask["arguments"]["guest_addr"] = way_out.INNER  # type: ignore[index]
    with socket.socket(socket.AF_UNIX) as one:
        one.settimeout(_WITHIN)
        one.connect(str(control))
        one.sendall(json.dumps(ask).encode())
        one.shutdown(socket.SHUT_WR)
        said = one.recv(1 << 12)
    if "return" in json.loads(said):
        return "1"
    return f"Could not set up host forwarding: {said.decode(errors='replace').strip()}\n"
