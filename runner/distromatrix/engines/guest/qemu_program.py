"""QEMU, the program: where it lies on this host, and which version it is."""

from __future__ import annotations

import platform
import shutil
import subprocess
from functools import cache
from pathlib import Path

from distromatrix.errors import EngineUnavailableError

PROGRAM = f"qemu-system-{platform.machine()}"
_RHEL = Path("/usr/libexec/qemu-kvm")  # RHEL's and its rebuilds' own, outside of $PATH
NAMES = (PROGRAM, _RHEL.name)  # under which its processes run, and which stand before its messages


def find_qemu() -> Path | None:
    """The QEMU for this machine's architecture."""
    found = shutil.which(PROGRAM) or shutil.which(_RHEL)
    return Path(found) if found else None


def require_qemu() -> Path:
    """The same. Raises EngineUnavailableError where there is none."""
    if (found := find_qemu()) is None:
        raise EngineUnavailableError(
            f"QEMU is not installed ({PROGRAM}): `distromatrix doctor --guests --fix` installs it",
            transient=False,
        )
    return found


def qemu_version() -> str:
    """What QEMU says of itself, a line. Raises EngineUnavailableError."""
    return _version(require_qemu())


@cache
def _version(qemu: Path) -> str:
    try:
        done = subprocess.run(
            [qemu, "--version"], capture_output=True, text=True, check=True, timeout=60
        )
    except (OSError, subprocess.SubprocessError) as error:
        raise EngineUnavailableError(f"QEMU does not start: {error}") from error
    return done.stdout.partition("\n")[0].strip()
