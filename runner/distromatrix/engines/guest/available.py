"""The engines of guests that this host could have: found without asking any of them."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable

from distromatrix.engines.guest.qemu_program import find_qemu, static_busybox
from distromatrix.errors import EngineUnavailableError
from distromatrix.plan.needs import GUESTS

# Engine -> its name for people, and what finds its program.
_PROGRAMS: dict[str, tuple[str, Callable[[], object]]] = {
    "qemu": ("QEMU", find_qemu),
    "vagrant": ("Vagrant", lambda: shutil.which("vagrant")),
}


def guests_here(arch: str) -> dict[str, str]:
    """Each engine of guests, with why it cannot be used on this host ('' where it can)."""
    if os.environ.get("DISTROMATRIX_FAKE"):  # for tests: the fake engine plays guests, too
        return dict.fromkeys(GUESTS, "")
    return {name: _missing(name, arch) for name in GUESTS}


def _missing(name: str, arch: str) -> str:
    title, find = _PROGRAMS[name]
    if name == "qemu" and arch != "x86_64":
        return f"direct guests run on x86_64 only, and this is {arch}"
    if not find():
        return f"{title} is not installed; `distromatrix doctor --guests --fix` installs it"
    if name == "qemu" and (lacking := _for_disks()):
        return f"there is no {lacking} here; `distromatrix doctor --guests --fix` installs it"
    return ""


def _for_disks() -> str:
    """What is missing of what makes a direct guest's disk, and boots it; '' where nothing is."""
    path = f"{os.environ.get('PATH', os.defpath)}:/usr/sbin:/sbin"
    wanted = ["qemu-img", "mke2fs", *(["fakeroot"] if os.geteuid() else [])]
    for program in wanted:
        if not shutil.which(program, path=path):
            return program
    try:
        static_busybox()
    except EngineUnavailableError:
        return "static busybox"
    return ""
