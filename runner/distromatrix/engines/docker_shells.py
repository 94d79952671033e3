"""More shells in a container, and the end of a command there: by exec."""

from __future__ import annotations

import contextlib
from pathlib import Path
from time import monotonic, sleep

from distromatrix.engines.base import API_TIMEOUT
from distromatrix.engines.docker_api import SHORT_TIMEOUT, Api
from distromatrix.engines.docker_spec import shell_loop
from distromatrix.engines.docker_stream import AttachStream
from distromatrix.engines.shell import Shell, ShellEndedError
from distromatrix.engines.shells import KILL
from distromatrix.errors import InfrastructureError

# Seconds in which what was left running has to be gone; then its machine ends with it.
SIGNALLED_WITHIN = 5.0


def open_shell(api: Api, name: str, container: str, user: str) -> Shell:
    """A shell of its own in a running container; it ends when its stream is closed, also by
    the end of this process. Raises InfrastructureError."""
    command = ["/bin/sh", "-c", shell_loop(api.dialect, user)]
    with api.calling(f"open a shell in {name}") as client:
        made = client.exec_create(
            container, command, stdin=True, user="0" if user == "root" else user, workdir="/"
        )
        shell = Shell(AttachStream(client.exec_start(made["Id"], socket=True)))
    try:
        shell.run(":", deadline=monotonic() + API_TIMEOUT)
    except (ShellEndedError, TimeoutError, OSError) as error:
        shell.stream.close()
        said = shell.said.decode(errors="replace").strip()
        raise InfrastructureError(
            f"a shell in {name} did not answer: {said}".rstrip(": ")
        ) from error
    return shell


def end_process(
    api: Api, name: str, container: str, process: int, within: float = SHORT_TIMEOUT
) -> None:
    """Kill a process, by its id in the container, with all that descends from it, `within`
    seconds. Raises InfrastructureError."""
    with api.calling(f"end a command in {name}", within) as client:
        # All stand still first, at once (kill(2)): who begins others all the time has no end.
        script = f"kill -STOP -1\n{KILL}\nkill -CONT -1"
        command = ["/bin/sh", "-c", script, "/bin/sh", str(process)]
        client.exec_start(client.exec_create(container, command, user="0", workdir="/")["Id"])


def signal_all(api: Api, name: str, container: str, signal: str) -> None:
    """Send a signal to all that runs in it but its process 1 (kill(2)). Raises
    InfrastructureError."""
    with api.calling(f"signal what runs in {name}", SHORT_TIMEOUT) as client:
        command = ["/bin/sh", "-c", f"kill -{signal} -1"]
        client.exec_start(client.exec_create(container, command, user="0", workdir="/")["Id"])


def ends_alone(api: Api, name: str, container: str) -> bool:
    """Whether its process 1 comes to be the only one in it within SIGNALLED_WITHIN seconds, seen
    from outside; true where that is not seen from here. Raises InfrastructureError."""
    if not api.url.startswith("unix:"):
        return True
    with api.calling(f"look at {name}", SHORT_TIMEOUT) as client:
        first = int(client.inspect_container(container)["State"]["Pid"])
    until = monotonic() + SIGNALLED_WITHIN
    while (found := _beside(first, container)) and monotonic() < until:
        sleep(0.005)
    return not found


def _beside(first: int, container: str) -> bool:
    """Whether others are in a process's control group, and below it: that is its container's if
    it has its id. Else this host is not the engine's."""
    with contextlib.suppress(OSError, ValueError):
        for line in Path(f"/proc/{first}/cgroup").read_text().splitlines():
            _, kinds, path = line.split(":", 2)
            if container in path and (kinds == "pids" or not kinds):
                top = Path("/sys/fs/cgroup", kinds, path.lstrip("/"))
                files = (top, *top.rglob("*/")) if top.is_dir() else ()
                found = {pid for one in files for pid in (one / "cgroup.procs").read_text().split()}
                return bool(found - {str(first)})
    return False
