"""From a container image to what a whole guest boots: a disk, a kernel, its initrd."""

from __future__ import annotations

from collections.abc import Iterable
from importlib.resources import files
from pathlib import Path

from distromatrix.engines.guest.disk import bounded, fill_disk, remove_tree, run_tool
from distromatrix.engines.guest.initramfs import system_initramfs
from distromatrix.engines.guest.kernel import read_inside, read_kernel
from distromatrix.engines.guest.qemu_program import static_busybox
from distromatrix.engines.image_store import Preparation

DISK_SIZE = 16  # GiB that a guest may fill; the file on the host has holes

# $1: where to unpack, $2: the disk, $3: its size in GiB, $4: the host's name. What the image says
# is followed nowhere: nothing is written but into its /etc, which is a folder, by names that are
# free.
_MAKE = """tar -x --numeric-owner --xattrs --xattrs-include='*' -C "$1" -f -
cd "$1"
if [ -L etc ] || [ ! -d etc ]; then echo "its /etc is not a folder" >&2; exit 3; fi
rm -rf .dockerenv etc/hosts etc/hostname etc/resolv.conf
[ -L run ] || rm -f run/.containerenv
echo "$4" >etc/hostname
# A host name that does not resolve costs ten seconds at each sudo.
printf '127.0.0.1 localhost\\n127.0.1.1 %s\\n::1 localhost\\n' "$4" >etc/hosts
printf 'nameserver 10.0.2.3\\n' >etc/resolv.conf # its network has its resolver there
mke2fs -q -F -t ext4 -m 0 -E lazy_itable_init=1,lazy_journal_init=1,root_owner=0:0 \
  -d . "$2" "$3"G
"""
_COMPLAINTS = {
    3: "it has no sshd: name openssh-server in its guest's `system:`",
    4: "it has no sudo: name it in its guest's `system:`",
    5: "it has no ssh-keygen that makes a key for its sshd",
}
HOST_KEY = "host_key.pub"  # beside the disk
_HOST_KEY = "etc/ssh/ssh_host_ed25519_key.pub"
_MOST_KEY = 4096  # bytes


def prepare(key: str) -> Preparation:
    """What is done in a container of an image before a system is made of it. `key`: the public
    key that may log in."""
    script = files("distromatrix.engines.guest").joinpath("inside/system.sh")
    return Preparation(script.read_text(encoding="utf-8"), (key.strip(),), _COMPLAINTS)


def make_system(rootfs: Iterable[bytes], folder: Path, hostname: str) -> None:
    """Make `box.img` (qcow2), `vmlinuz`, `initrd` and `host_key.pub` in that folder, out of a
    root filesystem as a tar stream in which `prepare` was done.

    Raises CannotStartError where no guest can be made of it, InfrastructureError.
    """
    static_busybox()  # better now than after the disk
    folder.chmod(0o700)  # an image has programs that are setuid, and they lie there for a while
    hold, raw, disk = folder / "root", folder / "box.raw", folder / "box.img"
    hold.mkdir()
    try:
        arguments = [str(hold), str(raw), str(DISK_SIZE), hostname]
        fill_disk(bounded(rootfs, DISK_SIZE * 1024**3), _MAKE, *arguments)
        kernel = read_kernel(hold)
        (folder / "vmlinuz").write_bytes(kernel.image)
        (folder / "initrd").write_bytes(system_initramfs(kernel))
        (folder / HOST_KEY).write_bytes(read_inside(hold, _HOST_KEY, _MOST_KEY))
        run_tool("qemu-img", "convert", "-f", "raw", "-O", "qcow2", str(raw), str(disk))
    finally:
        remove_tree(hold, ignore_errors=True)
        raw.unlink(missing_ok=True)
