"""What we run in a guest beside the product's commands: POSIX sh, and what each system has."""

from __future__ import annotations

from distromatrix.engines.hung import Process
from distromatrix.engines.shells import KILL

# Where the commands of the product are, so that all of them can be found and ended.
CGROUP = "/sys/fs/cgroup/distromatrix"

# A line for each process with a command line: id, parent, seconds it has run, command. What the
# kernel itself runs has none. /proc/PID/stat's 22nd field is in hundredths of a second
# (USER_HZ of Linux is 100 on all architectures that are met here).
PROCESSES = rf"""read -r now _ </proc/uptime
now=${{now%.*}}
if [ -e {CGROUP}/cgroup.procs ]; then set -- $(cat {CGROUP}/cgroup.procs)
else cd /proc; set -- [0-9]*; fi
for id in "$@"; do
  {{ IFS= read -r line </proc/$id/stat; }} 2>/dev/null || continue
  command=$(tr '\0\n' '  ' </proc/$id/cmdline 2>/dev/null) || continue
  [ "$command" ] || continue
  set -- ${{line##*) }}
  [ "$id" != $$ ] && [ "$2" != $$ ] || continue
  echo "$id $2 $((now - ${{20}} / 100)) $command"
done"""

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


def processes_of(listing: str) -> list[Process]:
    """What PROCESSES prints: of the shells of ours and what descends from them."""
    rows: dict[int, Process] = {}
    for line in listing.splitlines():
        words = line.split(" ", 3)
        if len(words) == 4 and all(word.lstrip("-").isdigit() for word in words[:3]):
            seconds = max(0, int(words[2]))
            clock = f"{seconds // 60:02}:{seconds % 60:02}"
            rows[int(words[0])] = Process(int(words[0]), int(words[1]), clock, words[3].strip())
    ours = {pid for pid, row in rows.items() if "read -r _dm_l" in row.command}
    grown = True
    while grown:
        more = {pid for pid, row in rows.items() if row.parent in ours} - ours
        ours |= more
        grown = bool(more)
    return [row for pid, row in sorted(rows.items()) if pid in ours]
