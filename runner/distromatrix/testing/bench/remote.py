"""The bench across a Unix socket: a server in the process that has it, clients in the workers
of pytest-xdist. Only this user is spoken to, who alone can read the folder of the
socket: what comes through it is unpickled."""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import suppress
from multiprocessing.connection import Client, Connection, Listener
from pathlib import Path
from typing import TYPE_CHECKING, Any

from distromatrix.errors import DistromatrixError, InfrastructureError
from distromatrix.files.own import require_peer_of

if TYPE_CHECKING:
    from distromatrix.engines.contract import Address
    from distromatrix.testing.contract import CellReport, MachineRequest

_METHODS = ("expect", "run_cell", "machine", "fresh", "reboot", "done")


class Server:
    """Serves a bench, whose methods `method` gives by their names, on a socket in `folder` (a
    short path, for its owner alone), with a thread for each connection, until `close`."""

    def __init__(self, method: Callable[[str], Callable[..., object]], folder: Path) -> None:
        self._method = method
        self._listener = Listener(str(folder / "bench"), "AF_UNIX", backlog=64)
        self.address = str(self._listener.address)
        self._closed = False
        threading.Thread(target=self._accept, name="bench", daemon=True).start()

    def close(self) -> None:
        """Accept no more. May be called twice."""
        if not self._closed:
            self._closed = True
            with suppress(FileNotFoundError):  # its socket's file, where somebody swept too well
                self._listener.close()

    def _accept(self) -> None:
        while not self._closed:
            try:
                connection = self._listener.accept()
            except OSError:
                if self._closed:
                    return
                continue
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: Connection[Any, Any]) -> None:
        """Answer one client until it goes: also what it asks while it dies is answered."""
        with connection, suppress(PermissionError):
            require_peer_of(connection.fileno())
            while True:
                try:
                    name, given, named = connection.recv()
                    answer = self._answer(name, given, named)
                    connection.send(answer)
                except Exception:  # noqa: BLE001 - it went, or speaks another language
                    return

    def _answer(self, name: str, given: Any, named: Any) -> tuple[str, object]:
        if name not in _METHODS:
            return "raise", InfrastructureError(f"a bench has no '{name}'")
        try:
            return "return", self._method(name)(*given, **named)
        except DistromatrixError as error:
            return "raise", error
        except Exception as error:  # noqa: BLE001 - a fault of ours, to be seen where it hurts
            return "raise", InfrastructureError(f"{type(error).__name__}: {error}")


class RemoteBench:
    """See Bench. Each thread has a connection of its own; all are closed by `close`."""

    def __init__(self, address: str) -> None:
        self._address = address
        self._local = threading.local()
        self._all: list[Connection[Any, Any]] = []
        self._lock = threading.Lock()

    def expect(self, cells: tuple[str, ...], *, machines: bool) -> None:
        """See Bench."""
        self._call("expect", cells, machines=machines)

    def run_cell(self, cell: str, test: str) -> CellReport:
        """See Bench."""
        report: CellReport = self._call("run_cell", cell, test)
        return report

    def machine(self, want: MachineRequest, test: str) -> Address:
        """See Bench."""
        address: Address = self._call("machine", want, test)
        return address

    def fresh(self, want: MachineRequest, test: str) -> Address:
        """See Bench."""
        address: Address = self._call("fresh", want, test)
        return address

    def reboot(self, name: str, test: str) -> int:
        """See Bench."""
        boots: int = self._call("reboot", name, test)
        return boots

    def done(self, test: str) -> None:
        """See Bench."""
        try:
            self._call("done", test)
        except InfrastructureError:
            return  # who has ended everything has ended this

    def close(self) -> None:
        """Let go. May be called twice."""
        with self._lock:
            everyone, self._all = self._all, []
        for connection in everyone:
            connection.close()

    def _call(self, method: str, *given: Any, **named: Any) -> Any:
        try:
            connection = self._connection()
            connection.send((method, given, named))
            how, what = connection.recv()
        except (EOFError, OSError) as error:
            raise InfrastructureError(
                "pytest's main process has ended, and so have its machines",
                transient=False,
            ) from error
        if how == "raise":
            raise what
        return what

    def _connection(self) -> Connection[Any, Any]:
        connection: Connection[Any, Any] | None = getattr(self._local, "connection", None)
        if connection is None:
            connection = Client(self._address, "AF_UNIX")
            require_peer_of(connection.fileno())
            self._local.connection = connection
            with self._lock:
                self._all.append(connection)
        return connection
