"""A container as a machine: started with its shell attached, used through it, removed."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from threading import Thread
from time import monotonic
from typing import IO, Any

from docker.errors import APIError, NotFound

from distromatrix.engines.answer import Answer
from distromatrix.engines.change_scripts import CARRIED_WITHIN, GONE, NOTE, NOTED, THERE
from distromatrix.engines.changes import Changes
from distromatrix.engines.contract import (
    API_TIMEOUT,
    MOUNT,
    Address,
    Command,
    LeftSignal,
    MachineSpec,
)
from distromatrix.engines.docker import caches
from distromatrix.engines.docker.connection.api import (
    SHORT_TIMEOUT,
    Api,
    message_of,
    remove_container,
)
from distromatrix.engines.docker.connection.stream import AttachStream
from distromatrix.engines.docker.container import Container
from distromatrix.engines.docker.init_system import until_up, why_not_up
from distromatrix.engines.docker.messages import cannot_start, of_image
from distromatrix.engines.docker.outside import SIGNALLED_WITHIN, ends_alone, written
from distromatrix.engines.docker.spec import INIT, SETUID
from distromatrix.engines.docker.staging.files import get_files, put_files
from distromatrix.engines.shell.homes import home_told
from distromatrix.engines.shell.machine import ShellMachine
from distromatrix.engines.shell.processes import Process, describe
from distromatrix.engines.shell.shell import Shell, ShellEndedError
from distromatrix.errors import (
    CannotStartError,
    EngineUnavailableError,
    InfrastructureError,
    MachineGoneError,
)
from distromatrix.model import Kept

# Seconds that killing a command, and its end, may take; then the machine is killed. An engine in
# an emulated guest took more than ten for five at once.
DIES_WITHIN = 30.0
# cgroup v2's and v1's count of processes killed for memory (Documentation/admin-guide/
# cgroup-v2.rst and cgroup-v1/memory.rst of the kernel); builtins only, by the shell itself: where
# no more processes may be, none is needed.
_OOM_KILLS = """_dm_g=/sys/fs/cgroup
for _dm_f in $_dm_g/memory.events $_dm_g/memory/memory.oom_control; do
  if [ -r $_dm_f ]; then
    while read -r _dm_k _dm_v; do
      if [ "$_dm_k" = oom_kill ]; then echo "$_dm_v"; fi
    done <$_dm_f
  fi
done"""


class DockerMachine(ShellMachine):
    """One container. Made by `create`, which takes the body of its creation, or by `join`."""

    def __init__(
        self,
        api: Api,
        spec: MachineSpec,
        container: str,
        *,
        staged: bool,
        owned: bool = True,
        env: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(spec, staged=staged, owned=owned, env=env)
        self._api = api
        self._made = monotonic()
        self.container = Container(api, container, spec.name)
        # Each called once, when it is removed (False) or stays (True).
        self.at_close: list[Callable[[bool], None]] = []
        # The bytes that it has written beside its own layer.
        self.beside: Callable[[], int] = lambda: 0
        self._main: Shell | None = None  # the container's main process
        self._cached_before: int | None = None  # bytes in its caches when that was first seen

    @classmethod
    def create(
        cls, api: Api, spec: MachineSpec, body: dict[str, Any], *, staged: bool = False
    ) -> DockerMachine:
        """Create, and no more: `put`, `start`, `begin` and `close` are what it can do.

        Raises CannotStartError, InfrastructureError.
        """
        if api.lacks_ipv6:
            body = {**body, "HostConfig": {**body["HostConfig"], "Sysctls": {}}}
        calling = api.calling(f"create a container of {spec.image}")
        with api.noting_full_disk(), calling as client:
            caches.make(api, *(one for one in spec.caches if not one.private))
            try:
                created = client.create_container_from_config(body, name=spec.name)
            except NotFound as error:
                raise CannotStartError(message_of(error)) from error
        machine = cls(api, spec, created["Id"], staged=staged)
        with machine.starting():
            caches.fill(machine.container, spec)
        return machine

    def start(self) -> DockerMachine:
        """Begin it. Raises CannotStartError, InfrastructureError; then nothing is left."""
        with self.starting():
            self.begin()
        return self

    @contextlib.contextmanager
    def starting(self) -> Iterator[None]:
        """Around what makes it ready to be used: where that fails, nothing is left."""
        try:
            with self._api.noting_full_disk():  # closing gives room back
                yield
        except BaseException:
            self.close()
            raise

    @classmethod
    def join(cls, api: Api, address: Address) -> DockerMachine:
        """One that somebody else has open. Raises MachineGoneError, InfrastructureError."""
        spec = MachineSpec(name=address.name, image="", user=address.user, memory=address.memory)
        staged = bool(address.product)
        machine = cls(api, spec, address.id, staged=staged, owned=False, env=address.env)
        try:
            machine._shells.give_back(machine._shells.take())
        except InfrastructureError as error:
            if isinstance(error, EngineUnavailableError):
                raise
            raise machine._gone() from error
        return machine

    @property
    def address(self) -> Address:
        """See Machine."""
        return self._address_of(self.container.id)

    def _list_processes(self) -> list[Process]:
        return self.container.list_processes()

    def put(self, tar: bytes | IO[bytes] | Iterator[bytes], path: str) -> None:
        """See Machine; `tar` may come in pieces. Raises FileNotFoundError, InfrastructureError."""
        put_files(self.container, tar, path)

    def get(self, path: str) -> Iterable[bytes]:
        """See Machine. Raises FileNotFoundError, InfrastructureError."""
        return get_files(self.container, path)

    def disk_free(self) -> int | None:
        """See Machine; None too while a command runs. 0 where one beside it found no room."""
        if self._api.full_since > self._made:
            return 0
        return None if self._shells.busy else super().disk_free()

    def signal_left(self, signal: LeftSignal) -> bool:
        """See Machine."""
        if self._stopped:
            return False
        try:
            self._signal_left(signal)
            alone = signal != "KILL" or INIT in self._spec.privileges
            if alone or ends_alone(self.container):
                return True
        except (InfrastructureError, ShellEndedError, TimeoutError, OSError):
            pass
        self.kill()
        return False

    def _signal_left(self, signal: LeftSignal) -> None:
        """By its main process, which needs no other for that, where that may and is free."""
        asked = self._spec.privileges
        may = INIT not in asked and (self._spec.user == "root" or SETUID not in asked)
        shell = self._shells.take() if may else None
        if shell is not None and shell is self._main:
            shell.ask(f"kill -{signal} -1", deadline=monotonic() + SIGNALLED_WITHIN)
        else:
            self.container.run("signal what runs in", f"kill -{signal} -1")  # but its process 1
        if shell is not None:
            self._shells.give_back(shell)
        if signal == "KILL":
            self._shells.drop_all_but(self._main)

    def note_state(self) -> bool:
        """See Machine. Raises InfrastructureError."""
        said = self.container.run("look at", NOTE, within=API_TIMEOUT)
        return said.endswith(NOTED)

    def changes(self, folder: Path, most: int) -> Changes:
        """See Machine. Raises TooMuchError, InfrastructureError, OSError."""
        how = ("see what changed in", CARRIED_WITHIN)
        gone, there = (self.container.told(how[0], one, how[1]) for one in (GONE, THERE))
        return Changes.kept(gone, there, folder, most)

    def files(self) -> Iterator[Iterable[bytes]]:
        """See Machine. Raises InfrastructureError."""
        yield self.container.exported()
        mounts = self.container.inspect().get("Mounts") or ()
        if any(one.get("Destination") == MOUNT for one in mounts):
            yield self.get(MOUNT)

    def take(self, changes: Changes) -> None:
        """See Machine; from then on it has the product that came so. Raises
        InfrastructureError."""
        for file in (changes.gone, changes.there):
            file.seek(0)
        self.container.remove([os.fsdecode(path) for path in changes.gone.read().split(b"\0")])
        self.put(changes.there, "/")
        self._staged = bool(
            self.container.run("look at", f"[ ! -d {MOUNT}/product ] || echo there")
        )

    def disk_used(self) -> int | None:
        """See Machine."""
        if self._stopped:
            return None
        with contextlib.suppress(InfrastructureError, OSError, ValueError):
            beside = self.beside() + self._cached()
            most = self._spec.disk - beside
            return written(self.container, most) + beside
        return None

    def _cached(self) -> int:
        """Bytes that its caches have grown by."""
        there = caches.written(self.container, self._spec.caches)
        if self._cached_before is None:
            self._cached_before = there
        return max(0, there - self._cached_before)

    def reboot(self) -> None:
        """See Machine. Raises InfrastructureError."""
        raise InfrastructureError(
            f"{self.name} is a container, which has no restart: a guest has", transient=False
        )

    def keep(self) -> Kept:
        """See Machine. Raises InfrastructureError, also where it was only joined."""
        self._check_owned("keep")
        name, home = self._kept_name, home_told(self.run, self._spec.user)
        if not self._closed:
            with self.container.calling("keep") as client:
                client.rename(self.container.id, name)
                if self._stopped:
                    client.start(self.container.id)
            self.name = self.container.name = name
            self._end(kept=True)
        where = f"-w {self.product} " if self.product else ""
        command = self._api.access.command
        return Kept(
            name=name,
            enter=f"{command} exec -it {home}{where}{name} /bin/sh",
            remove=f"{command} rm -f -v {name}",
            out=self.out,
        )

    def close(self) -> None:
        """See Machine."""
        if self._closed:
            return
        self._stopped = self._stopped or "was closed"
        self._shells.shutdown()
        if self._owned:
            calling = self._api.calling("remove a container", API_TIMEOUT / 2)
            with contextlib.suppress(Exception), calling as client:
                remove_container(client, self.container.id)
        self._end(kept=False)

    def _end(self, *, kept: bool) -> None:
        self._closed = True
        self._stopped = self._stopped or "was kept"
        self._shells.close()
        for then in self.at_close:
            then(kept)

    # --- starting ---

    def begin(self) -> None:
        """Start it, and hear its shell answer. Raises CannotStartError, InfrastructureError."""
        params = {"stdin": 1, "stdout": 1, "stderr": 1, "stream": 1}
        with self.container.calling("start") as client:
            try:
                if INIT not in self._spec.privileges:
                    # Podman's runtime begins here, Docker's at the start.
                    stream = AttachStream(client.attach_socket(self.container.id, params))
                    self._main = Shell(stream)
                    self._begin_shells(self._main)
                client.start(self.container.id)
            except APIError as error:
                if reason := cannot_start(message_of(error)):
                    raise CannotStartError(f"{of_image(self._spec.image)}{reason}") from error
                raise
        # Docker 20 may start one without its volumes when another's cannot be mounted.
        whole = Command(f"[ -d {self.product} ]" if self._staged else ":", timeout=API_TIMEOUT)
        if self._main is None:
            self._await_init()
            status = self.run(whole).status
        else:
            status = self._await_answer(self._main, whole)
        if status != 0:
            raise InfrastructureError(f"the engine started {self.name} without its files")

    def _await_answer(self, shell: Shell, first: Command) -> int:
        try:
            return shell.run(first)
        except TimeoutError as error:
            raise InfrastructureError(f"the shell of {self.name} did not answer") from error
        except (ShellEndedError, OSError) as error:
            shell.drain(2.0)  # who cannot write may still have something to read
            said = shell.said.decode(errors="replace").strip()
            gone = self._gone()
            if said:
                reason = cannot_start(said) or f"its /bin/sh ended at once: {said}"
                raise CannotStartError(f"{of_image(self._spec.image)}{reason}") from error
            raise gone from error

    def _await_init(self) -> None:
        """Wait until its init system has come up: its shells come by exec, and none of them is its
        main process."""
        try:
            until_up(self.container)
            self._begin_shells(self._open_shell(self._spec.user))
        except (InfrastructureError, ShellEndedError, TimeoutError, OSError) as error:
            why = why_not_up(self.container, self._spec, error)
            text = f"{of_image(self._spec.image)}its init system did not come up: {why}"
            raise CannotStartError(text) from error

    def _open_shell(self, user: str) -> Shell:
        self._check()
        return self.container.open_shell(user)

    # --- ending ---

    def _end_hung(self, shell: Shell) -> str:
        # Among what an init system runs, the list does not tell what the command has begun.
        init = INIT in self._spec.privileges
        listed = [] if init else self._list_processes()
        hung = describe(listed)
        try:
            # Among so many as a fork bomb's, nothing of ours gets its turn.
            if shell.process is None or len(listed) > self._spec.pids // 2:
                raise TimeoutError
            self.container.end_process(shell.process, DIES_WITHIN)
            shell.wait(monotonic() + DIES_WITHIN)
        except (InfrastructureError, TimeoutError, ShellEndedError, OSError):
            self._stopped = self._stopped or "was stopped by a timeout"
            # At once: Podman waits for its end, and its end may wait for us to read.
            killing = Thread(target=self._halt, daemon=True)
            killing.start()
            shell.drain(2.0)
            killing.join(SHORT_TIMEOUT)
        else:
            self._shells.give_back(shell)
        return hung

    def _halt(self) -> None:
        calling = self.container.calling("kill", SHORT_TIMEOUT)
        with contextlib.suppress(Exception), calling as client:  # it may have ended
            client.kill(self.container.id)

    def _drop(self, shell: Shell) -> None:
        if shell is self._main:
            self.kill()  # the machine's main process cannot be replaced
            return
        if shell.process is not None:
            with contextlib.suppress(Exception):
                self.container.end_process(shell.process)
        super()._drop(shell)

    def _why_ended(self, shell: Shell, until: float) -> MachineGoneError | None:  # noqa: ARG002
        if shell is not self._main and not self._stopped:
            with contextlib.suppress(InfrastructureError):
                # That another can be opened is the proof that the machine lives.
                self._open_shell(self._spec.user).stream.close()
                return None
        return self._gone()

    def _ask_oom_kills(self, shell: Shell, said: Answer) -> None:
        shell.ask(_OOM_KILLS, deadline=monotonic() + API_TIMEOUT, output=said)

    def _gone(self) -> MachineGoneError:
        """Why it ended under our hands."""
        if self._stopped:
            return MachineGoneError(f"{self.name} {self._stopped}")
        self._stopped = "is gone"
        gone = self.container.why_gone(self._spec.memory)
        gone.choked = gone.choked and INIT not in self._spec.privileges
        return gone
