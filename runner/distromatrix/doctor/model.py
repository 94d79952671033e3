"""What doctor says, as data."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Status = Literal["ok", "warning", "missing"]
Thing = Literal[
    "engine", "podman", "bootstrap", "tar", "git", "ps", "qemu", "vagrant", "libvirt", "kernel"
]


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """One thing that was looked at.

    `found` says what is there, `why` what it is for or what goes wrong without it, `mend` are
    the exact commands that mend it, one a line. What `fix` can do about it: install
    `install`, run `commands`, start the engine (`start`), let the user in (`let_in`), and prove
    acceleration (`prove`).
    """

    name: str
    status: Status
    found: str
    why: str = ""
    mend: tuple[str, ...] = ()
    install: Thing | None = None
    commands: tuple[str, ...] = ()
    start: bool = False
    let_in: bool = False
    prove: bool = False
