"""Other processes in a direct guest. Its ports can each be opened once, so the process that has
it open gives them out: through a socket `door` in the guest's folder, over which it passes the
open descriptors (SCM_RIGHTS of unix(7)). A shell is the asker's as long as its connection stands.
"""

from __future__ import annotations

import contextlib
import json
import os
import socket
from math import inf
from pathlib import Path
from threading import Thread
from typing import Any, BinaryIO

from distromatrix.engines.answer import LONGEST
from distromatrix.engines.contract import Address, MachineSpec
from distromatrix.engines.guest.machine import GuestMachine
from distromatrix.engines.qemu.guest import BUSYBOX
from distromatrix.engines.qemu.machine import QemuMachine, send_all
from distromatrix.engines.qemu.ports import DATA, Lent, connect_in, socket_name
from distromatrix.engines.shell.shell import Shell
from distromatrix.errors import InfrastructureError, MachineGoneError
from distromatrix.files.own import require_peer
from distromatrix.model import Kept

DOOR = "door"
_LONGEST = 1 << 16


class PortBroker:
    """Answers those who join a machine, in threads, until it is closed."""

    def __init__(self, machine: QemuMachine) -> None:
        self._machine = machine
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        directory = os.open(machine.folder, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            self._socket.bind(f"/proc/self/fd/{directory}/{DOOR}")
        finally:
            os.close(directory)
        self._socket.listen(64)
        machine.closing.callback(self.close)
        Thread(target=self._serve, daemon=True, name="distromatrix-door").start()

    def close(self) -> None:
        """Never raises."""
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()

    def _serve(self) -> None:
        while True:
            try:
                one, _ = self._socket.accept()
            except OSError:  # closed
                return
            Thread(target=self._answer, args=(one,), daemon=True).start()

    def _answer(self, one: socket.socket) -> None:
        with one, contextlib.suppress(OSError, ValueError, TypeError):  # also what is no question
            require_peer(one)
            asked = json.loads(one.recv(_LONGEST))
            try:
                self._do(one, **asked)
            except InfrastructureError as error:
                _say(one, error=str(error), gone=isinstance(error, MachineGoneError))

    def _do(self, one: socket.socket, do: str, user: str = "") -> None:
        machine = self._machine
        if do == "shell":
            lent = machine.lend(user)
            try:
                _say(one, *lent.sockets, slot=lent.slot, token=lent.token)
                one.recv(1)  # until the other end is gone
            finally:
                machine.take_back(lent)
        elif do == "data":
            with machine.data_lock, connect_in(machine.folder, socket_name(DATA)) as line:
                _say(one, line)
                one.recv(1)
        elif do == "restarted":
            _say(one, restarted=machine.restarted())
        elif do == "why":
            gone = machine.why_gone()
            _say(one, why=str(gone) if gone else "", scale=machine.scale)
        elif do == "kill":
            machine.kill()
            _say(one)


def _say(one: socket.socket, *passed: socket.socket, **facts: object) -> None:
    socket.send_fds(one, [json.dumps(facts).encode()], [p.fileno() for p in passed])


class JoinedGuest(GuestMachine):
    """A machine that another process has open."""

    def __init__(self, address: Address) -> None:
        """Raises MachineGoneError."""
        spec = MachineSpec(name=address.name, image="", user=address.user, memory=address.memory)
        super().__init__(spec, staged=bool(address.product), owned=False, env=address.env)
        self._address = address
        self._folder = Path(address.id)
        self._scale = float(self._asked("why").get("scale", 1.0))

    @property
    def address(self) -> Address:
        """See Machine."""
        return self._address

    @property
    def busybox(self) -> str:
        """See GuestMachine."""
        return BUSYBOX

    def _ask(self, do: str, **facts: str) -> tuple[socket.socket, dict[str, Any], list[int]]:
        try:
            one = connect_in(self._folder, DOOR, within=1.0)
        except OSError as error:
            raise MachineGoneError(f"{self.name} is gone") from error
        try:
            one.sendall(json.dumps({"do": do, **facts}).encode())
            said, fds, _, _ = socket.recv_fds(one, _LONGEST, 4)
            answer: dict[str, Any] = json.loads(said)
        except (OSError, ValueError) as error:
            one.close()
            raise MachineGoneError(f"{self.name} is gone") from error
        if "error" in answer:
            one.close()
            kind = MachineGoneError if answer["gone"] else InfrastructureError
            raise kind(answer["error"])
        return one, answer, list(fds)

    def _asked(self, do: str) -> dict[str, Any]:
        one, answer, _ = self._ask(do)
        one.close()
        return answer

    def _end_left(self) -> None:
        raise InfrastructureError(f"{self.name} is another's")

    def _open_shell(self, user: str) -> Shell:
        self._check()
        one, answer, fds = self._ask("shell", user=user)
        out, err = (socket.socket(fileno=fd) for fd in fds)
        lent = Lent(out, err, slot=answer["slot"], token=answer["token"])

        def close(lent: Lent) -> None:
            lent.let_go()
            one.close()

        lent.on_close = close
        return Shell(lent)

    def _halt(self) -> None:
        with contextlib.suppress(InfrastructureError):
            self._asked("kill")

    def restarted(self, until: float = inf) -> bool:  # noqa: ARG002 - its boot has a bound
        """See GuestMachine."""
        answer: bool = self._asked("restarted")["restarted"]
        if answer:
            self._fresh_shells()
        return answer

    def why_gone(self) -> MachineGoneError | None:
        """See GuestMachine."""
        try:
            why = self._asked("why")["why"]
        except MachineGoneError as gone:
            return gone
        return MachineGoneError(why) if why else None

    def _feed(self, script: str, data: BinaryIO, within: float = LONGEST) -> None:
        one, _, fds = self._ask("data")
        with one:
            send_all(self, socket.socket(fileno=fds[0]), data, script, within)

    def reboot(self) -> None:
        """Raises InfrastructureError: only who has it open can restart it."""
        self._check_owned("restart")

    def keep(self) -> Kept:
        """See Machine. Raises InfrastructureError."""
        raise InfrastructureError(
            f"{self.name} belongs to another process; only its owner can keep it"
        )

    def close(self) -> None:
        """See Machine."""
        if not self._closed:
            self._closed = True
            self._stopped = self._stopped or "was closed"
            self._close_shells()
