"""What a Vagrantfile of ours says to each of Vagrant's providers but libvirt.

None of them has been tried. The words are from their documentation: Vagrant's own of VirtualBox,
Hyper-V and VMware (vagrant/docs/providers), and the README of the plugin vagrant-proxmox.
"""

from __future__ import annotations

# Of each the lines in `config.vm.provider`, where it is called `it`. `name`: the machine's, for who
# looks at them by hand; `memory` in MiB; `console`: the file for what comes out of its serial port.
# (Which server of Proxmox, and as whom, is for the user's Vagrantfile to say.)
_SAID = {
    "virtualbox": (
        "it.name = {name}",
        "it.memory = {memory}",
        "it.cpus = {cpus}",
        "it.gui = false",
        'it.customize ["modifyvm", :id, "--uart1", "0x3F8", "4"]',
        'it.customize ["modifyvm", :id, "--uartmode1", "file", {console}]',
    ),
    "vmware_desktop": (
        "it.gui = false",
        'it.vmx["displayname"] = {name}',
        'it.vmx["memsize"] = "{memory}"',
        'it.vmx["numvcpus"] = "{cpus}"',
        'it.vmx["serial0.present"] = "TRUE"',
        'it.vmx["serial0.fileType"] = "file"',
        'it.vmx["serial0.fileName"] = {console}',
    ),
    "hyperv": ("it.vmname = {name}", "it.memory = {memory}", "it.cpus = {cpus}"),
    "proxmox": ('it.vm_name_prefix = "distromatrix_"', "it.vm_memory = {memory}"),
}


def provider_lines(provider: str, **wish: object) -> list[str]:
    """What it is told of a machine; strings of `wish` (see _SAID) are Ruby's."""
    return [line.format(**wish) for line in _SAID[provider]]
