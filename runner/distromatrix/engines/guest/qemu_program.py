"""QEMU, the program: where it lies on this host, and which version it is."""

from __future__ import annotations

import platform
import shutil
import stat
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


def static_busybox() -> Path:
    """The host's static busybox. Raises EngineUnavailableError."""
    for name in ("busybox", "busybox.static", "busybox-static"):
        found = shutil.which(name)
        if found and is_static(Path(found)):
            return Path(found)
    raise EngineUnavailableError(
        "no static busybox is installed, from which guests start: install busybox-static "
        "(`distromatrix doctor --guests --fix` does)"
    )


def is_static(file: Path) -> bool:
    """Whether an ELF program needs no loader: none of its segments is PT_INTERP (elf(5))."""
    try:
        with file.open("rb") as opened:
            head = opened.read(64)
            if head[:5] != b"\x7fELF\x02":
                return False
            at, size = int.from_bytes(head[32:40], "little"), int.from_bytes(head[54:56], "little")
            opened.seek(at)
            table = opened.read(size * int.from_bytes(head[56:58], "little"))
    except OSError:
        return False
    kinds = (table[n : n + 4] for n in range(0, len(table), size or 1))
    return stat.S_ISREG(file.stat().st_mode) and b"\x03\0\0\0" not in kinds
