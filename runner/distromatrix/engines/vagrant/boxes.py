"""Boxes of ours: what is made of an image once (`box.img`, `vmlinuz`, `initrd`), each in its
folder, known to Vagrant and libvirt."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from distromatrix.engines.contract import OnStep, quiet
from distromatrix.engines.guest.ready import PREFIX, Store, read_facts
from distromatrix.engines.image_store import Preparation
from distromatrix.engines.vagrant.disk import DISK_SIZE, make_system, prepare
from distromatrix.engines.vagrant.folders import Home, digest, vagrant_boxes
from distromatrix.engines.vagrant.libvirt.libvirtd import POOL

VERSION = "1"  # of the boxes that we make
# What Vagrant wants to know of each.
METADATA = json.dumps({"provider": "libvirt", "format": "qcow2", "virtual_size": DISK_SIZE})
FORMAT = 7  # part of every name here: raise it when what is made of an image changes


class Boxes:
    """Makes and finds them. `export` as the images' store has it."""

    def __init__(
        self,
        home: Home,
        export: Callable[[str, Mapping[str, str], Preparation], Iterable[bytes]],
    ) -> None:
        self._home = home
        self._export = export
        self.store = Store(home.boxes, self._forget, kind="box")

    @contextmanager
    def hold(
        self, image: str, labels: Mapping[str, str], key: Path, on_step: OnStep = quiet
    ) -> Iterator[Path]:
        """The folder of the box of an image in which that key (its private file) logs in, held
        meanwhile; what is made for it has those labels. Raises CannotStartError,
        InfrastructureError."""
        self._home.make()
        name = self.name(image, key)
        first = prepare(_public(key))

        def make(folder: Path) -> dict[str, str]:
            make_system(self._export(image, labels, first), folder, "guest")
            return {"image": image}

        with self.store.hold(name, make, read_facts, partial(on_step, "making its disk")):
            yield self._home.boxes / name

    def name(self, image: str, key: Path) -> str:
        """What the box of an image with that key is called."""
        return PREFIX + "box-" + digest([FORMAT, image, _public(key)])

    def _forget(self, box: Path) -> None:
        shutil.rmtree(vagrant_boxes() / box.name, ignore_errors=True)
        _volume(self._home, box.name).unlink(missing_ok=True)


def register(home: Home, box: Path) -> None:
    """Have Vagrant and libvirt know the box, without the two copies of it that `vagrant box add`
    and an upload to the pool would make. Raises InfrastructureError."""
    there = vagrant_boxes() / box.name / VERSION / "libvirt"
    there.mkdir(parents=True, exist_ok=True)
    (there / "metadata.json").write_text(METADATA, encoding="utf-8")
    (there / "Vagrantfile").write_text("Vagrant.configure(2) { |config| }\n", encoding="utf-8")
    if not (link := there / "box.img").exists():
        link.unlink(missing_ok=True)
        link.symlink_to(box / "box.img")
    if not (volume := _volume(home, box.name)).exists():
        os.link(box / "box.img", volume)
    home.libvirtd("pool-refresh", POOL)


def _volume(home: Home, box: str) -> Path:
    """By the name that vagrant-libvirt gives to a box's volume."""
    return home.pool / f"{box}_vagrant_box_image_{VERSION}_box.img"


def _public(key: Path) -> str:
    return key.with_suffix(".pub").read_text(encoding="ascii")
