"""From a container image to what a whole guest boots: a disk, a kernel, its initrd."""

from __future__ import annotations

import shutil
from collections.abc import Iterable
from importlib.resources import files
from pathlib import Path

from distromatrix.engines.guest_disk import fill_disk, remove_tree, run_tool
from distromatrix.engines.initramfs import static_busybox, system_initramfs
from distromatrix.engines.qemu_disk import find_kernel

DISK_SIZE = 16  # GiB that a guest may fill; the file on the host has holes

# $1: where to unpack, $2: the disk, $3: its size in GiB, $4: the script, $5 and $6: its arguments.
_MAKE = """tar -x --numeric-owner --xattrs --xattrs-include='*' -C "$1" -f -
cd "$1"
sh -e "$4" "$5" "$6"
mke2fs -q -F -t ext4 -m 0 -E lazy_itable_init=1,lazy_journal_init=1,root_owner=0:0 \
  -d . "$2" "$3"G
"""


def make_system(rootfs: Iterable[bytes], folder: Path, key: Path, hostname: str) -> None:
    """Make `box.img` (qcow2), `vmlinuz` and `initrd` in that folder, out of a root filesystem
    as a tar stream. `key`: the public key that may log in.

    Raises CannotStartError where no guest can be made of it, InfrastructureError.
    """
    static_busybox()  # better now than after the disk
    hold, raw = folder / "root", folder / "box.raw"
    hold.mkdir()
    try:
        script = files("distromatrix.engines").joinpath("inside/system.sh")
        local = folder / "system.sh"
        local.write_text(script.read_text(encoding="utf-8"), encoding="utf-8")
        arguments = [str(hold), str(raw), str(DISK_SIZE), str(local), str(key), hostname]
        fill_disk(rootfs, _MAKE, *arguments)
        kernel, modules = find_kernel(hold)
        shutil.copyfile(kernel, folder / "vmlinuz")
        (folder / "initrd").write_bytes(system_initramfs(modules))
        run_tool("qemu-img", "convert", "-O", "qcow2", str(raw), str(folder / "box.img"))
    finally:
        remove_tree(hold, ignore_errors=True)
        for file in (raw, folder / "system.sh"):
            file.unlink(missing_ok=True)
