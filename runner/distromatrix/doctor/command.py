"""Runs the commands that mend things."""

from __future__ import annotations

import shlex
import subprocess
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

from distromatrix.engines.answer import hear_out
from distromatrix.errors import InfrastructureError

LAST_LINES = 20
_WITHIN = 7200.0  # seconds; it may be an installation

Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class CommandResult:
    """How a command ended, with all it printed. 127: there is no such command."""

    status: int
    output: str = ""


Run = Callable[[str], CommandResult]


def run_command(command: str) -> CommandResult:
    """Run a command line of ours; its standard input is the user's, for sudo may ask."""
    try:
        process = subprocess.Popen(
            shlex.split(command), stdout=subprocess.PIPE, stderr=subprocess.STDOUT
        )
        said, _ = hear_out(process, _WITHIN)
    except OSError as error:
        return CommandResult(127, str(error))
    except subprocess.TimeoutExpired:
        return CommandResult(124, f"it was not done after {_WITHIN:.0f} s")
    return CommandResult(process.returncode, said.decode(errors="replace"))


def must(command: str, run: Run, say: Say) -> None:
    """Say and run it. Raises InfrastructureError with its last lines when it fails."""
    say(f"$ {command}")
    ended = run(command)
    if ended.status != 0:
        last = "\n".join(deque(ended.output.splitlines(), LAST_LINES))
        message = f"`{command}` failed (exit status {ended.status}):\n{last}"
        raise InfrastructureError(message.rstrip(), transient=False)
