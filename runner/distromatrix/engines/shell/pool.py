"""The shells of one machine: one for each command that runs at the same time, kept open."""

from __future__ import annotations

from collections.abc import Callable
from threading import Condition

from distromatrix.engines.shell.shell import Shell

MOST = 16  # commands at once; more wait

# Ends processes of a machine with all that descends from them or belongs to a session that one
# of these leads. $@: their ids. They are stopped first, so that none can multiply meanwhile. Who
# has begun the first ones goes on, where these have stopped it.
# /proc/PID/stat: `id (name) state parent group session …` (proc(5)).
KILL = r"""set +e
first=$* found= before=-
while [ "$found" != "$before" ]; do
  before=$found found=" $first " grew=1
  while [ "$grew" ]; do
    grew=
    for stat in /proc/[0-9]*/stat; do
      { IFS= read -r line <"$stat"; } 2>/dev/null || continue
      id=${line%% *}
      set -- ${line##*) }
      case $1$found in Z* | *" $id "*) continue ;; esac
      case $found in *" $2 "* | *" $4 "*) found="$found$id " grew=1 ;; esac
    done
  done
  kill -STOP $found
done 2>/dev/null
kill -KILL $found 2>/dev/null
for id in $first; do
  { IFS= read -r line <"/proc/$id/stat"; } || continue
  set -- ${line##*) }
  kill -CONT $2
done 2>/dev/null
:"""

# The same for all that runs in a system beside the kernel's own threads (children of process 2) and
# this shell with those that it descends from. It fails where others come faster than they end.
KILL_OTHERS = r"""id=$$ ours=' 2 ' found= before=-
while [ "$id" -gt 0 ]; do
  ours="$ours$id "
  IFS= read -r line </proc/$id/stat
  set -- ${line##*) }
  id=$2
done
for try in 1 2 3 4 5 6 7 8 9; do
  before=$found found=
  for stat in /proc/[0-9]*/stat; do
    { IFS= read -r line <"$stat"; } 2>/dev/null || continue
    id=${line%% *}
    set -- ${line##*) }
    [ $2 != 2 ] || continue
    case $1$ours in Z* | *" $id "*) ;; *) found="$found $id" ;; esac
  done
  kill -STOP $found
  [ "$found" != "$before" ] || break
done 2>/dev/null
kill -KILL $found 2>/dev/null
[ "$found" = "$before" ]"""


class Shells:
    """Gives out shells that are free, opens more when all are in use. Thread-safe. `first`:
    one that is open already; `most`: that may be open at once."""

    def __init__(
        self, open_one: Callable[[], Shell], first: Shell | None = None, most: int = MOST
    ) -> None:
        self._most = most
        self._open_one = open_one
        self._free: list[Shell] = [first] if first else []
        self._all: set[Shell] = set(self._free)
        self._opening = 0
        self._closed = False
        self._changed = Condition()

    @property
    def busy(self) -> bool:
        """Whether a command runs."""
        with self._changed:
            return len(self._free) < len(self._all) + self._opening

    def take(self) -> Shell:
        """A shell that nobody else uses. Raises what opening one raises."""
        with self._changed:
            self._changed.wait_for(
                lambda: self._free or self._closed or len(self._all) + self._opening < self._most
            )
            if self._free:
                return self._free.pop()
            self._opening += 1
        shell = None
        try:
            shell = self._open_one()
            return shell
        finally:
            with self._changed:
                self._opening -= 1
                if shell is not None:
                    self._all.add(shell)
                    if self._closed:
                        shell.stream.shutdown()
                self._changed.notify()

    def give_back(self, shell: Shell) -> None:
        """It may be used again."""
        with self._changed:
            if shell in self._all:
                self._free.append(shell)
            self._changed.notify()

    def add(self, shell: Shell) -> None:
        """One that is open already."""
        with self._changed:
            self._all.add(shell)
        self.give_back(shell)

    def drop(self, shell: Shell) -> None:
        """It has ended, or cannot be used again; another is opened when it is needed."""
        with self._changed:
            self._all.discard(shell)
            self._changed.notify()
        shell.stream.shutdown()
        shell.stream.close()

    def drop_all_but(self, one: Shell | None) -> None:
        """Drop all others."""
        with self._changed:
            others = self._all - {one}
            self._free = [shell for shell in self._free if shell is one]
        for shell in others:
            if shell is not None:
                self.drop(shell)

    def shutdown(self) -> None:
        """Wake all who wait for a command, and give out no more. Never raises."""
        with self._changed:
            self._closed = True
            everyone = tuple(self._all)
            self._changed.notify_all()
        for shell in everyone:
            shell.stream.shutdown()

    def close(self) -> None:
        """Let go of all. Never raises."""
        self.shutdown()
        with self._changed:
            everyone = tuple(self._all)
        for shell in everyone:
            shell.stream.close()
