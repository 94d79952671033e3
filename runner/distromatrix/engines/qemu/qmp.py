"""QEMU's own control line (QMP: JSON, a line each way), as much of it as a guest needs.

The package qemu.qmp speaks it, too, over asyncio: importing that costs as much as restoring a
guest from its saved state."""

from __future__ import annotations

import contextlib
import json
import socket
from collections.abc import Callable
from pathlib import Path
from queue import Empty, Queue
from threading import Lock, Thread, current_thread
from typing import Any

from distromatrix.engines.qemu.ports import connect_in
from distromatrix.errors import InfrastructureError, MachineGoneError

ANSWERS_WITHIN = 30.0  # seconds


class Qmp:
    """One connection. `on_event` is called in a thread with each event's name and data, and
    with `''` when QEMU has ended."""

    def __init__(self, folder: Path, name: str, on_event: Callable[[str, Any], None]) -> None:
        self._socket = connect_in(folder, name)
        self._answers: Queue[dict[str, Any]] = Queue()
        self._on_event = on_event
        self._lock = Lock()
        self._reader = Thread(target=self._read, daemon=True, name="distromatrix-qmp")
        self._reader.start()
        self("qmp_capabilities")

    def __call__(self, command: str, **arguments: object) -> Any:
        """What QEMU answers. Raises MachineGoneError, InfrastructureError."""
        said = json.dumps({"execute": command, "arguments": arguments}).encode()
        with self._lock:
            try:
                self._socket.sendall(said + b"\n")
                answer = self._answers.get(timeout=ANSWERS_WITHIN)
            except Empty:
                raise InfrastructureError(f"QEMU does not answer ({command})") from None
            except OSError as error:
                raise MachineGoneError(f"QEMU has ended ({command}: {error})") from error
        if not answer:
            self._answers.put({})  # for whoever asks next
            raise MachineGoneError(f"QEMU has ended ({command})")
        if "error" in answer:
            raise InfrastructureError(f"QEMU: {command}: {answer['error']['desc']}")
        return answer["return"]

    def _read(self) -> None:
        with contextlib.suppress(OSError, ValueError), self._socket.makefile("rb") as lines:
            for line in lines:
                said = json.loads(line)
                if "event" in said:
                    self._on_event(said["event"], said.get("data") or {})
                elif "QMP" not in said:
                    self._answers.put(said)
        self._answers.put({})
        self._on_event("", {})

    def close(self) -> None:
        """Let go. Never raises."""
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()
        if current_thread() is not self._reader:  # its last word is not to be the next boot's
            self._reader.join(ANSWERS_WITHIN)
