"""What a network namespace or an engine of a test leaves on this machine, found by its name."""

from __future__ import annotations

import contextlib
import shlex
import subprocess
from pathlib import Path


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
