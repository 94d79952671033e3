"""The hooks of a suite, once its verdict is known: `debug` after a failure, `restore` always.

Neither changes the verdict. What goes wrong with them is said in one line each.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from distromatrix.collect.errors import CollectError
from distromatrix.collect.log import CellLog, LastLines, Masker
from distromatrix.collect.text import one_line
from distromatrix.engines.contract import Command, Machine
from distromatrix.errors import InfrastructureError
from distromatrix.execute.cell.outputs import bring_artifacts
from distromatrix.model import Cell
from distromatrix.plan.scripts import under

HOOK_TIMEOUT = 300.0  # seconds
DEBUG_LINES = 100


class Hooks:
    """The hooks that are due for a cell. `dead` says why its machine runs no more, '' where it
    does; `failed`: its verdict is a failure that was not expected. `warnings` are what came of
    them."""

    def __init__(self, cell: Cell, *, failed: bool, dead: str) -> None:
        self._dead = dead
        due = (("debug", cell.debug if failed else None), ("restore", cell.restore))
        self._due = [(name, under(cell.shell, script)) for name, script in due if script]
        self.warnings: list[str] = []

    def run(
        self,
        machine: Machine,
        env: Mapping[str, str],
        log: CellLog,
        masker: Masker,
    ) -> tuple[str, ...]:
        """Run them, into the cell's log; returns the last lines that `debug` printed."""
        lines = LastLines(masker)
        for name, script in self._due:
            if self._dead:
                self._warn(name, f"did not run: {self._dead}", log)
                continue
            log.note(name)

            def keep(data: bytes, debug: bool = name == "debug") -> None:
                log.write(data)
                if debug:
                    lines.write(data)

            try:
                within = HOOK_TIMEOUT * machine.scale
                done = machine.run(
                    Command(script, env=env, cwd=machine.product, timeout=within, output=keep)
                )
            except InfrastructureError as error:
                self._dead = f"its machine is gone: {one_line(str(error))}"
                self._warn(name, f"was cut off: {self._dead}", log)
                continue
            if done.timed_out:
                if done.ended:
                    self._dead = f"the time of {name} had ended its machine"
                hung = f", running: {masker.mask(done.hung)}" if done.hung else ""
                self._warn(name, f"did not end within {within:g} s{hung}", log)
            elif done.status:
                self._warn(name, f"ended with exit status {done.status}", log)
        return lines.last(DEBUG_LINES)

    def end_left(self, machine: Machine) -> None:
        """End all that runs in it still."""
        if not self._dead and not machine.signal_left("KILL"):
            self._dead = "it was ended with what it ran"

    def collect(self, machine: Machine, folder: Path, masker: Masker) -> None:
        """Bring back the artifacts that they left."""
        if self._due:
            try:
                came = bring_artifacts(machine, folder, masker, alive=not self._dead)
                refused = masker.mask(came.fault or came.unmasked)
            except (CollectError, InfrastructureError) as error:
                refused = one_line(str(error))
            if refused:
                self.warnings.append(f"after the hooks {refused}")

    def _warn(self, name: str, text: str, log: CellLog) -> None:
        log.note(f"{name} {text}")
        self.warnings.append(f"{name} {text}")
