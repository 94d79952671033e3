"""A direct guest: QEMU, the distribution's own kernel, and shells on virtio-serial ports."""

from __future__ import annotations

import contextlib
import shlex
import shutil
import socket
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from math import inf
from pathlib import Path
from threading import Lock, Thread
from typing import BinaryIO

from distromatrix.engines.answer import LONGEST, Answer
from distromatrix.engines.contract import API_TIMEOUT, Address, Command
from distromatrix.engines.guest.console import last_bytes
from distromatrix.engines.guest.facts import folder_in_run
from distromatrix.engines.guest.machine import DIES_WITHIN, GuestMachine
from distromatrix.engines.guest.programs import become
from distromatrix.engines.guest.ready import DONE
from distromatrix.engines.guest.scripts import CGROUP, crowded, written
from distromatrix.engines.parcel import ids_of
from distromatrix.engines.qemu.guest import BUSYBOX, EARLIER, QemuGuest
from distromatrix.engines.qemu.ports import (
    DATA,
    FIRST_SHELL,
    ROOT_SHELLS,
    USER_SHELLS,
    Lent,
    PortSlots,
    connect_in,
    ports_of,
    socket_name,
)
from distromatrix.engines.qemu.process import CONSOLE, OVERLAY, Memory
from distromatrix.engines.shell.homes import home_found, home_made
from distromatrix.engines.shell.pool import KILL, KILL_OTHERS
from distromatrix.engines.shell.shell import Shell, ShellEndedError
from distromatrix.errors import InfrastructureError, MachineGoneError
from distromatrix.files.whole import give_to_caller
from distromatrix.model import Kept

_WAIT = 10.0  # seconds for a shell's ports, where others have all of them
LOOP_FILE = "/distromatrix/guest/loop.sh"
_PIPED = "/distromatrix/guest/piped"
# Their group first, at once; then who has left it.
_END_LEFT = f"""if {{ echo 1 >{CGROUP}/cgroup.kill; }} 2>/dev/null; then
  for try in 1 2 3 4 5 6 7 8 9; do
    read -r _ populated <{CGROUP}/cgroup.events
    [ "$populated" != 0 ] || break
    {BUSYBOX} sleep 0.1
  done
fi
{KILL_OTHERS}"""


@dataclass(frozen=True, slots=True)
class SavedGuest:
    """A guest that has booted, saved, in which a shell of root's is open at FIRST_SHELL's ports:
    machines start from here. `token` and `process` as `Lent` has them."""

    folder: Path
    token: str = ""
    process: int = 0

    @property
    def ram(self) -> Path:
        """Its memory."""
        return self.folder / "ram"

    @property
    def state(self) -> Path:
        """The rest of its state."""
        return self.folder / "state"

    @property
    def overlay(self) -> Path:
        """An empty overlay, to be copied, over its disk as it was when it was saved."""
        return self.folder / "empty.qcow2"

    def spoil(self) -> None:
        """QEMU does not take it: it is made anew when it is wanted again."""
        (self.folder / DONE).unlink(missing_ok=True)


class QemuMachine(GuestMachine):
    """A guest that runs, as a Machine: shells on its ports, files through them."""

    most_shells, most_root_shells = USER_SHELLS, ROOT_SHELLS

    def __init__(
        self, guest: QemuGuest, *, staged: bool, env: Mapping[str, str] | None = None
    ) -> None:
        super().__init__(guest.spec, staged=staged, scale=guest.scale, env=env)
        self.guest = guest
        self.data_lock = Lock()  # of the port for data
        self.closing = contextlib.ExitStack()  # what is done when it is let go of
        self._slots = PortSlots()
        self._restarting = Lock()
        self._boots = 0
        self._reader: QemuMachine | None = None  # of what one that was killed has left

    @property
    def folder(self) -> Path:
        """Where all of it lies."""
        return self.guest.folder

    @property
    def address(self) -> Address:
        """See Machine."""
        return self._address_of(str(self.folder))

    @property
    def busybox(self) -> str:
        """See GuestMachine: the guest's own may know less, or not be there."""
        return BUSYBOX

    def _show_console(self) -> None:
        """Let what its console has shown stay in the cell's folder, where there is one."""
        if (folder := folder_in_run(self._spec.labels, "qemu")) is None:
            return
        with contextlib.suppress(OSError):
            folder.mkdir(parents=True, exist_ok=True)
            with (folder / CONSOLE).open("ab") as shown:
                for name in (EARLIER, CONSOLE):
                    shown.write(last_bytes(self.folder / name))
            give_to_caller(folder / CONSOLE)

    def lend(self, user: str) -> Lent:
        """A shell in which LOOP reads already. Raises MachineGoneError, InfrastructureError."""
        if (slot := self._slots.take(_WAIT)) is None:
            raise InfrastructureError(f"{self.name}: too many shells at once")
        out, err = ports_of(slot)
        lent: Lent | None = None
        try:
            ends = (connect_in(self.folder, socket_name(n), within=1.0) for n in (out, err))
            lent = Lent(*ends, slot=slot)
            lent.process = self._begin_loop(out, err, user, lent.token)
            Shell(lent).run(Command(":", timeout=API_TIMEOUT * self._scale))
        except (TimeoutError, ShellEndedError, OSError, ValueError, InfrastructureError) as error:
            if lent is not None:
                self.take_back(lent)
            else:
                self._slots.give_back(slot)
            self.guest.ended.wait(0.5)  # that it has is known some moments later
            raise self.why_gone() or InfrastructureError(
                f"a shell in {self.name} did not answer"
            ) from error
        return lent

    def restore(self, saved: SavedGuest) -> None:
        """Start its guest from a saved state, with the shell that is open there. Raises
        InfrastructureError."""
        slot = self._slots.take()
        assert slot == FIRST_SHELL  # noqa: S101 - nothing else has run
        memory = Memory(file=saved.ram, shared=False, saved=saved.state)
        out, err = self.guest.restore(memory, *ports_of(slot))
        lent = Lent(out, err, slot=slot, token=saved.token)
        lent.process, lent.on_close = saved.process, self.take_back
        (self._shells if self._spec.user == "root" else self._root_shells).add(Shell(lent))
        try:
            lent.send(f"HOSTNAME={self.guest.host}\n".encode())
        except OSError as error:
            raise self.why_gone() or InfrastructureError(
                f"a shell in {self.name} takes no commands: {error}"
            ) from error

    def begin(self) -> None:
        """It is as its suite is to have it."""
        self._note_disks()

    def _disks(self) -> tuple[Path, ...]:
        return tuple(self.folder / name for name in (OVERLAY, CONSOLE, EARLIER))

    def take_back(self, lent: Lent) -> None:
        """End a lent shell; its ports are free again. Never raises."""
        lent.let_go()
        if lent.process and not self.guest.ended.is_set() and not self._closed:
            with contextlib.suppress(InfrastructureError):
                self.guest.tell(f"set -- {lent.process}\n{KILL}", within=10.0)
        self._slots.give_back(lent.slot)

    def _begin_loop(self, out: int, err: int, user: str, token: str) -> int:
        """Begin LOOP at two ports. When it ends, it says the token. Returns the process that
        all of it descends from."""
        uid, gid = ids_of(user)
        program = f"/distromatrix/guest/become-{uid}-{gid}"
        made = "" if uid == gid == 0 else write_program(program, become(uid, gid))
        home = "/" if uid else "/root"
        loop = shlex.quote(f"{home_found(user)}. {LOOP_FILE}")
        # The first redirection fails as long as a shell before holds the port.
        script = f"""set -- /dev/vport*p{out}; o=$1; set -- /dev/vport*p{err}; e=$1
export HOME={home} HOSTNAME; read -r HOSTNAME </proc/sys/kernel/hostname; unset OLDPWD
begun=/distromatrix/guest/{token}
{made}
{home_made(user, BUSYBOX)}
(echo 0 >{CGROUP}/cgroup.procs; cd /; i=0; while [ $i -lt 50 ]; do
i=$((i+1)); (: >$begun; {program} {_PIPED} /bin/sh -c {loop}; echo {token}) <>$o 1>&0 2<>$e
[ ! -e $begun ] || break
{BUSYBOX} sleep 0.1
done) >/dev/null 2>&1 &
echo $!"""
        said = Answer()
        self.guest.tell(script, output=said)
        return int(bytes(said))

    def _open_shell(self, user: str) -> Shell:
        lent = self.lend(user)
        lent.on_close = self.take_back
        return Shell(lent)

    def _feed(self, script: str, data: BinaryIO, within: float = LONGEST) -> None:
        with self.data_lock:
            try:
                line = connect_in(self.folder, socket_name(DATA), within=1.0)
            except OSError as error:
                self.guest.ended.wait(0.5)
                raise self.why_gone() or InfrastructureError(
                    f"{self.name} takes no files: {error}"
                ) from error
            send_all(self, line, data, script, within)

    def get(self, path: str) -> Iterable[bytes]:
        """See Machine. Of one that was killed, by a boot that runs nothing of it."""
        if self.guest.ended.is_set():
            return self._from_disk(lambda reader: reader.get(path))
        return super().get(path)

    def files(self) -> Iterator[Iterable[bytes]]:
        """See Machine; as `get`."""
        if self.guest.ended.is_set():
            yield self._from_disk(lambda reader: next(reader.files()))
        else:
            yield from super().files()

    def _from_disk(self, read: Callable[[QemuMachine], Iterable[bytes]]) -> Iterable[bytes]:
        self._end_reader()
        guest = self.guest.without_product()
        self._reader = reader = QemuMachine(guest, staged=self._staged)
        try:
            guest.boot_again()  # what the console has shown stays
            return _until_read(read(reader), self._end_reader)
        except BaseException:  # also where there is no such path
            self._end_reader()
            raise

    def _end_reader(self) -> None:
        reader, self._reader = self._reader, None
        if reader is not None:
            reader.guest.end()
            reader.leave()

    def _halt(self) -> None:
        """Its files go to its disk if it can still do that."""
        if not self.guest.ended.is_set():
            with contextlib.suppress(Exception):
                self.guest.tell(f"{BUSYBOX} sync", within=2.0)
        self.guest.end()

    def _ask_oom_kills(self, shell: Shell, said: Answer) -> None:  # noqa: ARG002
        # In the commands' group there may be no place for one more. And a shell that is emulated
        # takes its time for a file that it reads byte by byte.
        self.guest.tell(f"{BUSYBOX} grep '^oom_kill ' /proc/vmstat || :", output=said)

    def _is_crowded(self) -> bool:
        # By the control shell itself, which is in no group.
        script = crowded(self._spec.pids)
        with contextlib.suppress(InfrastructureError):
            return self.guest.tell(script, within=DIES_WITHIN, here=True) == 0
        return True

    def _end_left(self) -> None:
        if self.guest.tell(_END_LEFT, within=DIES_WITHIN):
            raise InfrastructureError(f"what runs in {self.name} cannot be ended")
        self._fresh_shells()
        self._slots = PortSlots()

    def restarted(self, until: float = inf) -> bool:  # noqa: ARG002 - its boot has a bound
        """See GuestMachine."""
        boots = self._boots
        if not self.guest.wants_restart():
            return False
        with self._restarting:
            if self._boots == boots and not self._closed:
                self._boot_again()
        return True

    def _boot_again(self) -> None:
        self.guest.quit()
        self._fresh_shells()
        self._slots = PortSlots()
        self.guest.boot_again()
        self._boots += 1

    def reboot(self) -> None:
        """See Machine. Raises InfrastructureError."""
        self._check()
        with self._restarting:
            with contextlib.suppress(InfrastructureError):
                self.guest.tell(f"{BUSYBOX} sync")
            self._boot_again()

    def why_gone(self) -> MachineGoneError | None:
        """See GuestMachine."""
        return self.guest.why_gone()

    # --- its end ---

    def keep(self) -> Kept:
        """See Machine. Raises InfrastructureError."""
        if self._kept is None:
            folder = self.folder.with_name(self._kept_name)
            try:
                self.folder.rename(folder)
            except OSError as error:
                raise InfrastructureError(f"cannot keep {self.name}: {error}") from error
            self._kept = self._note_kept(folder)
            self.guest.folder = folder
            self._closed = True
            self._stopped = self._stopped or "was kept"
        return self._kept

    def leave(self) -> None:
        """Let go of its ports, of which whoever enters a kept one needs some. Never raises."""
        self._close_shells()
        self.guest.let_go()
        self.closing.close()

    def close(self) -> None:
        """See Machine."""
        if self._closed:
            return
        self._closed = True
        self._stopped = self._stopped or "was closed"
        self._close_shells()
        with contextlib.suppress(Exception):
            self.guest.end()
            self._end_reader()
        self._show_console()
        self.guest.let_go()
        shutil.rmtree(self.folder, ignore_errors=True)
        self.closing.close()


def send_all(
    machine: GuestMachine, line: socket.socket, data: BinaryIO, script: str, within: float
) -> None:
    """See GuestMachine._feed: through the port for data. Raises InfrastructureError."""

    def send() -> None:
        with contextlib.suppress(OSError):
            while piece := data.read(1 << 18):
                line.sendall(piece)
            line.shutdown(socket.SHUT_WR)  # whoever reads the port finds its end there

    sender = Thread(target=send, daemon=True, name="distromatrix-put")
    said = Answer()
    script = f"set -- /dev/vport*p{DATA}; {{ {script}\n}} <$1"
    with line:
        sender.start()
        try:
            status = machine.as_root(script, output=said, within=within)
        finally:
            with contextlib.suppress(OSError):
                line.shutdown(socket.SHUT_RDWR)
            sender.join(10.0)
    if status:
        text = str(said)
        raise InfrastructureError(f"cannot put files into {machine.name}: {text}")


def _until_read(stream: Iterable[bytes], then: Callable[[], None]) -> Iterable[bytes]:
    try:
        yield from stream
    finally:
        then()


def write_program(path: str, content: bytes) -> str:
    """What writes a small program, unless it is there."""
    return f"[ -x {path} ] || {{ {written(path, content, BUSYBOX)}; }}"
