"""A container as its engine knows it: what runs there, shells and commands by exec, and why it has
ended."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from threading import Timer
from time import monotonic
from typing import Any

from distromatrix.engines.answer import MOST_LISTED, Answer
from distromatrix.engines.contract import API_TIMEOUT
from distromatrix.engines.docker.connection.api import LONG_TIMEOUT, SHORT_TIMEOUT, Api
from distromatrix.engines.docker.connection.stream import AttachStream
from distromatrix.engines.docker.spec import shell_loop
from distromatrix.engines.shell.pool import KILL
from distromatrix.engines.shell.process_list import LIST, processes
from distromatrix.engines.shell.processes import Process
from distromatrix.engines.shell.shell import Shell
from distromatrix.errors import EngineUnavailableError, InfrastructureError, MachineGoneError

_AT_ONCE = 200  # paths that are removed by one command
_REMOVE = 'cd / && rm -rf -- "$@" && echo done'


@dataclass(slots=True)
class Container:
    """One that is there, or was. All that asks an engine raises InfrastructureError."""

    api: Api
    id: str
    name: str

    def calling(self, doing: str, timeout: float = API_TIMEOUT) -> AbstractContextManager[Any]:
        """See Api.calling; what is done is done to this one (`start`)."""
        return self.api.calling(f"{doing} {self.name}", timeout)

    def inspect(self) -> dict[str, Any]:
        """What the engine says of it."""
        with self.calling("look at", SHORT_TIMEOUT) as client:
            found: dict[str, Any] = client.inspect_container(self.id)
            return found

    def open_shell(self, user: str) -> Shell:
        """A shell of its own; it ends when its stream is closed, also by the end of this
        process."""
        command = ["/bin/sh", "-c", shell_loop(self.api.dialect, user)]
        uid = "0" if user == "root" else user
        with self.calling("open a shell in") as client:
            made = client.exec_create(self.id, command, stdin=True, user=uid, workdir="/")
            shell = Shell(AttachStream(client.exec_start(made["Id"], socket=True)))
        shell.begin(self.name, API_TIMEOUT)
        return shell

    def run(self, doing: str, script: str, *args: str, within: float = SHORT_TIMEOUT) -> bytes:
        """What a script of ours prints that root runs in it, by programs that may be the
        product's. Fails too where it ends not in time, or floods."""
        command = ["/bin/sh", "-c", script, "/bin/sh", *args]
        said = Answer(MOST_LISTED)
        with self.calling(doing, within) as client:
            made = client.exec_create(self.id, command, stderr=False, user="0", workdir="/")
            if not said.read(_printed(client, made["Id"], within), within):
                raise InfrastructureError("a command of ours in it prints without end")
        return bytes(said)

    def told(self, doing: str, script: str, within: float) -> Iterator[bytes]:
        """The same, as it comes, with an end that is told: raises InfrastructureError, too, where
        its status is not 0."""
        command = ["/bin/sh", "-c", script]
        with self.calling(doing, within) as client:
            made = client.exec_create(self.id, command, stderr=False, user="0", workdir="/")
            yield from _printed(client, made["Id"], within)
            status = client.exec_inspect(made["Id"])["ExitCode"]
        if status:
            raise InfrastructureError(f"cannot {doing} {self.name}: exit status {status}")

    def exported(self) -> Iterator[bytes]:
        """Its root, but for its volumes, as a tar stream."""
        with self.calling("export", LONG_TIMEOUT) as client:
            yield from client.export(self.id, chunk_size=1 << 20)

    def remove(self, paths: Sequence[str]) -> None:
        """Remove what lies at these paths from its root."""
        for first in range(0, len(paths), _AT_ONCE):
            some = paths[first : first + _AT_ONCE]
            if not self.run("remove files in", _REMOVE, *some, within=API_TIMEOUT):
                raise InfrastructureError(f"cannot remove files in {self.name}")

    def end_process(self, process: int, within: float = SHORT_TIMEOUT) -> None:
        """Kill a process, by its id in the container, with all that descends from it."""
        # All stand still first, at once (kill(2)): who begins others all the time has no end.
        script = f"kill -STOP -1\n{KILL}\nkill -CONT -1"
        self.run("end a command in", script, str(process), within=within)

    def list_processes(self) -> list[Process]:
        """What runs in it; nothing where that cannot be known."""
        with contextlib.suppress(EngineUnavailableError, ValueError):
            try:
                return self._as_listed()
            except EngineUnavailableError:
                raise
            except InfrastructureError:  # the engine's host has no ps, or it has ended
                with contextlib.suppress(InfrastructureError):
                    return self._as_seen_inside()
        return []

    def _as_listed(self) -> list[Process]:
        """By the engine, for which nothing needs to be in the container."""
        with self.calling("list what runs in", SHORT_TIMEOUT) as client:
            top = client.top(self.id, ps_args=self.api.dialect.ps)
        return [Process.listed(row) for row in top["Processes"] or ()]

    def _as_seen_inside(self) -> list[Process]:
        """By one command more in the container, and without that."""
        listed = processes(self.run("list what runs in", LIST))
        asking = {one.pid for one in listed if LIST in one.command}
        return [one for one in listed if not asking & {one.pid, one.parent}]

    def why_gone(self, memory: int) -> MachineGoneError:
        """Why it ended under our hands; `memory` is its limit in bytes."""
        try:
            with self.calling("look at", SHORT_TIMEOUT) as client:
                client.wait(self.id, timeout=SHORT_TIMEOUT)
                state = client.inspect_container(self.id)["State"]
        except EngineUnavailableError as error:
            return MachineGoneError(f"{self.name} is gone with its engine: {error}")
        except InfrastructureError as error:
            return MachineGoneError(f"{self.name} was removed from outside: {error}")
        if state["OOMKilled"]:
            limit = memory // 1024**2
            return MachineGoneError(f"{self.name} ran out of its {limit} MiB of memory", oom=True)
        status = int(state["ExitCode"])
        if status == 137:
            doubt = "" if self.api.dialect.tells_oom else ", or for its memory"
            return MachineGoneError(f"{self.name} was killed from outside{doubt}")
        # Of a shell whose stdin was closed: 0; that was killed: 137 or 143; that cannot fork: 2.
        choked = status not in (0, 143)
        return MachineGoneError(f"{self.name} ended with status {status}", choked=choked)


def _printed(client: Any, exec_id: str, within: float) -> Iterator[bytes]:
    """What an exec prints, as it comes. docker-py waits without an end for the next piece, and so
    does an engine that reads a FIFO of the container's in the place of /etc/passwd. Raises
    InfrastructureError where it does not end in time."""
    until = monotonic() + within
    stream = client.exec_start(exec_id, stream=True)
    late = Timer(within, _cut_off, (stream,))
    late.daemon = True
    late.start()
    try:
        for piece in stream:
            yield piece
            if monotonic() > until:
                break
    except (OSError, ValueError):
        if monotonic() < until:
            raise
    finally:
        late.cancel()
    if monotonic() >= until:
        raise InfrastructureError(f"a command of ours in it does not end within {within:g} s")


def _cut_off(stream: Any) -> None:
    with contextlib.suppress(Exception):  # it may end just now
        stream.close()
