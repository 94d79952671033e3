"""More shells in a container, and the end of a command there: by exec."""

from __future__ import annotations

from distromatrix.engines.contract import API_TIMEOUT, Command
from distromatrix.engines.docker.connection.api import SHORT_TIMEOUT, Api, run_inside
from distromatrix.engines.docker.connection.stream import AttachStream
from distromatrix.engines.docker.spec import shell_loop
from distromatrix.engines.shell.pool import KILL
from distromatrix.engines.shell.shell import Shell, ShellEndedError
from distromatrix.errors import InfrastructureError


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
        shell.run(Command(":", timeout=API_TIMEOUT))
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
        run_inside(client, container, command, within)


def signal_all(api: Api, name: str, container: str, signal: str) -> None:
    """Send a signal to all that runs in it but its process 1 (kill(2)). Raises
    InfrastructureError."""
    with api.calling(f"signal what runs in {name}", SHORT_TIMEOUT) as client:
        command = ["/bin/sh", "-c", f"kill -{signal} -1"]
        run_inside(client, container, command, SHORT_TIMEOUT)
