"""What the fake engine keeps in its folder: labels, images, and which faults to make."""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from pathlib import Path
from time import time
from typing import Any

from distromatrix.engines.contract import LABEL_CELL, MachineSpec
from distromatrix.errors import PullFailure
from distromatrix.files.whole import write_whole


@dataclass(frozen=True, slots=True, kw_only=True)
class Faults:
    """Faults to inject. Keys are globs over the cell's label (or the machine's name where it
    has none), values how many times that happens (0: always). In another process than the
    one that made the engine: `faults.json` in its folder, with the same keys."""

    unavailable: bool = False
    cannot_start: Mapping[str, int] = field(default_factory=dict)
    gone: Mapping[str, int] = field(default_factory=dict)  # in the middle of the first command
    oom: Mapping[str, int] = field(default_factory=dict)  # likewise, by its memory limit
    open_seconds: float = 0.0
    scale: float = 1.0  # of machines: see Machine
    notes_state: bool = True  # see Machine
    pulls: Mapping[str, PullFailure] = field(default_factory=dict)  # glob over references


class FakeState:
    """The folder, and the count of the faults already made. Thread-safe."""

    def __init__(self, folder: Path | None, faults: Faults | None) -> None:
        self.folder = folder or Path(os.environ["DISTROMATRIX_FAKE"])
        self.machines = self.folder / "machines"
        self.images = self.folder / "images"
        self.stages = self.folder / "stages"
        self._faults = faults
        self._made: dict[tuple[str, str], int] = {}
        self._lock = threading.Lock()
        for one in (self.machines, self.images, self.stages):
            one.mkdir(parents=True, exist_ok=True)

    @property
    def faults(self) -> Faults:
        """Those given, else those of `faults.json`, else none."""
        file = self.folder / "faults.json"
        if self._faults is not None or not file.exists():
            return self._faults or Faults()
        return Faults(**json.loads(file.read_text()))

    def strikes(self, kind: str, faults: Mapping[str, int], spec: MachineSpec) -> bool:
        """Whether that fault happens to that machine now."""
        subject = spec.labels.get(LABEL_CELL, spec.name)
        for glob, times in faults.items():
            if fnmatchcase(subject, glob):
                with self._lock:
                    made = self._made.get((kind, glob), 0)
                    self._made[kind, glob] = made + 1
                return times == 0 or made < times
        return False


def write_json(file: Path, value: Mapping[str, Any]) -> None:
    """Write it so that no reader (`read_json`) sees half of it."""
    write_whole(file, json.dumps({"created": time(), **value}))
