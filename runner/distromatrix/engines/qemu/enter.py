"""A shell in a direct guest that was kept, for a person. Nobody has such a guest open: whoever
enters takes its ports, the one for control only as long as the shell begins.

With a terminal here, busybox's telnetd gives the shell one there, of the same size."""

from __future__ import annotations

import contextlib
import os
import secrets
import shlex
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from distromatrix.engines.contract import API_TIMEOUT, Command
from distromatrix.engines.guest.facts import read_facts
from distromatrix.engines.guest.programs import become
from distromatrix.engines.guest.scripts import entry
from distromatrix.engines.guest.stream import SocketStream
from distromatrix.engines.parcel import ids_of
from distromatrix.engines.qemu.guest import BUSYBOX
from distromatrix.engines.qemu.machine import write_program
from distromatrix.engines.qemu.ports import (
    CONTROL,
    SHELLS,
    connect_in,
    ports_of,
    socket_name,
)
from distromatrix.engines.qemu.terminal import Pieces, Telnet, bridge
from distromatrix.engines.shell.shell import Shell, ShellEndedError
from distromatrix.errors import InfrastructureError, MachineGoneError
from distromatrix.files.lock import InUseError, hold

_LOCK = "enter.lock"
_GUEST = "/distromatrix/guest"
_BUSY, _NO_TERMINAL = 43, 44  # statuses of our own scripts

# telnetd ends when all have closed its terminal, and all that they wrote is through; whoever does
# not close it has two seconds.
# Run where the guest's end of the ports is stdin, stdout and stderr. The file TOKEN.env, for the
# user's eyes alone, begins the shell; it is gone once it is open.
_TERMINAL = """#!{busybox} sh
trap : INT QUIT
exec 9<{files}.env
{busybox} rm -f {files}.env {files}.sh
{busybox} chown {uid} "$({busybox} tty)"
{program} /bin/sh /dev/fd/9
echo $? >{files}.status
trap '' HUP
{busybox} setsid {busybox} sh -c 'sleep 2
{busybox} grep -q telnetd /proc/$1/cmdline && kill $1' sh $PPID </dev/null >/dev/null 2>&1 &"""
_BY_TERMINAL = """echo {token}
{busybox} telnetd -i -f /dev/null -l {files}.sh 2>/dev/null
s=; read -r s 2>/dev/null <{files}.status
{busybox} rm -f {files}.*
echo {token} $s"""
_BY_PIECES = """echo {token}
echo {token} >&2
exec 8<&0 9<{files}.env
{busybox} mkfifo {files}.in
{busybox} sh -c 'while read -r n && [ "$n" -gt 0 ]; do
{busybox} dd bs="$n" count=1 iflag=fullblock 2>/dev/null
done' <&8 >{files}.in 9<&- &
{program} /bin/sh /dev/fd/9 <{files}.in 8<&-
s=$?
kill $! 2>/dev/null
{busybox} rm -f {files}.*
echo {token} $s
echo {token} $s >&2"""


def _script(
    facts: Mapping[str, Any], env: Mapping[str, str], *, terminal: bool, token: str, slot: int
) -> str:
    """What the control shell of a machine of which that is known runs: it begins a shell at the
    ports of that slot."""
    out, err = ports_of(slot)
    uid, gid = ids_of(facts.get("user") or "root")
    files = f"{_GUEST}/{token}"
    program = f"{_GUEST}/be-{uid}-{gid}"
    words = {"busybox": BUSYBOX, "files": files, "token": token, "uid": uid, "program": program}
    inner = (_BY_TERMINAL if terminal else _BY_PIECES).format(**words)
    check = f"{BUSYBOX} --list | {BUSYBOX} grep -qx telnetd || exit {_NO_TERMINAL}"
    return f"""set -- /dev/vport*p{out}; o=$1; set -- /dev/vport*p{err}; e=$1
{check if terminal else ":"}
(: <>$o <>$e) 2>/dev/null || exit {_BUSY}
{write_program(program, become(uid, gid, alone=False))}
(umask 077
{_put(f"{files}.env", entry(facts, env))}
{BUSYBOX} chown {uid} {files}.env
{_put(f"{files}.sh", _TERMINAL.format(**words))}
{BUSYBOX} chmod 700 {files}.sh)
export HOME={"/" if uid else "/root"} HOSTNAME; read -r HOSTNAME </proc/sys/kernel/hostname
{BUSYBOX} setsid {BUSYBOX} sh -c {shlex.quote(inner)} <>$o 1>&0 2<>$e &"""


def _put(path: str, text: str) -> str:
    return f"printf '%s\\n' {shlex.quote(text)} >{path}"


def enter(folder: Path, env: Mapping[str, str]) -> int:
    """The status of a new shell in the kept guest of that folder, which has this process's
    terminal, or its standard input. Raises MachineGoneError, InfrastructureError."""
    if not (facts := read_facts(folder)):
        raise MachineGoneError(f"{folder.name} is gone")
    terminal = os.isatty(0)
    if terminal:
        env = {"TERM": os.environ.get("TERM", "linux"), **env}
    for slot in range(SHELLS):
        # Its ports are ours, unless somebody else who entered has them.
        with contextlib.suppress(InUseError), hold(folder / f"enter-{slot}.lock", wait=0):
            out, err = (connect_in(folder, socket_name(number)) for number in ports_of(slot))
            with out, err:
                token = f"end-{secrets.token_hex(12)}"
                script = _script(facts, env, terminal=terminal, token=token, slot=slot)
                if not _begun(folder, script):
                    continue
                if terminal:
                    return bridge(folder.name, Telnet(), out, token)
                return bridge(folder.name, Pieces(), out, token, err)
    raise InfrastructureError(f"{folder.name}: too many shells at once")


def _begun(folder: Path, script: str) -> bool:
    """Whether the shell began: not where a process of the guest's holds these ports."""
    with _control(folder) as shell:
        status = shell.run(Command(script, timeout=API_TIMEOUT, strict=True))
    if status == _NO_TERMINAL:
        raise InfrastructureError(
            "the busybox that guests get here has no telnetd, which gives a shell its terminal: "
            "install busybox-static, or pipe the commands into this one",
            transient=False,
        )
    if status not in (0, _BUSY):
        raise InfrastructureError(f"a shell in {folder.name} did not begin")
    return status == 0


@contextlib.contextmanager
def _control(folder: Path) -> Iterator[Shell]:
    """The guest's shell for us, for a moment: others may want to enter, too."""
    until = time.monotonic() + API_TIMEOUT
    with hold(folder / _LOCK):
        try:
            line = connect_in(folder, socket_name(CONTROL), within=2.0)
        except OSError as error:
            raise MachineGoneError(f"{folder.name} runs no longer") from error
        with line:
            # The guest begins its end anew when somebody has connected: what is said before
            # that, on either side, is lost.
            while True:
                shell = Shell(SocketStream(line))
                try:
                    shell.run(Command(":", timeout=1.0))
                    break
                except OSError as error:
                    if not isinstance(error, TimeoutError):
                        raise MachineGoneError(f"{folder.name} runs no longer") from error
                except ShellEndedError:
                    pass
                if time.monotonic() > until:
                    raise InfrastructureError(
                        f"{folder.name} does not answer: has the run that kept it ended?"
                    )
                time.sleep(0.02)
            yield shell
