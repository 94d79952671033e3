"""One QEMU process: its command line, its start, its end."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from distromatrix.engines.guest import way_out
from distromatrix.engines.guest.acceleration import MACHINE, Accel
from distromatrix.engines.guest.qemu_program import NAMES, require_qemu
from distromatrix.engines.qemu.disk import Disk
from distromatrix.engines.qemu.ports import NUMBERS, socket_name
from distromatrix.errors import InfrastructureError

_KERNEL = "console=ttyS0 quiet panic=-1 oops=panic net.ifnames=0"
# For software emulation. It has no processor that could leak; and QEMU keeps what it has translated
# of a program by its address: at another in each process, all would be translated anew each time,
# which makes a command three times as slow.
_EMULATED = "mitigations=off norandmaps"
QMP_SOCKET = "qmp"
CONSOLE = "console.log"
LOG = "qemu.log"
OVERLAY = "disk.qcow2"
# The product's disk: as large as that in every guest, so that a saved one takes any product.
PRODUCT_SIZE = 1024**4


@dataclass(frozen=True, slots=True, kw_only=True)
class Virtual:
    """What a guest is made of, but for its disk; `memory` in bytes."""

    accel: Accel
    cpus: int
    memory: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Memory:
    """Its RAM in a file: `shared`, what it writes goes there; else its changes are its own.
    `saved`: the rest of its state is in that file, and it goes on from there."""

    file: Path
    shared: bool
    saved: Path | None = None


def arguments(
    name: str,
    virtual: Virtual,
    disk: Disk,
    *,
    memory: Memory | None = None,
    product: Path | None = None,
    network: bool = True,
) -> list[str]:
    """QEMU's arguments for a guest whose overlay and sockets lie in the current folder."""
    size = f"{virtual.memory // 1024**2}M"
    ram = f"memory-backend-ram,id=ram,size={size}"
    if memory is not None:
        share = "on" if memory.shared else "off"
        ram = f"memory-backend-file,id=ram,size={size},mem-path={_value(memory.file)},share={share}"
    blank = f"driver=null-co,size={PRODUCT_SIZE},read-zeroes=on"
    given = f"driver=raw,file.driver=file,file.filename={_value(product)}" if product else blank
    return [
        *("-name", f"guest={name}", "-nodefaults", "-no-user-config"),
        *("-display", "none", "-no-reboot"),
        *("-sandbox", f"on,spawn={'allow' if memory and memory.shared else 'deny'}"),
        *("-machine", f"{MACHINE},memory-backend=ram,vmport=off", "-object", ram, "-m", size),
        *(*virtual.accel.arguments, "-smp", str(virtual.cpus)),
        *("-kernel", str(disk.kernel), "-initrd", str(disk.initramfs)),
        *("-append", f"{_KERNEL} {_EMULATED if virtual.accel.kind == 'tcg' else ''}".strip()),
        *("-serial", f"file:{CONSOLE}", "-qmp", f"unix:{QMP_SOCKET},server=on,wait=off"),
        # What it holds is gone with it anyway: nobody waits for the host's disk.
        *("-drive", f"file={OVERLAY},if=none,id=root,format=qcow2,cache=unsafe,discard=unmap"),
        *("-device", "virtio-blk-pci,drive=root"),
        *("-drive", f"if=none,id=product,read-only=on,{given}"),
        *("-device", "virtio-blk-pci,drive=product"),
        *("-netdev", f"user,id=net{'' if network else ',restrict=on'}"),
        *("-device", "virtio-net-pci,netdev=net,romfile="),
        *("-device", "virtio-rng-pci"),
        *("-device", "virtio-serial-pci,max_ports=31"),
        *(word for number in NUMBERS for word in _port(number)),
        *(("-incoming", "defer") if memory is not None and memory.saved else ()),
    ]


def _value(path: Path) -> str:
    """In QEMU's options a comma is written twice."""
    return str(path).replace(",", ",,")


def _port(number: int) -> Iterator[str]:
    name = socket_name(number)
    yield from ("-chardev", f"socket,id={name},path={name},server=on,wait=off")
    yield from ("-device", f"virtserialport,nr={number},chardev={name},name=distromatrix.{number}")


def start(
    arguments: list[str],
    folder: Path,
    held: tuple[int, ...] = (),
    *,
    bound: bool = False,
    out: bool = False,
) -> subprocess.Popen[bytes]:
    """Start it in a session of its own, so that Ctrl-C is ours. `held`: descriptors that it
    keeps open; `bound`: it ends with the thread that starts it, however that ends, where
    util-linux is here; `out`: its guest has a way out. Raises EngineUnavailableError."""
    command = [str(require_qemu()), *arguments]
    if bound and shutil.which("setpriv"):
        command = ["setpriv", "--pdeathsig", "KILL", *command]
    with (folder / LOG).open("ab") as log:
        how: Any = {
            "stdin": subprocess.DEVNULL,
            "stdout": log,
            "stderr": log,
            "start_new_session": True,
            "pass_fds": held,
        }
        if out:
            return way_out.start(command, folder, folder / LOG, **how)
        return subprocess.Popen(command, cwd=folder, **how)


def said(folder: Path) -> str:
    """The last line that QEMU itself has said."""
    with contextlib.suppress(OSError):
        lines = (folder / LOG).read_text(errors="replace").strip().splitlines()
        line = lines[-1] if lines else ""
        name, _, words = line.partition(": ")
        return words if name in NAMES else line
    return ""


def running() -> dict[Path, int]:
    """The QEMU processes on this host by the folders that they run in: those follow a folder
    that is renamed, and no file with an id in it can be older than its process."""
    found: dict[Path, int] = {}
    for process in Path("/proc").iterdir():
        if process.name.isdigit():
            with contextlib.suppress(OSError):
                program = (process / "cmdline").read_bytes().partition(b"\0")[0]
                if Path(os.fsdecode(program)).name in NAMES:
                    found[(process / "cwd").readlink()] = int(process.name)
    return found


def end(folder: Path) -> None:
    """Kill the guest of that folder, if it runs, and wait until it is gone. Raises
    InfrastructureError."""
    folder = folder.resolve()
    if (process := running().get(folder)) is None:
        return
    with contextlib.suppress(ProcessLookupError):
        os.kill(process, signal.SIGKILL)
    until = time.monotonic() + 10
    while running().get(folder) == process:
        if time.monotonic() > until:
            raise InfrastructureError(f"the QEMU process {process} in {folder} does not end")
        time.sleep(0.02)
