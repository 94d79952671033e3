"""What we run in a guest beside the product's commands: POSIX sh, and what each system has."""

from __future__ import annotations

from collections.abc import Sequence

from distromatrix.engines.guest_processes import LIST
from distromatrix.engines.hung import Process
from distromatrix.engines.shells import KILL

# Where the commands of the product are, so that all of them can be found and ended.
CGROUP = "/sys/fs/cgroup/distromatrix"

_WANTED = "/var/tmp/.distromatrix-reboot"  # noqa: S108  # in the guest, for any user

# After a command that failed: Linux's count of processes killed for memory, and whether a
# restart was asked for. Builtins only.
AFTERWARDS = f"""while read -r k v; do
  if [ "$k" = oom_kill ]; then echo "$v"; fi
done </proc/vmstat
if [ -e {_WANTED} ]; then echo reboot; fi"""

# What a suite calls: it ends the suite's script (the process below our shell), which is begun
# anew when the guest is up again, with DISTROMATRIX_REBOOT_COUNT one higher.
REBOOT_COMMAND = f"""#!/bin/sh
# distromatrix-reboot: restart this machine. The suite's script is begun anew when it is up again,
# with DISTROMATRIX_REBOOT_COUNT one higher.
: >{_WANTED} || exit
id=$$
while :; do
  IFS= read -r line </proc/$id/stat
  set -- ${{line##*) }}
  [ "$2" -gt 1 ] || break
  case $(tr '\\0' ' ' </proc/$2/cmdline) in *'read -r _dm_l'*) break ;; esac
  id=$2
done
kill -KILL $id
while :; do sleep 60; done
"""
RESTART = f"""rm -f {_WANTED}
sync
(sleep 0.3; systemctl reboot || reboot) >/dev/null 2>&1 </dev/null &"""

# All that the product's commands are or have left: their control group, else their sessions.
KILL_ALL = f"""group={CGROUP}
if [ -e $group/cgroup.kill ]; then echo 1 >$group/cgroup.kill
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
      *'read -r _dm_l'*) [ "${{folder#/proc/}}" = $PPID ] || set -- "$@" "${{folder#/proc/}}" ;;
    esac
  done
  {KILL}
fi
:"""


def end_script(process: int) -> str:
    """Ends a process with all that descends from it."""
    return f"set -- {process}\n{KILL}"


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
