"""What a Vagrantfile of ours says to each of Vagrant's providers but libvirt.

None of them has been tried. The words are from their documentation: Vagrant's own of VirtualBox,
Hyper-V and VMware (vagrant/docs/providers), and the README of the plugin vagrant-proxmox.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple


class Wish(NamedTuple):
    """What each is asked for. `name`: the machine's, for who looks at them by hand; `memory` in
    MiB; `console`: the file for what comes out of its serial port. Strings are Ruby's."""

    name: str
    memory: int
    cpus: int
    console: str


def provider_lines(provider: str, wish: Wish) -> list[str]:
    """The lines in `config.vm.provider`, where it is called `it`."""
    return _SAID[provider](wish)


def _virtualbox(wish: Wish) -> list[str]:
    return [
        f"it.name = {wish.name}",
        f"it.memory = {wish.memory}",
        f"it.cpus = {wish.cpus}",
        "it.gui = false",
        'it.customize ["modifyvm", :id, "--uart1", "0x3F8", "4"]',
        f'it.customize ["modifyvm", :id, "--uartmode1", "file", {wish.console}]',
    ]


def _vmware(wish: Wish) -> list[str]:
    values = {
        "displayname": wish.name,
        "memsize": f'"{wish.memory}"',
        "numvcpus": f'"{wish.cpus}"',
        "serial0.present": '"TRUE"',
        "serial0.fileType": '"file"',
        "serial0.fileName": wish.console,
    }
    return ["it.gui = false", *(f'it.vmx["{key}"] = {value}' for key, value in values.items())]


def _hyperv(wish: Wish) -> list[str]:
    return [
        f"it.vmname = {wish.name}",
        f"it.memory = {wish.memory}",
        f"it.cpus = {wish.cpus}",
    ]


def _proxmox(wish: Wish) -> list[str]:
    """Which server, and as whom, is for the user's Vagrantfile to say."""
    return ['it.vm_name_prefix = "distromatrix_"', f"it.vm_memory = {wish.memory}"]


_SAID: dict[str, Callable[[Wish], list[str]]] = {
    "virtualbox": _virtualbox,
    "vmware_desktop": _vmware,
    "hyperv": _hyperv,
    "proxmox": _proxmox,
}
