"""What we run in a guest beside the product's commands: POSIX sh, and what each system has."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from typing import Any

from distromatrix.engines.contract import OWN_ADDRESS
from distromatrix.engines.guest.programs import become, program
from distromatrix.engines.parcel import ids_of
from distromatrix.engines.shell.homes import home_found
from distromatrix.engines.shell.pool import KILL
from distromatrix.engines.shell.process_list import LIST
from distromatrix.engines.shell.processes import Process

# Where the commands of the product are, so that all of them can be found and ended.
CGROUP = "/sys/fs/cgroup/distromatrix"

# Where what is ours lies in a guest. Not below /distromatrix/guest, whose processes nobody lists.
FOLDER = "/var/lib/distromatrix"
SESSION = f"{FOLDER}/session"
PIPED = f"{FOLDER}/piped"
_FIFO, _GOES = "/run/distromatrix-restart", "/run/distromatrix-goes"

# What a suite calls, whoever it has become: root waits at the other end.
_REBOOT_COMMAND = f"""#!/bin/sh
# distromatrix-reboot: restart this machine. The suite's script is begun anew when it is up again,
# with DISTROMATRIX_REBOOT_COUNT one higher.
echo reboot >{_FIFO} || exit
while :; do sleep 60; done
"""
RESTART = f"""echo >{_GOES}
sync
{{ sleep 0.3; systemctl reboot || reboot; }} >/dev/null 2>&1 </dev/null &"""
_WAITER = f"""#!/bin/sh
read -r _ <>{_FIFO}
{RESTART}
"""

BOOT = "cat /proc/sys/kernel/random/boot_id"
# Whether it is on its way down.
GOES_DOWN = f"""[ -e {_GOES} ] || [ "$(systemctl is-system-running 2>/dev/null)" = stopping ]"""


def named(host: str) -> str:
    """What gives a guest its name, and has that resolve without a network: some programs wait
    long for their own host's name. Nothing is started for it."""
    name = shlex.quote(host)
    return f"""echo {name} >/proc/sys/kernel/hostname
echo {OWN_ADDRESS} {name} >>/etc/hosts"""


# The same for a guest whose name is its own.
RESOLVES = f"""read -r name </proc/sys/kernel/hostname
grep -qsw -e "$name" /etc/hosts || echo {OWN_ADDRESS} "$name" >>/etc/hosts"""


def begin(pids: int) -> str:
    """What a whole system is given at the begin of each boot: the commands' group, bounded, and
    who waits for a wish to restart."""
    return f"""mkdir -p {CGROUP} 2>/dev/null
echo +pids 2>/dev/null >{CGROUP}/../cgroup.subtree_control
{bounded(pids)}
rm -f {_FIFO} {_GOES}
mkfifo -m 622 {_FIFO} || exit
{SESSION} /bin/sh {FOLDER}/waiter >/dev/null 2>&1 </dev/null &"""


def bounded(pids: int) -> str:
    """What bounds the processes that commands begin, where there is such a control group."""
    return f"[ ! -e {CGROUP}/pids.max ] || echo {pids} >{CGROUP}/pids.max"


def crowded(pids: int) -> str:
    """What succeeds where so many of those run that nothing of ours gets its turn, as among a fork
    bomb's. It needs no process for that."""
    return f"read -r _dm_many <{CGROUP}/pids.current && [ $_dm_many -gt {pids // 2} ]"


def install() -> str:
    """What puts all of ours into a guest, before it is saved."""
    lines = [f"mkdir -p {FOLDER} /usr/local/bin || exit"]
    names = ("session", "reseed", "piped")
    lines += [written(f"{FOLDER}/{name}", program(name)) for name in names]
    lines.append(become_written("root"))
    lines.append(written(f"{FOLDER}/waiter", _WAITER.encode()))
    lines.append(written("/usr/local/bin/distromatrix-reboot", _REBOOT_COMMAND.encode()))
    return "\n".join(lines)


def becoming_program(user: str) -> str:
    """The program in a guest that becomes that user (`root` or `UID:GID`)."""
    uid, gid = ids_of(user)
    return f"{FOLDER}/become-{uid}-{gid}"


def become_written(user: str) -> str:
    """What puts it there."""
    return written(becoming_program(user), become(*ids_of(user)))


def entry(facts: Mapping[str, Any], env: Mapping[str, str]) -> str:
    """What the shell of somebody who enters a kept machine, of which that is known, reads first,
    from descriptor 9. `env`: variables that it is to have besides those of the image."""
    known = {**(facts.get("env") or {}), **env}
    lines = [home_found(facts.get("user") or "root")]
    lines += [f"export {key}={shlex.quote(value)}" for key, value in known.items()]
    lines.append(f"cd {shlex.quote(facts.get('product') or '/')} || cd /")
    return "\n".join([*lines, "exec /bin/sh 9<&-"])


def written(path: str, content: bytes, busybox: str = "") -> str:
    """What writes a small program."""
    octal = "".join(f"\\{byte:03o}" for byte in content)
    return f"printf '{octal}' >{path} && {busybox} chmod 755 {path} || exit"


# All that the product's commands are or have left: their control group, else their sessions.
KILL_ALL = f"""group={CGROUP}
if [ -e $group/cgroup.kill ]; then
  echo 1 >$group/cgroup.kill
  try=0
  while read -r _ found <$group/cgroup.events && [ "$found" = 1 ] && [ $try -lt 2000 ]; do
    try=$((try + 1))
  done
elif [ -e $group/cgroup.procs ]; then
  for try in 1 2 3 4 5; do
    found=$(cat $group/cgroup.procs)
    [ "$found" ] || break
    kill -STOP $found 2>/dev/null
    kill -KILL $found 2>/dev/null
  done
else
  set --
  for folder in /proc/[0-9]*; do
    case $(tr '\\0' ' ' <$folder/cmdline 2>/dev/null) in
      *'read -r _dm_l'*) set -- "$@" "${{folder#/proc/}}" ;;
    esac
  done
  {KILL}
fi
:"""


def of_commands(listed: Sequence[Process]) -> list[Process]:
    """Of all processes of a guest, the shells of ours and what descends from them; but not who
    lists them."""
    listed = [one for one in listed if LIST not in one.command]
    ours = {one.pid for one in listed if "read -r _dm_l" in one.command}
    grown = True
    while grown:
        more = {one.pid for one in listed if one.parent in ours} - ours
        ours |= more
        grown = bool(more)
    return [one for one in listed if one.pid in ours]
