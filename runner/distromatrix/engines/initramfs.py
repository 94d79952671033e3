"""What a direct guest starts from: an initramfs with the distribution's own kernel modules and a
static busybox, as a newc cpio archive (Documentation/driver-api/early-userspace/buffer-format.rst
of the kernel). The distribution's own initrd would take three times as long."""

from __future__ import annotations

import gzip
import lzma
import shutil
import stat
import subprocess
from collections.abc import Iterator
from hashlib import sha256
from importlib.resources import files
from pathlib import Path

from distromatrix.engines.cpio import FILE, FOLDER, PROGRAM, Entry, newc
from distromatrix.engines.guest_programs import awaken, become, piped, session
from distromatrix.engines.shell import loop_by
from distromatrix.errors import CannotStartError, EngineUnavailableError

# What a guest needs to see its disk and to talk; most kernels have some of them built in.
_WANTED = (
    *("virtio_pci", "virtio_blk", "virtio_console", "ext4"),
    *("virtio_net", "virtio_rng"),
)
_MUST = ("virtio_pci", "virtio_blk", "virtio_console")


def fingerprint() -> str:
    """What of ours goes into a guest, in short: a template of other files is another one."""
    inside = files("distromatrix.engines").joinpath("inside")
    parts = [p.read_bytes() for p in sorted(inside.iterdir(), key=str) if p.is_file()]
    return sha256(
        b"\0".join((*parts, _loop(), session(), piped(), awaken(), become(0, 0)))
    ).hexdigest()[:16]


def static_busybox() -> Path:
    """The host's static busybox. Raises EngineUnavailableError."""
    for name in ("busybox", "busybox.static", "busybox-static"):
        found = shutil.which(name)
        if found and is_static(Path(found)):
            return Path(found)
    raise EngineUnavailableError(
        "there is no static busybox here, which a guest starts from: install busybox-static "
        "(`distromatrix doctor --guests --fix` does)"
    )


def is_static(program: Path) -> bool:
    """Whether an ELF program needs no loader: none of its segments is PT_INTERP (elf(5))."""
    try:
        with program.open("rb") as file:
            head = file.read(64)
            if head[:5] != b"\x7fELF\x02":
                return False
            at, size = int.from_bytes(head[32:40], "little"), int.from_bytes(head[54:56], "little")
            file.seek(at)
            table = file.read(size * int.from_bytes(head[56:58], "little"))
    except OSError:
        return False
    kinds = (table[n : n + 4] for n in range(0, len(table), size or 1))
    return stat.S_ISREG(program.stat().st_mode) and b"\x03\0\0\0" not in kinds


def initramfs(modules: Path) -> bytes:
    """The archive for the kernel whose modules lie in that folder (`lib/modules/VERSION`).
    Raises CannotStartError, EngineUnavailableError."""
    inside = files("distromatrix.engines").joinpath("inside")
    entries = [*_beginning("initramfs.sh")]
    entries.append(Entry("guest.sh", FILE, inside.joinpath("guest.sh").read_bytes()))
    entries.append(Entry("loop.sh", FILE, _loop()))
    entries.append(Entry("session", PROGRAM, session()))
    entries.append(Entry("piped", PROGRAM, piped()))
    entries.append(Entry("awaken", PROGRAM, awaken()))
    entries.append(Entry("become-0-0", PROGRAM, become(0, 0)))
    reboot = inside.joinpath("distromatrix-reboot").read_bytes()
    entries.append(Entry("distromatrix-reboot", PROGRAM, reboot))
    return newc((*entries, *_modules(modules)))


def system_initramfs(modules: Path) -> bytes:
    """The same for a guest that is a whole system: it goes on to the init system on its disk.
    Raises CannotStartError, EngineUnavailableError."""
    return newc((*_beginning("system_init.sh"), *_modules(modules)))


def _beginning(init: str) -> Iterator[Entry]:
    """The folders, busybox, and the script that is the first process."""
    inside = files("distromatrix.engines").joinpath("inside")
    for folder in ("bin", "dev", "proc", "sys", "root", "modules"):
        yield Entry(folder, FOLDER)
    yield Entry("bin/busybox", PROGRAM, static_busybox().read_bytes())
    yield Entry("begin.sh", FILE, inside.joinpath("begin.sh").read_bytes())
    yield Entry("init", PROGRAM, inside.joinpath(init).read_bytes())


def _modules(modules: Path) -> Iterator[Entry]:
    for number, module in enumerate(_needed(modules)):
        name = f"modules/{number:02}-{_module_name(module.name)}.ko"
        yield Entry(name, FILE, _unpacked(module))


def _loop() -> bytes:
    return loop_by("/distromatrix/guest/session").encode()


def _needed(modules: Path) -> Iterator[Path]:
    """The module files that are wanted, each after those that it stands on."""
    try:
        listed = (modules / "modules.dep").read_text(encoding="utf-8")
        builtin = (modules / "modules.builtin").read_text(encoding="utf-8")
    except OSError as error:
        raise CannotStartError(f"{modules}: no list of a kernel's modules: {error}") from error
    depends = {}
    for line in listed.splitlines():
        module, _, needs = line.partition(":")
        depends[module] = needs.split()
    by_name = {_module_name(path): path for path in depends}
    built_in = {_module_name(path) for path in builtin.split()}
    given: set[str] = set()
    for wanted in _WANTED:
        if (path := by_name.get(wanted)) is None:
            if wanted in _MUST and wanted not in built_in:
                raise CannotStartError(
                    f"the kernel {modules.name} has no {wanted}: it cannot run as a guest"
                )
            continue
        for one in (*reversed(depends[path]), path):
            if one not in given:
                given.add(one)
                yield modules / one


def _module_name(path: str) -> str:
    return path.rpartition("/")[2].partition(".ko")[0].replace("-", "_")


def _unpacked(module: Path) -> bytes:
    data = module.read_bytes()
    if module.suffix == ".xz":
        return lzma.decompress(data)
    if module.suffix == ".gz":
        return gzip.decompress(data)
    if module.suffix == ".zst":
        try:
            done = subprocess.run(["zstd", "-dc"], input=data, capture_output=True, check=True)
        except (OSError, subprocess.CalledProcessError) as error:
            raise EngineUnavailableError(
                f"{module.name}: unpacking it needs the program zstd ({error})"
            ) from error
        return done.stdout
    return data
