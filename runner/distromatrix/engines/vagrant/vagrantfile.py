"""The Vagrantfile that we write: for a person to read, and for plain `vagrant` commands."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from distromatrix.engines.vagrant.libvirt.libvirtd import POOL
from distromatrix.engines.vagrant.providers import provider_lines
from distromatrix.model import ProviderName

MACHINE = "guest"  # what Vagrant calls it, unless the user's own Vagrantfile has a word for it

_ADDRESS = """# The plugin asks a DHCP server for the guest's address. This guest has QEMU's own
# network, and its sshd is reached through a port of this machine.
require "vagrant-libvirt/driver"
module DistromatrixAddress
  def get_ipaddress(*arguments)
    @machine.config.ssh.host || super
  end
end
VagrantPlugins::ProviderLibvirt::Driver.prepend(DistromatrixAddress)

# Vagrant asks for ssh again and again without a pause, which takes the processor from a guest that
# boots. Wait until sshd says its first word, then let Vagrant ask.
require "socket"
require "vagrant-libvirt/action/wait_till_up"
module DistromatrixPatience
  def call(env)
    machine = env[:machine]
    deadline = Time.now + machine.config.vm.boot_timeout
    until distromatrix_heard?(machine.config.ssh) || env[:interrupted] || Time.now > deadline
      sleep 0.2
      break unless machine.state.id == :running
    end
    raise Vagrant::Errors::VMBootTimeout if Time.now > deadline
    super
  end

  def distromatrix_heard?(ssh)
    Socket.tcp(ssh.host, ssh.port, connect_timeout: 2) do |socket|
      IO.select([socket], nil, nil, 5) && socket.read_nonblock(4) == "SSH-"
    end
  rescue SystemCallError, IOError
    false
  end
end
VagrantPlugins::ProviderLibvirt::Action::WaitTillUp.prepend(DistromatrixPatience)
"""
# QEMU opens whatever file of this host a disk's header names, and so does a link.
DISKS = """
# A box's disk is one plain file of its own.
require "json"
require "open3"
require "vagrant-libvirt/action/handle_box_image"
module DistromatrixDisk
  def send_box_image(env, config, path, volume)
    why = distromatrix_foreign(path, volume)
    raise Vagrant::Errors::VagrantError.new.exception("its box: #{path}: #{why}") if why
    super
  end

  def distromatrix_foreign(path, volume)
    return "it is not a regular file" unless File.lstat(path).file?
    packed = File.binread(path, 4) == "QFI\\xFB".b
    return (volume[:format] == "raw" ? nil : "it is neither qcow2 nor raw") unless packed
    said, status = Open3.capture2("qemu-img", "info", "-f", "qcow2", "--output=json", path)
    return "qemu-img cannot read it" unless status.success?
    found = JSON.parse(said)
    data = found.dig("format-specific", "data", "data-file")
    "its disk stands on another file" if found["backing-filename"] || data
  end
end
VagrantPlugins::ProviderLibvirt::Action::HandleBoxImage.prepend(DistromatrixDisk)
"""
_LINUX = """
# A Linux whose disk is new: nothing of an earlier synced folder is to be looked for in it.
class DistromatrixGuest < Vagrant.plugin("2")
  name "distromatrix"
  guest(:distromatrix, :linux) { Class.new(Vagrant.plugin("2", :guest)) }
  guest_capability(:distromatrix, :persist_mount_shared_folder) do
    Module.new { def self.persist_mount_shared_folder(*); end }
  end
end
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Definition:
    """What a Vagrantfile says. `name`: the domain's; `box`: a Vagrant box's, '' where `own`, the
    user's Vagrantfile, says it; `kernel` and `initrd` are booted where they are named; `guest`:
    what Vagrant need not find out by asking the guest; `key`: the private key, '' for Vagrant's."""

    title: str
    name: str
    uri: str
    port: int
    memory: int  # MiB
    cpus: int
    kvm: bool
    cpu: str
    console: str
    network: bool = True
    box: str = ""
    version: str = ""
    own: Path | None = None
    machine: str = MACHINE
    kernel: str = ""
    initrd: str = ""
    key: str = ""
    user: str = ""
    provider: ProviderName = "libvirt"
    emulator: str = ""


def arguments_of(definition: Definition) -> tuple[str, ...]:
    """QEMU's arguments for the network: without a bridge, a DHCP server and their rights."""
    closed = "" if definition.network else "restrict=on,"
    forward = f"hostfwd=tcp:127.0.0.1:{definition.port}-:22"
    return (
        *("-netdev", f"user,id=ssh,{closed}{forward}"),
        *("-device", "virtio-net-pci,netdev=ssh,addr=0x10,romfile="),
    )


def vagrantfile(definition: Definition) -> str:
    """Its text."""
    d = definition
    lines = [
        f"# {' '.join(d.title.split())}",
        "# Written by distromatrix. `vagrant up`, `vagrant ssh`, `vagrant destroy` work here.",
    ]
    ours = d.provider == "libvirt"
    lines += [_ADDRESS, DISKS] if ours else [""]
    lines += [_LINUX] if d.kernel else []
    if d.own is not None:
        lines += [loaded(d.own)]
    # In the machine's own part, and last: the user's may say there what it likes. (And the plugin
    # fails on a serial port in the part for all, and any word of its own in a machine's.)
    machine = f"all.vm.define {_ruby(d.machine)} do |config|"
    lines += [f'Vagrant.configure("2") {{ |all| {machine}']
    if d.own is None:
        lines += [f"  config.vm.box = {_ruby(d.box)}"]
        lines += [f"  config.vm.box_version = {_ruby(d.version)}"] if d.version else []
        lines += ["  config.vm.guest = :distromatrix"] if d.kernel else []
    lines += [
        "  config.vm.box_check_update = false",
        '  config.vm.synced_folder ".", "/vagrant", disabled: true',
        *(["  config.vm.boot_timeout = 600"] if d.own is None else []),
        "  config.vm.allow_fstab_modification = false",
        # Ours has its key in it; of another's, whose key everybody knows, Vagrant makes one anew.
        *([f"  config.ssh.private_key_path = {_ruby(d.key)}"] if d.key else []),
        *(["  config.ssh.insert_key = false"] if d.key else []),
        *([f"  config.ssh.username = {_ruby(d.user)}"] if d.user else []),
        *(_libvirt(d) if ours else _other(d)),
        "end }",
    ]
    return "\n".join(lines) + "\n"


def loaded(own: Path) -> str:
    """What reads the user's Vagrantfile."""
    return f"load {_ruby(str(own))}\n"


def _other(d: Definition) -> list[str]:
    wish = {"name": _ruby(d.name), "console": _ruby(d.console), "memory": d.memory, "cpus": d.cpus}
    said = (f"    {line}" for line in provider_lines(d.provider, **wish))
    return [f"  config.vm.provider :{d.provider} do |it|", *said, "  end"]


def _libvirt(d: Definition) -> list[str]:
    return [
        '  config.ssh.host = "127.0.0.1"',
        f"  config.ssh.port = {d.port}",
        "  config.vm.provider :libvirt do |libvirt|",
        f"    libvirt.uri = {_ruby(d.uri)}",
        f"    libvirt.storage_pool_name = {_ruby(POOL)}",
        f"    libvirt.default_prefix = {_ruby(d.name + '-')}",
        *([f"    libvirt.emulator_path = {_ruby(d.emulator)}"] if d.emulator else []),
        f"    libvirt.driver = {_ruby('kvm' if d.kvm else 'qemu')}",
        *_cpu(d),
        f"    libvirt.memory = {d.memory}",
        f"    libvirt.cpus = {d.cpus}",
        *_boot(d),
        '    libvirt.graphics_type = "none"',
        '    libvirt.video_type = "none"',
        f'    libvirt.serial type: "file", source: {{path: {_ruby(d.console)}}}',
        "    # No bridge and no DHCP server; the plugin then wants to hear of an agent.",
        "    libvirt.mgmt_attach = false",
        "    libvirt.qemu_use_agent = true",
        '    libvirt.channel type: "unix", target_name: "org.qemu.guest_agent.0", '
        'target_type: "virtio"',
        *(f"    libvirt.qemuargs value: {_ruby(value)}" for value in arguments_of(d)),
        "  end",
    ]


def _cpu(d: Definition) -> list[str]:
    if d.kvm and d.cpu == "host":
        return ['    libvirt.cpu_mode = "host-passthrough"']
    if d.cpu == "max":
        return ['    libvirt.cpu_mode = "maximum"']
    return ['    libvirt.cpu_mode = "custom"', f"    libvirt.cpu_model = {_ruby(d.cpu)}"]


def _boot(d: Definition) -> list[str]:
    if not d.kernel:
        return []
    return [
        f"    libvirt.kernel = {_ruby(d.kernel)}",
        f"    libvirt.initrd = {_ruby(d.initrd)}",
        f"    libvirt.cmd_line = {_ruby(command_line(kvm=d.kvm))}",
    ]


# `fsck.mode=skip`: the disk is new; `net.ifnames=0`: the same names whatever the bus.
COMMAND_LINE = (
    "root=/dev/vda rw console=ttyS0 loglevel=4 fsck.mode=skip net.ifnames=0 "
    "systemd.show_status=false random.trust_cpu=on mitigations=off"
)
# Where QEMU's own network has the guest, and the way out (its documentation, "User mode network").
_ADDRESS_OF = "distromatrix.network=10.0.2.15/24,10.0.2.2"
# What udev would load for the features of an emulated processor, each of which takes a while; who
# wants one loads it. See qemu/process.py for `norandmaps`.
_EMULATED = (
    "norandmaps modprobe.blacklist=kvm,kvm_amd,kvm_intel,powernow_k8,acpi_cpufreq,aesni_intel,"
    "ghash_clmulni_intel,crct10dif_pclmul,crc32_pclmul,sha512_ssse3,sha256_ssse3,sha1_ssse3,"
    "polyval_clmulni,psmouse,pcspkr,i2c_piix4,edac_mce_amd,ata_piix,ata_generic"
)


def command_line(*, kvm: bool) -> str:
    """The kernel's, for a guest in QEMU's own network."""
    return f"{COMMAND_LINE} {_ADDRESS_OF}" + ("" if kvm else f" {_EMULATED}")


def _ruby(text: str) -> str:
    """A string of Ruby, which takes JSON's words for it once `#` begins nothing in it."""
    return json.dumps(text).replace("#", "\\#")
