"""A guest as a machine: restored from a template, used over ssh, removed."""

from __future__ import annotations

import contextlib
import shlex
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import inf
from pathlib import Path
from threading import Lock, Thread
from time import monotonic
from typing import IO, BinaryIO

from distromatrix.engines.answer import LONGEST, Answer
from distromatrix.engines.contract import API_TIMEOUT, Address, MachineSpec
from distromatrix.engines.guest.console import panic, said_last, size
from distromatrix.engines.guest.machine import DIES_WITHIN, GuestMachine
from distromatrix.engines.guest.scripts import (
    BOOT,
    CGROUP,
    GOES_DOWN,
    KILL_ALL,
    RESTART,
    begin,
    crowded,
    of_commands,
)
from distromatrix.engines.parcel import FILL
from distromatrix.engines.shell.processes import Process
from distromatrix.engines.shell.shell import Shell
from distromatrix.engines.vagrant.disk_files import read_dead
from distromatrix.engines.vagrant.ssh import Connection, loop_script
from distromatrix.errors import InfrastructureError, MachineGoneError
from distromatrix.files.lock import hold
from distromatrix.model import Kept

_STOPPED = "stopped"  # a file beside it: its processes were ended
_ANSWERS_WITHIN = 15.0  # seconds, as all here where the machine is fast
_DOWN_WITHIN = 30.0
_UP_AGAIN_WITHIN = 75.0
# GNU tar's status where a file was written to meanwhile, which then is as long as it said.
_OR_CHANGED = " || [ $? = 1 ]"
_LOOKS = 0.5  # seconds between two looks at its console


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenGuest:
    """Where an open guest is: its `folder`, its disks, its console's log, how much longer things
    take in it, and what asks after its domain and ends that; neither raises."""

    folder: Path
    disks: tuple[Path, ...]
    console: Path
    scale: float
    alive: Callable[[], bool]
    end: Callable[[], None]


class VagrantMachine(GuestMachine):
    """One guest. `connection` stands; `owned`: it is ours to remove, by `remove`."""

    def __init__(
        self,
        spec: MachineSpec,
        guest: OpenGuest,
        connection: Connection,
        *,
        staged: bool,
        owned: bool = True,
        env: Mapping[str, str] | None = None,
        remove: Callable[[], None] = lambda: None,
    ) -> None:
        super().__init__(spec, staged=staged, owned=owned, scale=guest.scale, env=env)
        self._guest = guest
        self._connection = connection
        self._remove = remove
        self._dead = False  # its domain was ended
        self._boot = ""  # the kernel's name for this boot
        self._restarting = Lock()

    @property
    def address(self) -> Address:
        """See Machine."""
        return self._address_of(self._guest.folder.name)

    def has_variables(self, env: Mapping[str, str]) -> None:
        """Every command sees these, as it does in a container of its image."""
        self._env = dict(env)

    def begin(self, boot: str = "") -> None:
        """Open a shell, and hear it answer. `boot`: what BOOT says in it, where that is known.
        Raises InfrastructureError."""
        self._boot = boot or self._told(BOOT)
        self._shells.give_back(self._shells.take())
        self._note_disks()
        Thread(target=self._watch, name=f"{self.name} console", daemon=True).start()

    def _told(self, script: str) -> str:
        said = Answer()
        self.as_root(script, output=said)
        return str(said)

    def _open_shell(self, user: str) -> Shell:
        self._check()
        shell = Shell(self._connection.stream(loop_script(user, CGROUP)))
        try:
            shell.begin(self.name, _ANSWERS_WITHIN * self._scale)
        except InfrastructureError as error:
            raise self.why_gone() or error from error
        return shell

    def _disks(self) -> tuple[Path, ...]:
        return self._guest.disks

    def _of_commands(self, listed: Sequence[Process]) -> Sequence[Process]:
        return of_commands(listed)

    # --- files ---

    def _feed(self, script: str, data: BinaryIO, within: float = LONGEST) -> None:
        self._send(data, script, within * self._scale)

    def put_product(self, tar: IO[bytes], path: str) -> None:
        """A parcel's tar, as it is to lie there. Raises InfrastructureError."""
        where = shlex.quote(path)
        self._send(tar, f"tar -xpf - -C {where} && cd {where} && b= && {FILL}")

    def _send(self, tar: IO[bytes], script: str, within: float = LONGEST) -> None:
        status, said = self._connection.send(_pieces(tar), script, within=within)
        if status == 0:
            return
        if "No space left" in said or "Wrote only" in said:
            raise InfrastructureError(
                f"what is put into {self.name} is bigger than its disk{self._disk_words()}",
                transient=False,
            )
        last = said.splitlines()[-1] if said else f"status {status}"
        raise self.why_gone() or InfrastructureError(f"cannot put files into {self.name}: {last}")

    def _disk_words(self) -> str:
        with contextlib.suppress(InfrastructureError, ValueError, IndexError):
            words = self._told("df -Pk /").splitlines()[-1].split()
            return f", which has {int(words[1]) // 1024} MiB"
        return ""

    def get(self, path: str) -> Iterable[bytes]:
        """See Machine. Of one whose domain was ended, from its disk. Raises FileNotFoundError,
        InfrastructureError."""
        if self._closed and self._kept is None:
            raise MachineGoneError(f"{self.name} {self._stopped}")
        if self._dead or not (self._connection.is_open() or self._guest.alive()):
            return read_dead(self._guest.disks[0], path, self.name, self._guest.folder)
        where = shlex.quote(path)
        there = f"[ -e {where} ] || [ -L {where} ] || exit 44"
        status, said = self._connection.send(iter(()), there)
        if status == 44:
            raise FileNotFoundError(f"{self.name}:{path}")
        if status != 0:
            raise self.why_gone() or InfrastructureError(
                f"cannot get files from {self.name}: {said or f'status {status}'}"
            )
        parent, _, last = path.rstrip("/").rpartition("/")
        tar = f"tar -cf - -C {shlex.quote(parent or '/')} -- {shlex.quote(last or '.')}"
        return self._connection.receive(tar + _OR_CHANGED)

    # --- its end ---

    def _halt(self) -> None:
        """End what runs in it; the guest only where that cannot be done."""
        if self._dead:
            return
        with contextlib.suppress(OSError):
            (self._guest.folder / _STOPPED).touch()
        try:
            self._kill_all()
        except InfrastructureError:
            self._die()

    def _is_crowded(self) -> bool:
        # Not by a shell of ours: these are in the commands' group.
        script, within = crowded(self._spec.pids), DIES_WITHIN * self._scale
        return self._connection.send(iter(()), script, within=within)[0] == 0

    def _kill_all(self) -> None:
        # Not as an argument: it looks for processes whose command has its words.
        within = DIES_WITHIN * self._scale
        script = iter([KILL_ALL.encode()])
        status, said = self._connection.send(script, "exec /bin/sh -s", within=within)
        if status:
            raise InfrastructureError(f"what runs in {self.name} cannot be ended: {said}")

    def _end_left(self) -> None:
        self._kill_all()
        self._fresh_shells()

    def _die(self) -> None:
        self._dead = True
        self._guest.end()

    def keep(self) -> Kept:
        """See Machine. Raises InfrastructureError, also where it was only joined."""
        self._check_owned("keep")
        if self._kept is not None:
            return self._kept
        self._kept = self._note_kept(self._guest.folder)
        self.name = self._kept.name
        self._stop("was kept")
        return self._kept

    def close(self) -> None:
        """See Machine."""
        if self._closed:
            return
        self._closed = True
        self._stop("was closed")
        self._close_shells()
        if self._kept is not None or not self._owned:
            return
        self._connection.close()
        with contextlib.suppress(Exception):
            self._remove()

    def _stop(self, why: str) -> None:
        self._stopped = self._stopped or why
        for shells in (self._shells, self._root_shells):
            shells.shutdown()

    # --- its restart ---

    def reboot(self) -> None:
        """See Machine. Raises MachineGoneError, InfrastructureError."""
        self._check()
        with self._restarting:
            boot = self._boot
            self.as_root(RESTART)
            self._come_up(inf)
            if self._boot == boot:
                raise InfrastructureError(f"{self.name} did not restart")

    def restarted(self, until: float = inf) -> bool:
        """See GuestMachine: by `distromatrix-reboot`, or by a plain `reboot`."""
        boot = self._boot
        with self._restarting:
            if self._boot == boot and self._goes_down():
                time.sleep(_LOOKS)  # a guest that is switched off ends some moments later
                if self._lives():
                    self._come_up(until)
            return self._boot != boot

    def _goes_down(self) -> bool:
        """Whether it may be on its way to another boot; its connection is lost then."""
        if self._stopped or self._is_stopped():
            return False
        status, _ = self._connection.send(iter(()), GOES_DOWN, within=API_TIMEOUT * self._scale)
        if status == 0:
            self._connection.wait_lost(_DOWN_WITHIN * self._scale)
        return status == 0 or not self._connection.is_open()

    def _come_up(self, until: float) -> None:
        """Wait until it answers again, in another boot or, where its sshd alone was ended, in the
        same one. Raises InfrastructureError where it does not."""
        within = (_DOWN_WITHIN + _UP_AGAIN_WITHIN) * self._scale
        deadline = min(until, monotonic() + within)
        with hold(self._guest.folder / "restart.lock"):
            while (boot := self._now_booted()) in ("", self._boot):
                if boot and not self._goes_down():
                    self._fresh_shells()  # which were the connection's that was lost
                    return
                if monotonic() > deadline or not self._lives():
                    raise self.why_gone() or InfrastructureError(
                        f"{self.name} did not come up again after its restart"
                        f"{said_last(self._guest.console)}"
                    )
            self._fresh_shells()
            self._boot = boot

    def _now_booted(self) -> str:
        """What it says of its boot, made ready where it is another; '' where it is silent."""
        if not self._connection.is_open():
            with contextlib.suppress(TimeoutError):
                self._connection.open(2.0 * self._scale)
        within = API_TIMEOUT * self._scale
        status, said = self._connection.send(iter(()), f"{BOOT} >&2", within=within)
        if status != 0 or said == self._boot:
            return said if status == 0 else ""
        begun = self._connection.send(iter(()), begin(self._spec.pids), within=within)
        return said if begun[0] == 0 else ""

    # --- what became of it ---

    def _lives(self) -> bool:
        return self._guest.alive() and not panic(self._guest.console)

    def _is_stopped(self) -> bool:
        return not self._guest.folder.exists() or (self._guest.folder / _STOPPED).exists()

    def why_gone(self) -> MachineGoneError | None:
        """See GuestMachine: with its console's last words."""
        if self._stopped:
            return MachineGoneError(f"{self.name} {self._stopped}")
        if fatal := panic(self._guest.console):
            return MachineGoneError(f"the kernel of {self.name} gave up: {fatal}")
        if self._is_stopped():
            return MachineGoneError(f"{self.name} was stopped or removed from outside")
        if self._connection.is_open():
            return None
        said = said_last(self._guest.console)
        return MachineGoneError(f"the connection to {self.name} was lost{said}")

    def _watch(self) -> None:
        """A kernel that gave up says so on its console, and else nothing: end who waits."""
        seen = 0
        while not self._stopped:
            if (now := size(self._guest.console)) != seen:
                seen = now
                if fatal := panic(self._guest.console):
                    self._stop(f"is gone: its kernel gave up: {fatal}")
                    self._die()
            time.sleep(_LOOKS)


def _pieces(tar: IO[bytes]) -> Iterator[bytes]:
    while piece := tar.read(1 << 18):
        yield piece
