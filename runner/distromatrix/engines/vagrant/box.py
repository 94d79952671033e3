"""A Vagrant box as a file: what our own guests are made of, for plain `vagrant box add`."""

from __future__ import annotations

import io
import tarfile
from pathlib import Path

from distromatrix.engines.guest.disk import run_tool
from distromatrix.engines.vagrant.boxes import METADATA
from distromatrix.engines.vagrant.vagrantfile import COMMAND_LINE
from distromatrix.errors import InfrastructureError
from distromatrix.files.whole import whole_file

# Its address comes by DHCP there.
_COMMAND_LINE = f"{COMMAND_LINE} systemd.wants=systemd-networkd.service"
_VAGRANTFILE = """# Written by distromatrix: %s. There is no boot loader in it: libvirt boots its
# kernel, which lies beside this file and must be readable to the user that QEMU runs as.
Vagrant.configure("2") do |config|
  here = File.expand_path(__dir__)
  config.ssh.private_key_path = File.join(here, "key")
  config.ssh.insert_key = false
  config.vm.synced_folder ".", "/vagrant", disabled: true
  config.vm.allow_fstab_modification = false
  config.vm.provider :libvirt do |libvirt|
    libvirt.kernel = File.join(here, "vmlinuz")
    libvirt.initrd = File.join(here, "initrd")
    libvirt.cmd_line = "%s"
    libvirt.disk_bus = "virtio"
    libvirt.graphics_type = "none"
    libvirt.video_type = "none"
  end
end
"""


def write_box(title: str, made: Path, key: Path, to: Path) -> None:
    """Write the box file `to` of what lies in the folder `made` (`box.img`, `vmlinuz`,
    `initrd`) with the private key that logs in. Raises InfrastructureError."""
    disk = to.with_name(f"{to.name}.img")
    try:
        convert = ("qemu-img", "convert", "-c", "-f", "qcow2", "-O", "qcow2")
        run_tool(*convert, str(made / "box.img"), str(disk))
        with (
            whole_file(to) as file,
            tarfile.open(fileobj=file, mode="w", dereference=True) as tar,
        ):
            _add(tar, "metadata.json", METADATA.encode())
            _add(tar, "Vagrantfile", (_VAGRANTFILE % (title, _COMMAND_LINE)).encode())
            _add(tar, "key", key.read_bytes(), mode=0o600)
            tar.add(disk, "box.img", filter=_plain)
            for name in ("vmlinuz", "initrd"):
                tar.add(made / name, name, filter=_plain)
    except OSError as error:
        raise InfrastructureError(f"{error.filename or to}: {error.strerror}") from error
    finally:
        disk.unlink(missing_ok=True)


def _add(tar: tarfile.TarFile, name: str, content: bytes, mode: int = 0o644) -> None:
    info = tarfile.TarInfo(name)
    info.size, info.mode = len(content), mode
    tar.addfile(info, io.BytesIO(content))


def _plain(info: tarfile.TarInfo) -> tarfile.TarInfo:
    info.uid = info.gid = 0
    info.uname = info.gname = ""
    info.mode = 0o644
    return info
