"""A script that is run in a machine while its image is built."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from distromatrix.collect.masking import Masker
from distromatrix.engines.answer import Answer
from distromatrix.engines.contract import Command, Exit, Machine
from distromatrix.errors import ImageError, InfrastructureError, MachineGoneError

STEP_TIMEOUT = 1800.0
_LOG_TAIL = 64 * 1024
_ANSWER = 8 * 1024 * 1024


class Step:
    """One step of the building, with the last of what it printed. `env` is what its commands
    see, `secrets` what no message and no log may show."""

    def __init__(
        self,
        name: str,
        phase: Literal["packages", "prepare"],
        env: Mapping[str, str],
        secrets: tuple[str, ...],
    ) -> None:
        self.name = name
        self._phase = phase
        self._env = env
        self._masker = Masker(secrets)
        self._tail = bytearray()

    @property
    def text(self) -> str:
        """What it printed last, without the secrets that were handed over."""
        self._tail += self._masker.flush()
        return self._tail.decode(errors="replace")

    @property
    def last(self) -> str:
        """The last line that it printed."""
        lines = [line.strip() for line in self.text.splitlines() if line.strip()]
        return lines[-1] if lines else "it printed nothing"

    def run(
        self, machine: Machine, script: str, cwd: str = "/", answer: Answer | None = None
    ) -> Exit:
        """Run a script to its end. `answer` gets what it prints, and only its errors are the
        step's. Raises ImageError when it does not come to an end."""
        try:
            ended = machine.run(
                Command(
                    script,
                    env=self._env,
                    cwd=cwd,
                    timeout=STEP_TIMEOUT,
                    output=self._keep if answer is None else answer,
                    errors=self._keep if answer is not None else None,
                )
            )
        except MachineGoneError as gone:
            if gone.oom:
                raise self.error(f"{self.name}: {gone}") from gone
            raise
        if ended.timed_out:
            hung = f" (running: {ended.hung})" if ended.hung else ""
            raise self.error(f"{self.name} did not end within {STEP_TIMEOUT / 60:.0f} min{hung}")
        return ended

    def must(self, machine: Machine, script: str, cwd: str = "/") -> None:
        """Run a script that must succeed."""
        ended = self.run(machine, script, cwd)
        if ended.status != 0:
            raise self.error(f"{self.name} failed with status {ended.status}: {self.last}")

    def ask(self, machine: Machine, script: str, timeout: float) -> str:
        """What a script prints on a machine that is of no other use any more, at most
        `_ANSWER` bytes; '' where it fails or takes longer than `timeout` seconds. It is no
        part of the step's log, and raises nothing."""
        answer = Answer(_ANSWER)
        try:
            ended = machine.run(Command(script, env=self._env, timeout=timeout, output=answer))
        except InfrastructureError:
            return ""
        return bytes(answer).decode(errors="replace") if ended.status == 0 else ""

    def error(
        self, message: str, transient: bool = False, absent: tuple[str, ...] = ()
    ) -> ImageError:
        """The error of this step, with its log."""
        return ImageError(
            self._masker.mask(message),
            phase=self._phase,
            log=self.text,
            transient=transient,
            absent=absent,
        )

    def _keep(self, output: bytes) -> None:
        self._tail += self._masker.feed(output)
        if len(self._tail) > 2 * _LOG_TAIL:
            del self._tail[:-_LOG_TAIL]
