"""What a container is doing, why it has ended, and its end."""

from __future__ import annotations

import contextlib
from time import monotonic

from docker.errors import APIError

from distromatrix.engines.answer import Answer
from distromatrix.engines.contract import API_TIMEOUT
from distromatrix.engines.docker.connection.api import SHORT_TIMEOUT, Api, has_ended, run_inside
from distromatrix.engines.shell.process_list import LIST, processes
from distromatrix.engines.shell.processes import Process
from distromatrix.engines.shell.shell import Shell
from distromatrix.errors import EngineUnavailableError, InfrastructureError, MachineGoneError

# cgroup v2's and v1's count of processes killed for memory (Documentation/admin-guide/
# cgroup-v2.rst and cgroup-v1/memory.rst of the kernel); builtins only.
_OOM_KILLS = """_dm_g=/sys/fs/cgroup
for _dm_f in $_dm_g/memory.events $_dm_g/memory/memory.oom_control; do
  if [ -r $_dm_f ]; then
    while read -r _dm_k _dm_v; do
      if [ "$_dm_k" = oom_kill ]; then echo "$_dm_v"; fi
    done <$_dm_f
  fi
done"""


def what_runs(api: Api, name: str, container: str) -> list[Process]:
    """What runs in it; nothing where that cannot be known."""
    with contextlib.suppress(EngineUnavailableError, ValueError):
        try:
            return _as_listed(api, name, container)
        except EngineUnavailableError:
            raise
        except InfrastructureError:  # the engine's host has no ps, or the container has ended
            with contextlib.suppress(InfrastructureError):
                return _as_seen_inside(api, name, container)
    return []


def _as_listed(api: Api, name: str, container: str) -> list[Process]:
    """By the engine, for which nothing needs to be in the container."""
    with api.calling(f"list what runs in {name}", SHORT_TIMEOUT) as client:
        top = client.top(container, ps_args=api.dialect.ps)
    return [Process.listed(row) for row in top["Processes"] or ()]


def _as_seen_inside(api: Api, name: str, container: str) -> list[Process]:
    """By one command more in the container, and without that."""
    with api.calling(f"list what runs in {name}", SHORT_TIMEOUT) as client:
        command = ["/bin/sh", "-c", LIST]
        listed = processes(run_inside(client, container, command, SHORT_TIMEOUT))
    asking = {one.pid for one in listed if LIST in one.command}
    return [one for one in listed if not asking & {one.pid, one.parent}]


def ask_oom_kills(shell: Shell, said: Answer) -> None:
    """Have said how many processes the kernel has killed for memory in its container, ever.
    Raises as `Shell.run` does. By the shell itself: where no more processes may be, none is
    needed."""
    shell.ask(_OOM_KILLS, deadline=monotonic() + API_TIMEOUT, output=said)


def kill_container(api: Api, name: str, container: str) -> None:
    """End all its processes. Raises InfrastructureError."""
    with api.calling(f"kill {name}", SHORT_TIMEOUT) as client:
        try:
            client.kill(container)
        except APIError as error:
            # Gone or not running, which is what was wanted.
            if not has_ended(error):
                raise


def why_gone(api: Api, name: str, container: str, memory: int) -> MachineGoneError:
    """Why it ended under our hands; `memory` is its limit in bytes."""
    try:
        with api.calling(f"look at {name}", SHORT_TIMEOUT) as client:
            client.wait(container, timeout=SHORT_TIMEOUT)
            state = client.inspect_container(container)["State"]
    except EngineUnavailableError as error:
        return MachineGoneError(f"{name} is gone with its engine: {error}")
    except InfrastructureError as error:
        return MachineGoneError(f"{name} was removed from outside: {error}")
    if state["OOMKilled"]:
        limit = memory // 1024**2
        return MachineGoneError(f"{name} ran out of its {limit} MiB of memory", oom=True)
    status = int(state["ExitCode"])
    if status == 137:
        doubt = "" if api.dialect.tells_oom else ", or for its memory"
        return MachineGoneError(f"{name} was killed from outside{doubt}")
    # Of a shell whose stdin was closed: 0; that was killed: 137 or 143; that cannot fork: 2.
    choked = status not in (0, 143)
    return MachineGoneError(f"{name} ended with status {status}", choked=choked)
