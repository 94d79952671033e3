"""Calls of Vagrant itself, and its own words for what went wrong, shortened."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import subprocess
import time
from collections import deque
from collections.abc import Callable
from functools import partial
from pathlib import Path
from threading import Event, Thread

from distromatrix.errors import EngineUnavailableError, InfrastructureError

_COLOURS = re.compile(r"\x1b\[[0-9;]*[A-Za-z]|\r")
_BELOW = re.compile(r"is (reproduced|shown) below.*:$")  # after it comes what it means
_SILENT = "Timed out while waiting for the machine to boot"
_LONGEST = 400
_LINE, _LINES = 4096, 4096  # characters of a line, and lines that are kept
_DOTFILES = "VAGRANT_DOTFILE_PATH"
# Lines with which Vagrant begins what it says, and what they mean is in the ones after them.
_PREFACE = (
    "There is a syntax error in the following Vagrantfile",
    "There was an error loading a Vagrantfile",
    "There are errors in the configuration of this machine",
    "Vagrant failed to initialize at a very early stage",
    "The plugins failed to initialize correctly",
    "The box you're attempting to add",
)


def vagrant(
    *arguments: str,
    folder: Path,
    timeout: float,
    root: Path | None = None,
    log: Path | None = None,
    hopeless: Callable[[], str] = lambda: "",
) -> str:
    """What `vagrant ARGUMENTS` prints of the Vagrantfile in that folder; `log` gets it line by
    line. Paths in it begin from `root`, where that is another folder. It is ended
    as soon as `hopeless`, asked each second, says why there is no use in waiting.

    Raises InfrastructureError with Vagrant's own message, EngineUnavailableError where there
    is no Vagrant.
    """
    env = {
        **os.environ,
        "VAGRANT_CHECKPOINT_DISABLE": "1",
        "LC_ALL": "C.UTF-8",
        "VAGRANT_VAGRANTFILE": str(folder / "Vagrantfile"),
        _DOTFILES: str(folder / ".vagrant"),
    }
    env.pop("VAGRANT_CWD", None)  # it would have it look elsewhere
    try:
        process = subprocess.Popen(
            ["vagrant", *arguments, "--no-color"],
            cwd=root or folder,
            env=env,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            start_new_session=True,
        )
    except FileNotFoundError as error:
        raise EngineUnavailableError(
            "there is no Vagrant here: `distromatrix doctor --guests --fix` installs it"
        ) from error
    assert process.stdout is not None  # noqa: S101
    lines: deque[str] = deque(maxlen=_LINES)
    guard = _Guard(process, timeout, hopeless)
    try:
        for line in iter(partial(process.stdout.readline, _LINE), ""):
            lines.append(_COLOURS.sub("", line).rstrip())
            if log is not None:
                with log.open("a", encoding="utf-8") as file:
                    file.write(f"{lines[-1]}\n")
        status = process.wait()
    except BaseException:
        _end(process)
        raise
    finally:
        guard.done.set()
    if guard.why:
        raise InfrastructureError(f"vagrant {arguments[0]}: {guard.why}", transient=False)
    if guard.late:
        last = next((line for line in reversed(lines) if line), "nothing")
        raise InfrastructureError(
            f"`vagrant {arguments[0]}` was not done after {timeout:.0f} s; it last said: {last}"
        )
    if status != 0:
        said = message([*lines])
        if said.startswith(_SILENT):
            said = "nothing answers by ssh in the guest: does it have an SSH server, and a network?"
        raise InfrastructureError(f"vagrant {arguments[0]}: {said}", transient=False)
    return "\n".join(lines)


def end_in(folder: Path) -> None:
    """End what is left of calls for that folder, whose caller was killed. Never raises."""
    mark = f"{_DOTFILES}={folder / '.vagrant'}".encode()
    for process in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError, ValueError):
            if mark in (process / "environ").read_bytes().split(b"\0"):
                os.kill(int(process.name), signal.SIGKILL)


class _Guard:
    """Ends a process that is late, or of which there is nothing to hope for."""

    def __init__(
        self, process: subprocess.Popen[str], timeout: float, hopeless: Callable[[], str]
    ) -> None:
        self.done = Event()
        self.late = False
        self.why = ""
        Thread(target=self._look, args=(process, timeout, hopeless), daemon=True).start()

    def _look(
        self, process: subprocess.Popen[str], timeout: float, hopeless: Callable[[], str]
    ) -> None:
        deadline = time.monotonic() + timeout
        while not self.done.wait(1.0):
            self.why = hopeless()
            self.late = time.monotonic() > deadline
            if self.why or self.late:
                _end(process)
                return


def message(lines: list[str]) -> str:
    """Vagrant's message in one line: of what it printed, that which it said last and at length.

    A message follows lines of progress (`==> guest: …`), and is several lines long."""
    said: list[str] = []
    for line in lines:
        if line.startswith(("==> ", "    ", "Bringing machine")) and not said:
            continue
        if line.startswith("==> "):
            said.clear()
        elif line.strip():
            said.append(line.strip())
    below = [number for number, line in enumerate(said[:4], 1) if _BELOW.search(line)]
    if below and below[-1] < len(said):
        del said[: below[-1]]
    while len(said) > 1 and said[0].startswith(_PREFACE):
        del said[0]
        if said and not _is_fact(said[0]) and len(said) > 1:
            del said[0]
    text = " ".join(said) or (lines[-1].strip() if lines else "it says nothing")
    return text if len(text) <= _LONGEST else text[: _LONGEST - 1] + "…"


def _is_fact(line: str) -> bool:
    return "/" in line or ":" in line


def _end(process: subprocess.Popen[str]) -> None:
    """End it with all that it started: first so that it can clean up."""
    for number, seconds in ((signal.SIGINT, 5.0), (signal.SIGKILL, 5.0)):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, number)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(seconds)
            return
