"""Where Vagrant's guests have their files: all of one user's, below the cache folder.

    guests/vagrant/libvirt/      our libvirtd's folders
    guests/vagrant/pool/         disks, as volumes of its pool
    guests/vagrant/boxes/NAME/   what is made once of an image: box.img, vmlinuz, initrd
    guests/vagrant/templates/NAME/  a guest that was booted once, and saved
    guests/vagrant/machines/NAME/   a machine that is open, or was left
    guests/vagrant/key           the key that logs in to them

Names of boxes and templates begin with `distromatrix-template-`.
"""

from __future__ import annotations

import hashlib
import json
import os
import socket
import subprocess
from pathlib import Path

from distromatrix.engines.vagrant.libvirt.libvirtd import Libvirtd, short
from distromatrix.errors import EngineUnavailableError
from distromatrix.files.lock import hold
from distromatrix.files.own import own_folder
from distromatrix.files.user_folders import cache_path, home


class Home:
    """The folders, and the libvirtd whose folders are among them. `folder` is `guests/vagrant` of
    the cache."""

    def __init__(self, folder: Path, *, hide_kvm: bool = True) -> None:
        self.folder = folder
        self.pool = folder / "pool"
        self.libvirtd = Libvirtd(folder / "libvirt", self.pool, hide_kvm=hide_kvm)
        self.boxes = folder / "boxes"
        self.templates = folder / "templates"
        self.machines = folder / "machines"
        self.sockets = short(folder / "s")

    def make(self) -> None:
        """Have them."""
        own_folder("Vagrant's guests", self.folder)
        for one in (self.pool, self.boxes, self.templates, self.machines):
            one.mkdir(exist_ok=True)

    def key(self) -> Path:
        """The private key, made if need be; `.pub` beside it. Raises EngineUnavailableError."""
        key = self.folder / "key"
        if not key.with_suffix(".pub").exists():
            with hold(self.folder / "key.lock"):
                if not key.with_suffix(".pub").exists():
                    key.unlink(missing_ok=True)
                    make_key(key)
        return key


def vagrant_boxes() -> Path:
    """Where Vagrant keeps the user's boxes."""
    named = os.environ.get("VAGRANT_HOME")
    return (Path(named) if named else (home() or cache_path()) / ".vagrant.d") / "boxes"


def digest(what: list[object]) -> str:
    """A short name for what something is made of."""
    return hashlib.sha256(json.dumps(what).encode()).hexdigest()[:12]


def free_port() -> int:
    """A port of this machine that nobody listens on. Another may take it before QEMU does."""
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


def make_key(key: Path) -> None:
    """Make a pair of keys: that file, and `.pub` beside it. Raises EngineUnavailableError."""
    command = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "distromatrix", "-f", str(key)]
    try:
        subprocess.run(command, check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError) as error:
        raise EngineUnavailableError(
            f"no ssh key can be made, which Vagrant's guests need (openssh-client): {error}"
        ) from error
