"""What all guests have in common as machines: commands through shells that are kept open, files
as tar streams through them, and a restart that a suite asks for."""

from __future__ import annotations

import contextlib
import io
import shlex
from abc import abstractmethod
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from math import inf
from pathlib import Path
from queue import Empty, Queue
from threading import Event, Thread
from time import monotonic
from typing import BinaryIO

from distromatrix.engines.answer import LONGEST, MOST_LISTED, Answer
from distromatrix.engines.change_scripts import CARRIED_WITHIN, removing, unpacking
from distromatrix.engines.changes import Changes
from distromatrix.engines.contract import (
    API_TIMEOUT,
    Command,
    Exit,
    LeftSignal,
    OnOutput,
)
from distromatrix.engines.guest.disk import bytes_of
from distromatrix.engines.guest.facts import change_facts
from distromatrix.engines.shell.machine import ShellMachine
from distromatrix.engines.shell.pool import KILL, MOST, Shells
from distromatrix.engines.shell.process_list import LIST, processes
from distromatrix.engines.shell.processes import Process
from distromatrix.engines.shell.shell import Shell, ShellEndedError
from distromatrix.errors import InfrastructureError, MachineGoneError
from distromatrix.model import Kept

REBOOT_COUNT = "DISTROMATRIX_REBOOT_COUNT"
DIES_WITHIN = 15.0  # seconds that killed processes have to end; then the guest is ended
_MISSING = 44  # the status of our own scripts for what is not there
# How often the kernel has killed for memory: vmstat of proc(5), since Linux 4.13. By the shell
# itself: its programs are the product's.
_OOM_KILLS = 'while read -r k v; do if [ "$k" = oom_kill ]; then echo "$v"; fi; done </proc/vmstat'

# All that is on its disks, but for what lies on none.
_FILES = """cd / && set --
for one in * .[!.]*; do
  case $one in proc | sys | dev | run) continue ;; esac
  [ ! -e "$one" ] && [ ! -L "$one" ] || set -- "$@" "./$one"
done
exec {busybox} tar -cf - "$@"
"""


class _RestartedError(Exception):
    """The machine was restarted under a command, as that had asked for."""


class GuestMachine(ShellMachine):
    """A guest, as a Machine. What differs between engines is abstract."""

    most_root_shells = MOST  # for what the engine runs
    _disk_begun = 0  # bytes of its disks when it was opened
    _kept: Kept | None = None

    # --- what an engine gives ---

    @abstractmethod
    def _end_left(self) -> None:
        """End all that commands have left running, their shells with it where need be. Raises
        InfrastructureError."""

    @abstractmethod
    def restarted(self, until: float = inf) -> bool:
        """Whether it went, or is about to go, down for a restart that was asked for inside; then
        it is up again when this returns, no later than `until` of time.monotonic(). Raises
        InfrastructureError."""

    @abstractmethod
    def why_gone(self) -> MachineGoneError | None:
        """Why it has ended; None as long as it lives."""

    @abstractmethod
    def _feed(self, script: str, data: BinaryIO, within: float = LONGEST) -> None:
        """Run a root's script that reads files from its stdin, which is that, for so many seconds
        at the most, as the machine counts them. Raises InfrastructureError, also where it
        fails."""

    def _is_crowded(self) -> bool:
        """Whether as many processes run as a fork bomb's, among which nothing of ours gets its
        turn."""
        return False

    def _of_commands(self, listed: Sequence[Process]) -> Sequence[Process]:
        """Of all its processes, those that commands have begun."""
        return listed

    @property
    def busybox(self) -> str:
        """What calls the programs that we need in the guest: '' for its own."""
        return ""

    # --- Machine ---

    def run(self, command: Command) -> Exit:
        """See Machine. A script that restarts the guest is begun anew after it, within the same
        timeout, with `DISTROMATRIX_REBOOT_COUNT` one higher. Raises MachineGoneError,
        InfrastructureError."""
        started, count, now = monotonic(), 0, command
        while True:
            try:
                return self._run(now, started)
            except _RestartedError:
                count += 1
                left = command.timeout and max(0.1, command.timeout - (monotonic() - started))
                env = {**command.env, REBOOT_COUNT: str(count)}
                now = replace(command, env=env, timeout=left)

    def _list_processes(self) -> Sequence[Process]:
        said = Answer(MOST_LISTED)
        listed = self.as_root(LIST, output=said, within=10.0) == 0
        return self._of_commands(processes(bytes(said))) if listed else ()

    def put(self, tar: bytes | BinaryIO, path: str) -> None:
        """See Machine. Raises FileNotFoundError, InfrastructureError."""
        self._check()
        if self.as_root(f"[ -d {shlex.quote(path)} ] || exit {_MISSING}") == _MISSING:
            raise FileNotFoundError(f"{self.name}:{path}")
        data = io.BytesIO(tar) if isinstance(tar, bytes) else tar
        data.seek(0)
        self._feed(f"exec {self.busybox} tar -xpf - -C {shlex.quote(path)}", data)

    def take(self, changes: Changes) -> None:
        """See Machine. Raises InfrastructureError."""
        self._check()
        scripts = (removing(self.busybox), unpacking(self.busybox))
        for script, data in zip(scripts, (changes.gone, changes.there), strict=True):
            data.seek(0)
            self._feed(script, data, CARRIED_WITHIN)

    def get(self, path: str) -> Iterable[bytes]:
        """See Machine. Raises FileNotFoundError, InfrastructureError."""
        quoted = shlex.quote(path)
        folder, _, name = path.rstrip("/").rpartition("/")
        there = f"[ -e {quoted} ] || [ -L {quoted} ] || exit {_MISSING}"
        if self.as_root(there) == _MISSING:
            raise FileNotFoundError(f"{self.name}:{path}")
        script = (
            f"{self.busybox} tar -cf - -C {shlex.quote(folder or '/')} {shlex.quote(name or '.')}"
        )
        return self._stream(script, path)

    def _stream(self, script: str, path: str) -> Iterator[bytes]:
        """What a root's command prints, as it comes."""
        pieces: Queue[bytes | BaseException | int] = Queue(maxsize=64)
        left = False

        def hand_on(data: bytes) -> None:
            if left:
                raise InterruptedError
            pieces.put(data)

        def read() -> None:
            try:
                pieces.put(self.as_root(script, output=hand_on, within=LONGEST))
            except BaseException as error:  # noqa: BLE001 - raised where it is read
                pieces.put(error)

        Thread(target=read, daemon=True, name="distromatrix-get").start()
        try:
            while True:
                try:
                    piece = pieces.get(timeout=API_TIMEOUT * self._scale)
                except Empty:
                    raise self.why_gone() or InfrastructureError(
                        f"{self.name} does not answer: getting {path}"
                    ) from None
                if isinstance(piece, BaseException):
                    raise piece
                if isinstance(piece, int):
                    if piece:
                        raise InfrastructureError(f"cannot get {path} from {self.name}")
                    return
                yield piece
        finally:
            left = True
            with contextlib.suppress(Exception):
                while not pieces.empty():
                    pieces.get_nowait()

    def files(self) -> Iterator[Iterable[bytes]]:
        """See Machine. Raises InfrastructureError."""
        self._check()
        yield self._stream(_FILES.format(busybox=self.busybox), "its files")

    def signal_left(self, signal: LeftSignal) -> bool:
        """See Machine."""
        if self._stopped:
            return False
        if signal == "KILL":
            try:
                self._end_left()
            except InfrastructureError:
                self.kill()
                return False
        return True

    def _disks(self) -> Sequence[Path]:
        """The files on this host that hold what it writes."""
        return ()

    def _note_disks(self) -> None:
        """What is there now is no suite's."""
        self._disk_begun = bytes_of(*self._disks())

    def disk_used(self) -> int | None:
        """See Machine."""
        disks = self._disks()
        return bytes_of(*disks) - self._disk_begun if disks and not self._stopped else None

    def kill(self, why: str = "was stopped") -> None:
        """See Machine."""
        super().kill(why)
        self._root_shells.shutdown()

    def _note_kept(self, folder: Path) -> Kept:
        """Write down in its folder that it stays. Raises InfrastructureError."""
        name = self._kept_name
        change_facts(folder, kept=True, name=name, product=self.product, env=self._env)
        return Kept(
            name=name,
            enter=f"distromatrix guests enter {name}",
            remove=f"distromatrix guests remove {name}",
            out=self.out,
        )

    def _close_shells(self) -> None:
        """Let go of all of them. Never raises."""
        for shells in (self._shells, self._root_shells):
            shells.close()

    # --- inside ---

    def as_root(
        self, script: str, *, output: OnOutput | None = None, within: float | None = API_TIMEOUT
    ) -> int:
        """The status of a script of ours. Raises InfrastructureError."""
        shell = self._root_shells.take()
        timeout = None if within is None else within * self._scale
        try:
            status = shell.run(Command(script, timeout=timeout, output=output))
        except (TimeoutError, ShellEndedError, OSError) as error:
            self._root_shells.drop(shell)
            raise self.why_gone() or InfrastructureError(
                f"{self.name} does not answer: {script.partition(chr(10))[0][:80]}"
            ) from error
        except BaseException:
            self._root_shells.drop(shell)
            raise
        self._root_shells.give_back(shell)
        return status

    def _end_hung(self, shell: Shell) -> str:
        """End the command that a shell runs; what does not end takes the machine with it: nor
        does a guest that answers no more outlive a timeout for long."""
        hung, ended = "", Event()

        def end() -> None:
            nonlocal hung
            if self._is_crowded():
                self._halt()
                return
            hung = self.running()
            self._await_begun(shell)
            if self._end_process(shell):
                ended.set()

        ending = Thread(target=end, daemon=True, name="distromatrix-end")
        ending.start()
        ending.join(DIES_WITHIN * self._scale)
        if ended.is_set():
            with contextlib.suppress(TimeoutError, ShellEndedError, OSError):
                shell.wait(monotonic() + DIES_WITHIN * self._scale)
                self._shells.give_back(shell)
                return hung
        self._stopped = self._stopped or "was stopped by a timeout"
        self._halt()
        self._shells.drop(shell)
        return hung

    def _await_begun(self, shell: Shell) -> None:
        """Under emulation, a command may not have begun when its time is over."""
        deadline = monotonic() + DIES_WITHIN * self._scale
        with contextlib.suppress(ShellEndedError, OSError):
            while shell.process is None and monotonic() < deadline:
                with contextlib.suppress(TimeoutError):
                    shell.wait(monotonic() + 0.1)
                    return

    def _end_process(self, shell: Shell) -> bool:
        """Kill what it runs, with all that descends from it."""
        if shell.process is None:
            return False
        with contextlib.suppress(InfrastructureError):
            return self.as_root(f"set -- {shell.process}\n{KILL}", within=DIES_WITHIN) == 0
        return False

    def _drop(self, shell: Shell) -> None:
        self._end_process(shell)
        super()._drop(shell)

    def _why_ended(self, shell: Shell, until: float) -> MachineGoneError | None:  # noqa: ARG002
        if self._stopped:
            return MachineGoneError(f"{self.name} {self._stopped}")
        if self.restarted(until):
            raise _RestartedError
        if gone := self.why_gone():
            self._stopped = "is gone"
        return gone

    def _ask_oom_kills(self, shell: Shell, said: Answer) -> None:
        shell.ask(_OOM_KILLS, deadline=monotonic() + API_TIMEOUT * self._scale, output=said)

    def _fresh_shells(self) -> None:
        """Forget all shells: the guest is another boot's."""
        self._close_shells()
        self._begin_shells()
        self._oom_kills = 0

    def _begin_shells(self, first: Shell | None = None) -> None:
        super()._begin_shells(first)
        self._root_shells = Shells(lambda: self._open_shell("root"), most=self.most_root_shells)
