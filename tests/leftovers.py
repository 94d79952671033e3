"""What a network namespace or an engine of a test leaves on this machine, found by its name."""

from __future__ import annotations

import contextlib
import shlex
import shutil
import subprocess
from pathlib import Path
from time import monotonic, sleep

from filelock import FileLock, Timeout

PATIENCE = 120.0  # seconds that processes have to end on a busy machine


def remove_ended(folder: Path) -> None:
    """All that is named after a folder of what has ended, and that folder; nothing of what runs,
    which holds the `lock` in it. Raises TimeoutError."""
    lock = FileLock(folder / "lock", timeout=0)
    try:
        lock.acquire()
    except (Timeout, OSError):
        return
    remove_rules(folder.name)
    # Where the process was killed that began it, the last of those that it began may still end.
    deadline = monotonic() + PATIENCE
    while folder.exists() or groups(folder.name):
        remove_groups(folder.name)
        shutil.rmtree(folder, ignore_errors=True)
        if monotonic() > deadline:
            raise TimeoutError(f"{folder} cannot be removed")
        sleep(0.02)
    lock.release()


def remove_rules(name: str) -> None:
    """The rules of iptables whose comment is that name."""
    for table in ("nat", "filter"):
        words = ["iptables", "-w", "-t", table]
        listed = subprocess.run([*words, "-S"], capture_output=True, text=True, check=False)
        for line in listed.stdout.splitlines():
            if line.startswith("-A ") and name in line:
                subprocess.run([*words, "-D", *shlex.split(line)[1:]], check=False)


def groups(name: str) -> list[Path]:
    """The control groups of that name and those below them, the innermost first."""
    top = Path("/sys/fs/cgroup")
    parents = (top, *(one for one in top.iterdir() if one.is_dir()))
    found = [parent / name for parent in parents if (parent / name).is_dir()]
    return [one for own in found for one in (*sorted(own.rglob("*/"), reverse=True), own)]


def remove_groups(name: str) -> None:
    """Those, as far as nothing runs in them."""
    for group in groups(name):
        with contextlib.suppress(OSError):
            group.rmdir()
