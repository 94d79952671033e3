"""The engines of guests that this host could have: found without asking any of them."""

from __future__ import annotations

import os
import shutil
from importlib.util import find_spec

from distromatrix.needs import GUESTS

# Engine -> its name for people, and the programs of which one must be there; `{arch}` stands for
# this machine's. RHEL and its kin have QEMU outside of PATH.
PROGRAMS = {
    "qemu": ("QEMU", ("qemu-system-{arch}", "/usr/libexec/qemu-kvm")),
    "vagrant": ("Vagrant", ("vagrant",)),
}


def guests_here(arch: str) -> dict[str, str]:
    """Each engine of guests, with why it cannot be used on this host ('' where it can)."""
    if os.environ.get("DISTROMATRIX_FAKE"):  # for tests: the fake engine plays guests, too
        return dict.fromkeys(GUESTS, "")
    return {name: _missing(name, arch) for name in GUESTS}


def _missing(name: str, arch: str) -> str:
    title, programs = PROGRAMS[name]
    if find_spec(f"distromatrix.engines.{name}") is None:
        return f"this version of distromatrix has no engine {name}"
    if not any(shutil.which(program.format(arch=arch)) for program in programs):
        return f"{title} is not installed; `distromatrix doctor --guests --fix` installs it"
    return ""
