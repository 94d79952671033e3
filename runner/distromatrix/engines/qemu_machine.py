"""A direct guest: QEMU, the distribution's own kernel, and shells on virtio-serial ports."""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import shlex
import shutil
import socket
import subprocess
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from threading import Event, Lock, Thread
from typing import Any, BinaryIO

from distromatrix.engines import qemu_process
from distromatrix.engines.base import (
    API_TIMEOUT,
    LABEL_CELL,
    LABEL_FOLDER,
    Address,
    MachineSpec,
    OnOutput,
)
from distromatrix.engines.console import last_lines, panic, trouble
from distromatrix.engines.guest_machine import GuestMachine
from distromatrix.engines.guest_programs import become
from distromatrix.engines.qemu_disk import Disk
from distromatrix.engines.qemu_ports import (
    CONTROL,
    DATA,
    EVENTS,
    PortStream,
    Slots,
    connect_in,
    ports_of,
    socket_name,
)
from distromatrix.engines.qemu_process import CONSOLE, OVERLAY, QMP_SOCKET, Memory, Virtual
from distromatrix.engines.qmp import Qmp
from distromatrix.engines.shell import STDOUT, Shell, ShellEndedError
from distromatrix.engines.shells import KILL
from distromatrix.errors import CannotStartError, InfrastructureError, MachineGoneError
from distromatrix.model import Kept
from distromatrix.runs import give_to_caller

META = "machine.json"
KEPT = "distromatrix-kept-"
BUSYBOX = "/distromatrix/guest/busybox"
LOOP_FILE = "/distromatrix/guest/loop.sh"
_OURS = "distromatrix: "
_READY = f"{_OURS}ready"
EARLIER = "earlier.log"


class QemuMachine(GuestMachine):
    """One guest in its folder, which holds its disk's overlay, its sockets and its console.

    `boot` starts it from nothing, `restore` from a saved state."""

    def __init__(
        self,
        spec: MachineSpec,
        folder: Path,
        disk: Disk,
        virtual: Virtual,
        *,
        product: Path | None = None,
        held: tuple[int, ...] = (),
        scale: float = 1.0,
    ) -> None:
        super().__init__(spec, staged=product is not None, scale=scale)
        self.folder = folder
        self._disk = disk
        self._virtual = virtual
        self._product = product
        self._held = held
        self._at_close: list[Callable[[], None]] = []
        self._process: subprocess.Popen[bytes] | None = None
        self._qmp: Qmp | None = None
        self._control: Shell | None = None
        self._slots = Slots()
        self._lock = Lock()  # of the control port
        self.data_lock = Lock()  # of the port for data
        self._ended = Event()
        self._asked_restart = Event()
        self._restarting = Lock()
        self._boots = 0
        self._why = ""
        self._kept = False

    # --- its life ---

    def boot(self, memory: Memory | None = None) -> None:
        """Start it and hear its control shell answer. Raises CannotStartError,
        InfrastructureError."""
        self._start(memory)
        self._connect(API_TIMEOUT * self._scale)

    def restore(self, memory: Memory, ahead: str) -> None:
        """Start it in the state that was saved; it is the same guest, with another name, and
        other random numbers from here on. `ahead` is what `save` gave. Raises
        InfrastructureError."""
        assert memory.saved is not None  # noqa: S101
        with memory.saved.open("rb") as state:
            self._start(memory, state.fileno())
            qmp = self._qmp
            assert qmp is not None  # noqa: S101
            # Before it runs, so that it finds its ports as it left them.
            control = PortStream(connect_in(self.folder, socket_name(CONTROL)))
            self._watch_events()
            qmp("migrate-set-capabilities", capabilities=IGNORE_SHARED)
            qmp("migrate-incoming", uri=f"fd:{state.fileno()}")
            until = time.monotonic() + API_TIMEOUT * self._scale
            while (now := qmp("query-status")["status"]) == "inmigrate":
                if time.monotonic() > until:
                    raise InfrastructureError(f"{self.name}: its saved state does not load")
                time.sleep(0.002)
        if now != "running":
            qmp("cont")
        self._control = Shell(control, ahead)
        self._awaken()

    def _start(self, memory: Memory | None, *held: int) -> None:
        self._boots += 1
        self._ended.clear()
        self._asked_restart.clear()
        for stale in self.folder.glob("p[0-9]*"):
            stale.unlink(missing_ok=True)
        (self.folder / QMP_SOCKET).unlink(missing_ok=True)
        command = qemu_process.command_line(
            self.name,
            self._virtual,
            self._disk,
            memory=memory,
            product=self._product,
            network=self._spec.network,
        )
        self._process = qemu_process.start(command, self.folder, (*self._held, *held))
        try:
            self._qmp = Qmp(self.folder, QMP_SOCKET, self._on_event)
        except (OSError, InfrastructureError) as error:
            self._process.kill()
            self._process.wait()
            said = qemu_process.said(self.folder) or str(error)
            raise CannotStartError(f"QEMU does not start: {said}") from error

    def _connect(self, within: float) -> None:
        """Wait until the guest says that it is there."""
        until = time.monotonic() + within
        control = PortStream(connect_in(self.folder, socket_name(CONTROL)))
        self._watch_events()
        while _READY not in last_lines(self.console, 50):
            if self._ended.is_set() or time.monotonic() > until:
                gone = self.why_gone() or MachineGoneError(
                    f"{self.name}: the guest did not come up within {within:.0f} s; "
                    f"its console ends with: {' / '.join(last_lines(self.console, 3))}"
                )
                control.close()
                raise CannotStartError(str(gone))
            self._ended.wait(0.02)
        self._control = Shell(control)
        self._tell(":")

    def _watch_events(self) -> None:
        """Hear what the guest asks for."""
        events = connect_in(self.folder, socket_name(EVENTS))

        def watch() -> None:
            with contextlib.suppress(OSError), events, events.makefile("rb") as lines:
                for line in lines:
                    if line.strip() == b"reboot":
                        self._restart_now()

        Thread(target=watch, daemon=True, name="distromatrix-events").start()

    def _restart_now(self) -> None:
        """It has asked for a restart: put its files on the disk, and end it."""
        self._asked_restart.set()
        with contextlib.suppress(InfrastructureError):
            self._tell(f"{BUSYBOX} sync", within=API_TIMEOUT)
        self._quit()

    def _awaken(self) -> None:
        """Make a restored guest one of its own: time, name, random numbers."""
        name = shlex.quote(self._spec.hostname or self._spec.name[:63].rstrip("-."))
        mac = ":".join(f"{byte:02x}" for byte in (0x52, 0x54, 0, *os.urandom(3)))
        link = f"address {mac}" if self._spec.network else "down"
        script = f"""echo {os.urandom(64).hex()} >/dev/urandom
/distromatrix/guest/reseed || echo cannot reseed
{BUSYBOX} date -s @{time.time():.0f} >/dev/null
echo {name} >/proc/sys/kernel/hostname
[ ! -s /etc/machine-id ] || {{
read -r u </proc/sys/kernel/random/uuid; IFS=-; set -- $u; IFS=; echo "$*" >/etc/machine-id
}}
[ ! -e /sys/class/net/eth0 ] || {BUSYBOX} ip link set eth0 {link}"""
        said: list[bytes] = []
        if self._tell(script, output=said.append) or said:
            text = b"".join(said).decode(errors="replace").strip()
            raise InfrastructureError(f"{self.name}: cannot make it a guest of its own: {text}")

    def fill(self, size: int) -> None:
        """Give it its private copy of the product, whose tar has that many bytes, and the
        folder for what the suite leaves. Raises InfrastructureError."""
        user = "0:0" if self._spec.user == "root" else self._spec.user
        script = f"""b={BUSYBOX}
cd /distromatrix; $b mkdir -p out/artifacts
$b head -c {size} /dev/vdb | $b tar -xf - || exit
$b chown -R {user} product out"""
        said: list[bytes] = []
        if self._tell(script, output=said.append, within=10 * API_TIMEOUT):
            text = b"".join(said).decode(errors="replace").strip()
            if "No space left" in text:
                text = "the product is bigger than the guest's disk"
            raise InfrastructureError(f"{self.name}: {text}", transient=False)

    def save(self, state: Path) -> str:
        """Write what is not its RAM into that file, and end it. Its RAM is in the file that it
        was booted with. Returns what `restore` must know. Raises InfrastructureError."""
        qmp = self._qmp
        assert qmp is not None and self._process is not None  # noqa: S101
        self._tell(f"{BUSYBOX} sync")
        qmp("stop")
        qmp("migrate-set-capabilities", capabilities=IGNORE_SHARED)
        qmp("migrate", uri=f"exec:cat >{shlex.quote(str(state))}")
        until = time.monotonic() + 10 * API_TIMEOUT
        while (now := qmp("query-migrate"))["status"] != "completed":
            if now["status"] in ("failed", "cancelled") or time.monotonic() > until:
                raise InfrastructureError(f"the guest's state cannot be saved: {now}")
            time.sleep(0.01)
        assert self._control is not None  # noqa: S101
        ahead = self._control.ahead
        self._quit()
        return ahead

    # --- GuestMachine ---

    @property
    def address(self) -> Address:
        """See Machine."""
        return Address(
            name=self.name,
            id=str(self.folder),
            user=self._spec.user,
            product=self.product,
            out=self.out,
            memory=self._spec.memory,
        )

    @property
    def tar(self) -> str:
        """See GuestMachine: the guest's own may know less, or not be there."""
        return f"{BUSYBOX} tar"

    @property
    def console(self) -> Path:
        """What the guest's console has shown since its last boot."""
        return self.folder / CONSOLE

    def _show_console(self) -> None:
        """Let what its console has shown stay in the cell's folder, where there is one."""
        labels = self._spec.labels
        run, cell = labels.get(LABEL_FOLDER, ""), labels.get(LABEL_CELL, "")
        if not cell or not Path(run).is_dir():
            return
        folder = Path(run, "cells", *cell.split("/"), "guest", "qemu")
        with contextlib.suppress(OSError):
            folder.mkdir(parents=True, exist_ok=True)
            with (folder / CONSOLE).open("ab") as shown:
                for name in (EARLIER, CONSOLE):
                    if (self.folder / name).exists():
                        shown.write((self.folder / name).read_bytes())
            give_to_caller(folder / CONSOLE)

    def lend(self, user: str) -> Lent:
        """A shell in which LOOP reads already. Raises MachineGoneError, InfrastructureError."""
        if (slot := self._slots.take()) is None:
            raise InfrastructureError(f"{self.name}: too many shells at once")
        out, err = ports_of(slot)
        lent = Lent(*(connect_in(self.folder, socket_name(n)) for n in (out, err)), slot=slot)
        try:
            lent.process = self._begin_loop(out, err, user, lent.token)
            Shell(lent).run(":", deadline=time.monotonic() + API_TIMEOUT * self._scale)
        except (TimeoutError, ShellEndedError, OSError, InfrastructureError) as error:
            self.take_back(lent)
            raise self.why_gone() or InfrastructureError(
                f"a shell in {self.name} did not answer"
            ) from error
        return lent

    def take_back(self, lent: Lent) -> None:
        """End a lent shell; its ports are free again. Never raises."""
        lent.let_go()
        if lent.process and not self._ended.is_set() and not self._closed:
            with contextlib.suppress(InfrastructureError):
                self._tell(f"set -- {lent.process}\n{KILL}", within=10.0)
        self._slots.give_back(lent.slot)

    def _begin_loop(self, out: int, err: int, user: str, token: str) -> int:
        """Begin LOOP at two ports. When it ends, it says the token. Returns the process that
        all of it descends from."""
        uid, gid = (0, 0) if user == "root" else map(int, user.split(":"))
        program = f"/distromatrix/guest/become-{uid}-{gid}"
        made = "" if uid == gid == 0 else _write(program, become(uid, gid))
        home = "/" if uid else "/root"
        # The first redirection fails as long as a shell before holds the port.
        script = f"""set -- /dev/vport*p{out}; o=$1; set -- /dev/vport*p{err}; e=$1
export HOME={home} HOSTNAME; read -r HOSTNAME </proc/sys/kernel/hostname; unset OLDPWD
begun=/distromatrix/guest/{token}
{made}
(cd /; i=0; while [ $i -lt 50 ]; do
i=$((i+1)); (: >$begun; {program} /bin/sh {LOOP_FILE}; echo {token}) <>$o 1>&0 2<>$e
[ ! -e $begun ] || break
{BUSYBOX} sleep 0.1
done) >/dev/null 2>&1 &
echo $!"""
        said: list[bytes] = []
        self._tell(script, output=said.append)
        return int(b"".join(said))

    def _open_shell(self, user: str) -> Shell:
        self._check()
        lent = self.lend(user)
        lent.on_close = self.take_back
        return Shell(lent)

    def _tell(
        self, script: str, *, output: OnOutput | None = None, within: float = API_TIMEOUT
    ) -> int:
        """The status of a script of ours, run by the control shell: one at a time."""
        with self._lock:
            if self._control is None:
                raise self.why_gone() or MachineGoneError(f"{self.name} is gone")
            try:
                return self._control.run(
                    script,
                    deadline=time.monotonic() + within * self._scale,
                    output=output,
                    strict=False,
                )
            except (TimeoutError, ShellEndedError, OSError) as error:
                raise self.why_gone() or InfrastructureError(
                    f"{self.name} does not answer: {script.partition(chr(10))[0][:80]}"
                ) from error

    def _put(self, data: BinaryIO, size: int, path: str) -> None:
        with self.data_lock:
            send_all(self, connect_in(self.folder, socket_name(DATA)), data, size, path)

    def get(self, path: str) -> Iterable[bytes]:
        """See Machine. Of one that was killed, by a boot that runs nothing of it."""
        if self._ended.is_set():
            reader = QemuMachine(
                self._spec,
                self.folder,
                self._disk,
                self._virtual,
                held=self._held,
                scale=self._scale,
            )
            reader.boot()
            return _until_read(reader.get(path), reader.kill)
        return super().get(path)

    def _halt(self) -> None:
        """Its files go to its disk if it can still do that."""
        if not self._ended.is_set():
            with contextlib.suppress(Exception):
                self._tell(f"{BUSYBOX} sync", within=2.0)
        self._quit()

    def _quit(self) -> None:
        process, qmp = self._process, self._qmp
        if process is not None:
            process.kill()
            process.wait()
        self._ended.set()
        if qmp is not None:
            qmp.close()
        if self._control is not None:
            self._control.stream.shutdown()

    def _on_event(self, name: str, data: Any) -> None:
        if name == "BLOCK_IO_ERROR" and data.get("nospace"):
            self._why = "the disk of this host is full"
            self._quit()
        elif name == "SHUTDOWN":
            self._why = str(data.get("reason", ""))
        elif name == "":
            self._ended.set()

    def restarted(self) -> bool:
        """See GuestMachine."""
        boots = self._boots
        self._ended.wait(0.5 if not self._asked_restart.is_set() else API_TIMEOUT)
        if not self._ended.is_set() or not self._asks_for_restart():
            return False
        with self._restarting:
            if self._boots == boots and not self._closed:
                self._boot_again()
        return True

    def _asks_for_restart(self) -> bool:
        return self._asked_restart.is_set() or (self._why == "guest-reset" and not self._panic())

    def _boot_again(self) -> None:
        self._quit()
        self._fresh_shells()
        self._slots = Slots()
        self._why = ""
        self._mark_console()
        self.boot()
        name = shlex.quote(self._spec.hostname or self._spec.name[:63].rstrip("-."))
        self._tell(f"echo {name} >/proc/sys/kernel/hostname")

    def reboot(self) -> None:
        """Restart it, as a suite can by `distromatrix-reboot`. Raises InfrastructureError."""
        self._check()
        with self._restarting:
            with contextlib.suppress(InfrastructureError):
                self._tell(f"{BUSYBOX} sync")
            self._boot_again()

    def _mark_console(self) -> None:
        """QEMU truncates its console's file: what was in it stays in another."""
        with contextlib.suppress(OSError), (self.folder / EARLIER).open("ab") as log:
            log.write(self.console.read_bytes())

    def _panic(self) -> str:
        return panic(self.console) and (trouble(self.console) or panic(self.console))

    def _refused(self) -> str:
        """What our own first steps in it complained of."""
        said = [line for line in last_lines(self.console, 50) if line.startswith(_OURS)]
        return next((line.removeprefix(_OURS) for line in said if line != _READY), "")

    def why_gone(self) -> MachineGoneError | None:
        """See GuestMachine."""
        if not self._ended.is_set():
            return None
        return MachineGoneError(f"{self.name}{self._fate()}")

    def _fate(self) -> str:
        if self._why.startswith("the disk"):
            return f" was ended: {self._why}"
        if fatal := self._panic():
            return f": the guest's kernel gave up: {fatal}"
        if refused := self._refused():
            return f": the guest did not come up: {refused}"
        told = {"guest-shutdown": " has powered itself off", "guest-reset": " has restarted itself"}
        if self._why in told:
            return told[self._why]
        status = self._process.poll() if self._process else None
        if status is not None and status < 0:
            return ": its QEMU process was killed from outside"
        text = qemu_process.said(self.folder)
        return f" is gone: QEMU has ended{f': {text}' * bool(text)}"

    # --- its end ---

    def keep(self) -> Kept:
        """See Machine. Raises InfrastructureError."""
        if not self._closed:
            folder = self.folder.with_name(KEPT + self.name.removeprefix("distromatrix-"))
            try:
                self.folder.rename(folder)
                facts = json.loads((folder / META).read_text(encoding="utf-8"))
                facts = json.dumps({**facts, "kept": True})
                (folder / META).write_text(facts, encoding="utf-8")
            except OSError as error:
                raise InfrastructureError(f"cannot keep {self.name}: {error}") from error
            self.folder = folder
            self._closed = True
            self._stopped = self._stopped or "was kept"
        name = self.folder.name
        return Kept(
            name=name,
            enter=f"distromatrix guests enter {name}",
            remove=f"distromatrix guests remove {name}",
            out=self.out,
        )

    def close(self) -> None:
        """See Machine."""
        if self._closed:
            return
        self._closed = True
        self._stopped = self._stopped or "was closed"
        for shells in (self._shells, self._root_shells):
            shells.close()
        with contextlib.suppress(Exception):
            self._quit()
        self._show_console()
        if self._control is not None:
            self._control.stream.close()
        shutil.rmtree(self.folder, ignore_errors=True)
        self._let_go()

    def at_close(self, then: Callable[[], None]) -> None:
        """Have something done when it is let go of."""
        self._at_close.append(then)

    def _let_go(self) -> None:
        while self._at_close:
            self._at_close.pop()()


IGNORE_SHARED = [{"capability": "x-ignore-shared", "state": True}]


class Lent(PortStream):
    """The stream of a shell. A port does not tell that the guest has closed it: `token` is what
    the guest says last. `process`: what all of it descends from in the guest."""

    def __init__(
        self, out: socket.socket, err: socket.socket, *, slot: int, token: str = ""
    ) -> None:
        super().__init__(out, err)
        self.slot = slot
        self.token = token or f"end-{secrets.token_hex(12)}"
        self.process = 0
        self.on_close: Callable[[Lent], None] = lambda lent: lent.let_go()
        self._tail = b""
        self._over = False

    def receive(self, timeout: float | None) -> list[tuple[int, bytes]]:
        """See Stream."""
        if self._over:
            return []
        pieces = super().receive(timeout)
        last = self.token.encode() + b"\n"
        for kind, data in pieces:
            if kind == STDOUT:
                self._tail = (self._tail + data)[-len(last) :]
        if self._tail == last:
            self._over = True
            kept = [(k, d.removesuffix(last)) for k, d in pieces]
            return [(k, d) for k, d in kept if d]
        return pieces

    def let_go(self) -> None:
        """Close the sockets. Never raises."""
        super().close()

    def close(self) -> None:
        """See Stream."""
        done, self.on_close = self.on_close, lambda lent: lent.let_go()
        done(self)


def send_all(
    machine: GuestMachine, line: socket.socket, data: BinaryIO, size: int, path: str
) -> None:
    """Send a tar of that many bytes through the port for data, to be extracted below `path`.
    Raises InfrastructureError."""

    def send() -> None:
        with contextlib.suppress(OSError):
            while piece := data.read(1 << 18):
                line.sendall(piece)

    sender = Thread(target=send, daemon=True, name="distromatrix-put")
    said: list[bytes] = []
    script = (
        f"set -- /dev/vport*p{DATA}; {BUSYBOX} head -c {size} <$1"
        f" | {BUSYBOX} tar -xf - -C {shlex.quote(path)}"
    )
    with line:
        sender.start()
        try:
            status = machine.as_root(script, output=said.append, within=None)
        finally:
            with contextlib.suppress(OSError):
                line.shutdown(socket.SHUT_RDWR)
            sender.join(10.0)
    if status:
        text = b"".join(said).decode(errors="replace").strip()
        raise InfrastructureError(f"cannot put files into {machine.name}: {text}")


def _until_read(stream: Iterable[bytes], then: Callable[[], None]) -> Iterable[bytes]:
    try:
        yield from stream
    finally:
        then()


def _write(path: str, content: bytes) -> str:
    """What writes a small program, unless it is there."""
    octal = "".join(f"\\{byte:03o}" for byte in content)
    return f"[ -x {path} ] || {{ printf '{octal}' >{path}; {BUSYBOX} chmod 755 {path}; }}"


def new_overlay(folder: Path, base: Path, form: str) -> None:
    """An empty overlay over a disk. Raises InfrastructureError."""
    command = ["qemu-img", "create", "-q", "-f", "qcow2", "-b", str(base), "-F", form]
    done = subprocess.run(
        [*command, str(folder / OVERLAY)], capture_output=True, text=True, check=False
    )
    if done.returncode != 0:
        raise InfrastructureError(f"a guest's disk cannot be made: {done.stderr.strip()}")
