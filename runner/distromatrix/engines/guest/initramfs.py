"""What a direct guest starts from: an initramfs with the distribution's own kernel modules and a
static busybox, as a newc cpio archive (Documentation/driver-api/early-userspace/buffer-format.rst
of the kernel). The distribution's own initrd would take three times as long."""

from __future__ import annotations

from collections.abc import Iterator
from hashlib import sha256
from importlib.resources import files

from distromatrix.engines.guest.cpio import FILE, FOLDER, PROGRAM, CpioEntry, newc
from distromatrix.engines.guest.kernel import Kernel
from distromatrix.engines.guest.programs import become, program
from distromatrix.engines.guest.qemu_program import static_busybox
from distromatrix.engines.shell.shell import loop_by

_PROGRAMS = ("session", "piped", "awaken")


def fingerprint() -> str:
    """What of ours goes into a guest, in short: a template of other files is another one."""
    inside = files("distromatrix.engines.guest").joinpath("inside")
    parts = [p.read_bytes() for p in sorted(inside.iterdir(), key=str) if p.is_file()]
    return sha256(
        b"\0".join((*parts, _loop(), *map(program, _PROGRAMS), become(0, 0)))
    ).hexdigest()[:16]


def initramfs(kernel: Kernel) -> bytes:
    """The archive for that kernel. Raises EngineUnavailableError."""
    inside = files("distromatrix.engines.guest").joinpath("inside")
    reboot = inside.joinpath("distromatrix-reboot").read_bytes()
    ours = (
        CpioEntry("guest.sh", FILE, inside.joinpath("guest.sh").read_bytes()),
        CpioEntry("loop.sh", FILE, _loop()),
        *(CpioEntry(name, PROGRAM, program(name)) for name in _PROGRAMS),
        CpioEntry("become-0-0", PROGRAM, become(0, 0)),
        CpioEntry("distromatrix-reboot", PROGRAM, reboot),
    )
    return newc((*_beginning("initramfs.sh"), *ours, *_modules(kernel)))


def system_initramfs(kernel: Kernel) -> bytes:
    """The same for a guest that is a whole system: it goes on to the init system on its disk.
    Raises EngineUnavailableError."""
    return newc((*_beginning("system_init.sh"), *_modules(kernel)))


def _beginning(init: str) -> Iterator[CpioEntry]:
    """The folders, busybox, and the script that is the first process."""
    inside = files("distromatrix.engines.guest").joinpath("inside")
    for folder in ("bin", "dev", "proc", "sys", "root", "modules"):
        yield CpioEntry(folder, FOLDER)
    yield CpioEntry("bin/busybox", PROGRAM, static_busybox().read_bytes())
    yield CpioEntry("begin.sh", FILE, inside.joinpath("begin.sh").read_bytes())
    yield CpioEntry("init", PROGRAM, inside.joinpath(init).read_bytes())


def _modules(kernel: Kernel) -> Iterator[CpioEntry]:
    for number, (name, data) in enumerate(kernel.modules):
        yield CpioEntry(f"modules/{number:02}-{name}.ko", FILE, data)


def _loop() -> bytes:
    return loop_by("/distromatrix/guest/session").encode()
