"""A direct guest's life: from nothing or from a saved state, through what its control shell is
told, to its end and why."""

from __future__ import annotations

import contextlib
import os
import shlex
import signal
import socket
import subprocess
import time
from collections.abc import Iterable
from pathlib import Path
from threading import Event, Lock, Thread
from typing import Any

from distromatrix.engines.answer import Answer
from distromatrix.engines.contract import API_TIMEOUT, OUT_FOLDERS, Command, MachineSpec, OnOutput
from distromatrix.engines.guest.console import last_bytes, last_lines, panic
from distromatrix.engines.guest.scripts import bounded, named
from distromatrix.engines.guest.stream import SocketStream
from distromatrix.engines.parcel import FILL, owner_of
from distromatrix.engines.qemu import process as qemu_process
from distromatrix.engines.qemu.disk import Disk
from distromatrix.engines.qemu.ports import CONTROL, EVENTS, connect_in, socket_name
from distromatrix.engines.qemu.process import CONSOLE, QMP_SOCKET, Memory, Virtual
from distromatrix.engines.qemu.qmp import Qmp
from distromatrix.engines.shell.shell import Shell, ShellEndedError
from distromatrix.errors import CannotStartError, InfrastructureError, MachineGoneError

BUSYBOX = "/distromatrix/guest/busybox"
EARLIER = "earlier.log"  # what the consoles of earlier boots have shown
_OURS = "distromatrix: "
_HOST_FULL = "the disk of this host is full"
_READY = f"{_OURS}ready"
_DYING = 10.0  # seconds from the end of its sockets to that of its process
_BLOCK = 1 << 16  # bytes of the product's disk that are read at once; busybox's head reads one
_IGNORE_SHARED = [{"capability": "x-ignore-shared", "state": True}]


class QemuGuest:
    """One guest in its folder, which holds its disk's overlay, its sockets and its console.

    `boot` starts it from nothing, `restore` from a saved state. `bound`: it lives no longer
    than the thread that starts it."""

    def __init__(
        self,
        spec: MachineSpec,
        folder: Path,
        disk: Disk,
        virtual: Virtual,
        *,
        product: Path | None = None,
        bound: bool = False,
    ) -> None:
        self.spec = spec
        self.folder = folder
        self.scale = virtual.accel.scale  # how much longer than with KVM things take
        self.ended = Event()
        self.asked_restart = Event()
        self._disk = disk
        self._virtual = virtual
        self._product = product
        self._bound = bound
        self.refused = False  # QEMU did not take the saved state
        self._over = False  # for good: nothing starts it again
        self._process: subprocess.Popen[bytes] | None = None
        self._qmp: Qmp | None = None
        self._control: Shell | None = None
        self._events: socket.socket | None = None
        self._lock = Lock()  # of the control port
        self._why = ""  # QEMU's word for its end

    @property
    def name(self) -> str:
        """As its machine's."""
        return self.spec.name

    @property
    def console(self) -> Path:
        """What its console has shown since its last boot."""
        return self.folder / CONSOLE

    def without_product(self) -> QemuGuest:
        """Another guest on the same disk, for when this one has ended."""
        return QemuGuest(self.spec, self.folder, self._disk, self._virtual, bound=True)

    def boot(self, memory: Memory | None = None) -> None:
        """Start it and hear its control shell answer. Raises CannotStartError,
        InfrastructureError."""
        self._start(memory)
        self._connect(API_TIMEOUT * self.scale)

    def restore(self, memory: Memory, *ports: int) -> list[socket.socket]:
        """Start it in the state that was saved; it is the same guest, with another name, and
        other random numbers from here on. Returns what is connected to the ports that were in
        use when it was saved. Raises InfrastructureError."""
        assert memory.saved is not None  # noqa: S101
        used: list[socket.socket] = []
        try:
            control = self._load(memory, memory.saved, ports, used)
        except InfrastructureError as error:
            self.ended.wait(0.5)  # that it has is known some moments later
            status = self._process.poll() if self._process else None
            self.refused = status is not None and status > 0
            for one in used:
                one.close()
            raise self.why_gone() or error from error
        self._control = Shell(control)
        self._awaken()
        return used

    def _load(
        self, memory: Memory, saved: Path, ports: Iterable[int], used: list[socket.socket]
    ) -> SocketStream:
        with saved.open("rb") as state:
            self._start(memory, state.fileno())
            qmp = self._qmp
            assert qmp is not None  # noqa: S101
            # Before it runs, so that it finds its ports as it left them.
            control = SocketStream(self._port(CONTROL))
            used.extend(map(self._port, ports))
            self._watch_events()
            qmp("migrate-set-capabilities", capabilities=_IGNORE_SHARED)
            qmp("migrate-incoming", uri=f"fd:{state.fileno()}")
            until = time.monotonic() + API_TIMEOUT * self.scale
            while (now := qmp("query-status")["status"]) == "inmigrate":
                if time.monotonic() > until:
                    raise InfrastructureError(f"{self.name}: its saved state does not load")
                time.sleep(0.002)
        if now != "running":
            qmp("cont")
        return control

    def _start(self, memory: Memory | None, *held: int) -> None:
        self.ended.clear()
        self.asked_restart.clear()
        for stale in self.folder.glob("p[0-9]*"):
            stale.unlink(missing_ok=True)
        (self.folder / QMP_SOCKET).unlink(missing_ok=True)
        arguments = qemu_process.arguments(
            self.name,
            self._virtual,
            self._disk,
            memory=memory,
            product=self._product,
            network=self.spec.network,
        )
        self._process = qemu_process.start(
            arguments, self.folder, held, bound=self._bound, out=self.spec.network
        )
        if self._over:  # it was ended for good meanwhile, by who did not see this process
            self.quit()
            raise MachineGoneError(f"{self.name} was closed")
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
        control = SocketStream(self._port(CONTROL))
        self._watch_events()
        while _READY not in last_lines(self.console, 50):
            if self.ended.is_set() or time.monotonic() > until:
                gone = self.why_gone() or MachineGoneError(
                    f"{self.name}: the guest did not come up within {within:.0f} s; "
                    f"its console ends with: {' / '.join(last_lines(self.console, 3))}"
                )
                control.close()
                raise CannotStartError(str(gone))
            self.ended.wait(0.02)
        self._control = Shell(control)
        self.tell(":")

    def _port(self, number: int) -> socket.socket:
        try:
            return connect_in(self.folder, socket_name(number))
        except OSError as error:
            self.ended.wait(0.5)  # that it has is known some moments later
            raise self.why_gone() or InfrastructureError(
                f"{self.name}: QEMU does not open its port {number}: {error}"
            ) from error

    def _watch_events(self) -> None:
        """Hear what the guest asks for."""
        self._events = events = self._port(EVENTS)

        def watch() -> None:
            with contextlib.suppress(OSError), events, events.makefile("rb") as lines:
                while line := lines.readline(1024):
                    if line.strip() == b"reboot":
                        self._restart_now()

        Thread(target=watch, daemon=True, name="distromatrix-events").start()

    def _restart_now(self) -> None:
        """It has asked for a restart: put its files on the disk, and end it."""
        self.asked_restart.set()
        with contextlib.suppress(InfrastructureError):
            self.tell(f"{BUSYBOX} sync", within=API_TIMEOUT)
        self.quit()

    def _awaken(self) -> None:
        """Make a restored guest one of its own: time, name, random numbers. Each program that
        it takes is the first of its kind since the emulator's start, and so takes ten times as
        long as later ones."""
        script = f"""echo {os.urandom(64).hex()} >/dev/urandom
/distromatrix/guest/awaken {time.time():.0f} || echo its clock, random numbers or address stay
{self._naming}
[ ! -s /etc/machine-id ] || echo {os.urandom(16).hex()} >/etc/machine-id"""
        if not self.spec.network:
            script += f"\n[ ! -e /sys/class/net/eth0 ] || {BUSYBOX} ip link set eth0 down"
        said = Answer()
        if self.tell(script, output=said, here=True) or said:
            text = str(said)
            raise InfrastructureError(f"{self.name}: cannot make it a guest of its own: {text}")

    def fill(self, size: int) -> None:
        """Give it its private copy of the product, whose tar has that many bytes, and the
        folder for what the suite leaves. Raises InfrastructureError."""
        folders = " ".join(f"out/{name}" for name in OUT_FOLDERS)
        script = f"""b={BUSYBOX}
cd /distromatrix; $b mkdir -p {folders}
$b dd if=/dev/vdb bs={_BLOCK} count={-(-size // _BLOCK)} 2>/dev/null | $b tar -xf - || exit
$b chown -R {owner_of(self.spec.user)} out || exit
{FILL}"""
        said = Answer()
        if self.tell(script, output=said, within=10 * API_TIMEOUT):
            text = str(said)
            if "No space left" in text:
                much = f"{size / 1024**2:,.0f} MiB"
                text = f"the product ({much}) is bigger than the guest's disk"
            raise InfrastructureError(f"{self.name}: {text}", transient=False)

    def save(self, state: Path) -> None:
        """Write what is not its RAM into that file, and end it. Its RAM is in the file that it
        was booted with. Raises InfrastructureError."""
        qmp = self._qmp
        assert qmp is not None and self._process is not None  # noqa: S101
        self.tell(f"{BUSYBOX} sync", last=True)
        qmp("stop")
        qmp("migrate-set-capabilities", capabilities=_IGNORE_SHARED)
        qmp("migrate", uri=f"exec:cat >{shlex.quote(str(state))}")
        until = time.monotonic() + 10 * API_TIMEOUT
        while (now := qmp("query-migrate"))["status"] != "completed":
            if now["status"] in ("failed", "cancelled") or time.monotonic() > until:
                raise InfrastructureError(f"the guest's state cannot be saved: {now}")
            time.sleep(0.01)
        self.quit()

    def boot_again(self) -> None:
        """End it, and boot it from its disk. Raises CannotStartError, InfrastructureError."""
        self.quit()
        self._why = ""
        with contextlib.suppress(OSError), (self.folder / EARLIER).open("ab") as log:
            log.write(last_bytes(self.console))  # QEMU truncates it
        self.boot()
        self.tell(self._naming)

    def wants_restart(self) -> bool:
        """Whether it has ended for a restart: one that was asked for, or a plain `reboot`."""
        self.ended.wait(0.5 if not self.asked_restart.is_set() else API_TIMEOUT)
        asked = self.asked_restart.is_set() or (
            self._why == "guest-reset" and not panic(self.console)
        )
        return self.ended.is_set() and asked

    @property
    def host(self) -> str:
        """Its name, as a word of a shell's."""
        return shlex.quote(self.spec.host)

    @property
    def _naming(self) -> str:
        """What gives it its name, which resolves without a network, and bounds its processes. Its
        /etc/hosts is new."""
        return f"{named(self.spec.host)}\n{bounded(self.spec.pids)}"

    def tell(
        self,
        script: str,
        *,
        output: OnOutput | None = None,
        within: float = API_TIMEOUT,
        here: bool = False,
        last: bool = False,
    ) -> int:
        """The status of a script of ours, run by the control shell: one at a time. `here`: in no
        process of its own if none waits; `last`: none is made ready for another. Raises
        MachineGoneError, InfrastructureError."""
        until = time.monotonic() + within * self.scale
        quiet = f"{self.name} does not answer: {script.partition(chr(10))[0][:80]}"
        if not self._lock.acquire(timeout=within * self.scale):  # who has it waits in vain, too
            raise self.why_gone() or InfrastructureError(quiet)
        try:
            if self._control is None:
                raise self.why_gone() or MachineGoneError(f"{self.name} is gone")
            if here:
                return self._control.ask(script, deadline=until, output=output)
            left = until - time.monotonic()
            return self._control.run(Command(script, timeout=left, output=output, strict=last))
        except (TimeoutError, ShellEndedError, OSError) as error:
            raise self.why_gone() or InfrastructureError(quiet) from error
        finally:
            self._lock.release()

    def end(self) -> None:
        """End it at once and for good, whoever is about to start it. Never raises."""
        self._over = True
        self.quit()

    def quit(self) -> None:
        """End it at once. Never raises."""
        process, qmp, control = self._process, self._qmp, self._control
        if process is not None:
            process.kill()
            process.wait()
        self.ended.set()
        if qmp is not None:
            qmp.close()
        if control is not None:
            control.stream.shutdown()

    def _on_event(self, name: str, data: Any) -> None:
        if name == "BLOCK_IO_ERROR" and data.get("nospace"):
            self._why = _HOST_FULL
            self.quit()
        elif name == "SHUTDOWN":
            self._why = str(data.get("reason", ""))
        elif name == "":
            self.ended.set()

    def let_go(self) -> None:
        """Close what is open here. Never raises."""
        if self._events is not None:
            with contextlib.suppress(OSError):
                self._events.shutdown(socket.SHUT_RDWR)
        if self._qmp is not None:
            self._qmp.close()
        if self._control is not None:
            self._control.stream.close()

    def why_gone(self) -> MachineGoneError | None:
        """Why it has ended; None as long as it runs."""
        if not self.ended.is_set():
            return None
        fate = self._fate()
        return MachineGoneError(f"{self.name}{fate}", transient=not fate.endswith(_HOST_FULL))

    def _refused(self) -> str:
        """What our own first steps in it complained of."""
        said = [line for line in last_lines(self.console, 50) if line.startswith(_OURS)]
        return next((line.removeprefix(_OURS) for line in said if line != _READY), "")

    def _fate(self) -> str:
        status = None
        if self._process:
            # Its sockets close before it is a process that has ended.
            with contextlib.suppress(subprocess.TimeoutExpired):
                status = self._process.wait(_DYING)
        # SIGBUS: its memory is a file that had no room to grow.
        if self._why == _HOST_FULL or status == -signal.SIGBUS:
            return f" was ended: {_HOST_FULL}"
        if fatal := panic(self.console):
            return f": the guest's kernel gave up: {fatal}"
        if refused := self._refused():
            return f": the guest did not come up: {refused}"
        told = {"guest-shutdown": " has powered itself off", "guest-reset": " has restarted itself"}
        if self._why in told:
            return told[self._why]
        if status is not None and status < 0:
            return ": its QEMU process was killed from outside"
        text = qemu_process.said(self.folder)
        return f" is gone: QEMU has ended{f': {text}' * bool(text)}"
