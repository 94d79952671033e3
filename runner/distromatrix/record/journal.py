"""The journal of a run: every event but output and silence, a JSON line each, written as it comes.

What is in it survives `kill -9`, and reports can be made from it again (`reports/replay.py`).
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from dataclasses import asdict
from functools import cache
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING

from distromatrix.errors import InfrastructureError
from distromatrix.record.events import CellOutput, CellSilent, Event

if TYPE_CHECKING:
    from pydantic import TypeAdapter


class Journal:
    """Appends events to the file `path`; safe to call from several threads.

    Opening one that a killed run left with half a line goes on after that line.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lock = Lock()
        flags = os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW | os.O_CLOEXEC
        self._fd = os.open(path, flags, 0o644)
        size = os.fstat(self._fd).st_size
        if size and os.pread(self._fd, 1, size - 1) != b"\n":
            self._write(b"\n")

    def __call__(self, event: Event) -> None:
        """Write one event. Raises InfrastructureError when it cannot be written."""
        if isinstance(event, CellOutput | CellSilent):
            return
        text = json.dumps(asdict(event), ensure_ascii=False, separators=(",", ":"))
        # 'replace': a lone surrogate has no place in a file that others read
        self._write(text.encode("utf-8", "replace") + b"\n")

    def __enter__(self) -> Journal:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the file. May be called twice."""
        with self._lock:
            if self._fd >= 0:
                os.close(self._fd)
                self._fd = -1

    def _write(self, line: bytes) -> None:
        with self._lock:
            view = memoryview(line)
            try:
                while view:
                    view = view[os.write(self._fd, view) :]
            except OSError as error:
                reason = f"cannot write the journal {self.path}: {error.strerror}"
                raise InfrastructureError(reason, transient=False) from error


@cache
def event_adapter() -> TypeAdapter[Event]:
    """What makes events of JSON. Made once: that takes longer than to read most journals."""
    from pydantic import TypeAdapter

    return TypeAdapter(Event)


def read(path: Path) -> Iterator[Event]:
    """The events of a journal, in order. A line that is torn (kill -9) or of a kind unknown
    here is left out. Raises FileNotFoundError."""
    from pydantic import ValidationError

    with path.open("rb") as file:
        for line in file:
            try:
                yield event_adapter().validate_json(line)
            except ValidationError:
                continue
