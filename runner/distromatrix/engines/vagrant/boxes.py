"""Boxes of ours: what is made of an image once, known to Vagrant and libvirt."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from distromatrix.engines.contract import Leftover
from distromatrix.engines.guest.disk import bytes_of
from distromatrix.engines.guest.ready import PREFIX
from distromatrix.engines.image_store import Preparation
from distromatrix.engines.vagrant.disk import DISK_SIZE, make_system, prepare
from distromatrix.engines.vagrant.folders import (
    Home,
    digest,
    vagrant_boxes,
)
from distromatrix.files.lock import InUseError, hold
from distromatrix.files.user_folders import host_name

VERSION = "1"  # of the boxes that we make


@dataclass(frozen=True, slots=True)
class Box:
    """What is made of an image: `box.img`, `vmlinuz`, `initrd`."""

    name: str
    folder: Path

    @property
    def whole(self) -> bool:
        """Whether it is all there."""
        return (self.folder / "box.img").exists()


def have_box(
    home: Home,
    image: str,
    labels: Mapping[str, str],
    export: Callable[[str, Mapping[str, str], Preparation], Iterable[bytes]],
    form: int,
    key: Path,
) -> Box:
    """The box of an image in which that key (its private file) logs in; what is made meanwhile
    has those labels. Raises CannotStartError, InfrastructureError."""
    home.make()
    name = PREFIX + "box-" + digest([form, image, key.with_suffix(".pub").read_text()])
    box = Box(name, home.boxes / name)
    if not box.whole:
        with hold(lock_of(home, name)):
            if not box.whole:
                shutil.rmtree(box.folder, ignore_errors=True)
                part = box.folder.with_suffix(".part")
                shutil.rmtree(part, ignore_errors=True)
                part.mkdir(parents=True)
                first = prepare(key.with_suffix(".pub").read_text(encoding="ascii"))
                make_system(export(image, labels, first), part, "guest")
                part.replace(box.folder)
    with contextlib.suppress(OSError):
        os.utime(box.folder)
    return box


def register(home: Home, box: Box) -> None:
    """Have Vagrant and libvirt know the box, without the two copies of it that `vagrant box add`
    and an upload to the pool would make."""
    there = vagrant_boxes() / box.name / VERSION / "libvirt"
    there.mkdir(parents=True, exist_ok=True)
    facts = {"provider": "libvirt", "format": "qcow2", "virtual_size": DISK_SIZE}
    (there / "metadata.json").write_text(json.dumps(facts), encoding="utf-8")
    (there / "Vagrantfile").write_text("Vagrant.configure(2) { |config| }\n", encoding="utf-8")
    for link in (there / "box.img", home.pool / _volume(box.name)):
        if not link.exists():
            link.unlink(missing_ok=True)
            if link.parent == home.pool:
                os.link(box.folder / "box.img", link)
            else:
                link.symlink_to(box.folder / "box.img")


def remove_box(home: Home, name: str, used: Callable[[], bool]) -> None:
    """Remove a box, and what Vagrant knows of it; not while it is made, nor while it is `used`,
    which is asked once nobody can begin to use it."""
    with contextlib.suppress(InUseError), hold(lock_of(home, name), wait=0):
        if not used():
            shutil.rmtree(vagrant_boxes() / name, ignore_errors=True)
            (home.pool / _volume(name)).unlink(missing_ok=True)
            shutil.rmtree(home.boxes / name, ignore_errors=True)


def list_boxes(home: Home) -> Iterator[Leftover]:
    """All, each made when it was last used."""
    for folder in sorted(home.boxes.glob(f"{PREFIX}*/")):
        with contextlib.suppress(OSError):  # somebody has just removed it
            yield Leftover(
                kind="box",
                name=folder.name,
                run="",
                folder=str(folder),
                host=host_name(),
                kept=True,
                created=folder.stat().st_mtime,
                size=bytes_of(folder),
            )


def lock_of(home: Home, name: str) -> Path:
    """The file that is locked by who makes or removes a box, and shared by who uses it."""
    return home.boxes / f"{name}.lock"


def _volume(box: str) -> str:
    """The name that vagrant-libvirt gives to a box's volume."""
    return f"{box}_vagrant_box_image_{VERSION}_box.img"
