"""From a container image to what a direct guest boots: a disk, a kernel, an initramfs.

All lie in a folder `distromatrix-template-…` of the cache, made once for an image."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from distromatrix.engines.guest.disk import bounded, fill_disk, remove_tree
from distromatrix.engines.guest.initramfs import initramfs
from distromatrix.engines.guest.kernel import read_kernel
from distromatrix.engines.guest.qemu_program import static_busybox

FORMAT = 3  # part of every template's name: raise it when what is made of an image changes
DISK_SIZE = 16 * 1024**3  # bytes that a guest may fill; the file on the host has holes
_HOLD = "root"

_MAKE = """tar -x --numeric-owner --xattrs --xattrs-include='*' -C "$1" -f -
cd "$1"
rm -f .dockerenv
[ -L run ] || rm -f run/.containerenv
mke2fs -q -t ext4 -E lazy_itable_init=1,root_owner=0:0 -d . "$2" "$3"k
"""


@dataclass(frozen=True, slots=True)
class Disk:
    """The files of a guest that has never run."""

    folder: Path

    @property
    def root(self) -> Path:
        """Its disk, raw, ext4."""
        return self.folder / "root.img"

    @property
    def kernel(self) -> Path:
        """A bzImage, or what else `qemu -kernel` takes."""
        return self.folder / "vmlinuz"

    @property
    def initramfs(self) -> Path:
        """See initramfs.py."""
        return self.folder / "initramfs"


def make_disk(rootfs: Iterable[bytes], folder: Path) -> Disk:
    """Make it in that folder, which is there and empty, out of a root filesystem as a tar
    stream. Raises CannotStartError where no guest can be made of it, InfrastructureError."""
    static_busybox()  # better now than after the disk
    folder.chmod(0o700)  # an image has programs that are setuid, and they lie there for a while
    disk, hold = Disk(folder), folder / _HOLD
    hold.mkdir()
    try:
        fill_disk(
            bounded(rootfs, DISK_SIZE), _MAKE, str(hold), str(disk.root), str(DISK_SIZE // 1024)
        )
        kernel = read_kernel(hold)
        disk.kernel.write_bytes(kernel.image)
        disk.initramfs.write_bytes(initramfs(kernel))
    finally:
        remove_tree(hold, ignore_errors=True)
    return disk
