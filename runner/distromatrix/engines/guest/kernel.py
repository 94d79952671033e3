"""A guest's kernel and its modules, out of the unpacked root filesystem of an image. Its files
say what they like: its links lead where they lead in it, and all that is read is bounded."""

from __future__ import annotations

import errno
import lzma
import os
import re
import subprocess
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from distromatrix.engines.guest.disk import natural
from distromatrix.errors import CannotStartError, EngineUnavailableError
from distromatrix.files.below import Folder

# What a guest needs to see its disk and to talk; most kernels have some of them built in.
_WANTED = (
    *("virtio_pci", "virtio_blk", "virtio_console", "ext4"),
    *("virtio_net", "virtio_rng"),
)
_MUST = ("virtio_pci", "virtio_blk", "virtio_console")
_MOST_KERNEL = 256 * 1024**2  # bytes; Debian's has 8 MiB
_MOST_LIST = 16 * 1024**2  # of modules.dep, which has some 600 KiB
_MOST_MODULES = 128 * 1024**2  # of all modules, unpacked
_MOST_VERSIONS = 1000
_VERSION = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+~-]{0,127}")


@dataclass(frozen=True, slots=True)
class Kernel:
    """`version` as `uname -r` says it; `image`: a bzImage, or what else `qemu -kernel` takes;
    `modules`: name and content of what a guest needs, each after those that it stands on."""

    version: str
    image: bytes
    modules: tuple[tuple[str, bytes], ...]


def read_kernel(root: Path) -> Kernel:
    """The newest kernel in a root filesystem. Raises CannotStartError where there is none that
    a guest could boot, EngineUnavailableError."""
    with Folder.at(root, links=True) as tree:
        for folder in ("usr/lib/modules", "lib/modules"):
            for version in reversed(sorted(_versions(tree, folder), key=natural)):
                modules = f"{folder}/{version}"
                if (image := _image(tree, version, modules)) is not None:
                    needed = tuple(_modules(tree, version, modules))
                    return Kernel(version, image, needed)
    raise CannotStartError("the image has no kernel that a guest could boot")


def read_inside(root: Path, path: str, most: int) -> bytes:
    """A file of a root filesystem, of at most so many bytes. Raises CannotStartError."""
    with Folder.at(root, links=True) as tree:
        try:
            return _read(tree, path, most)
        except FileNotFoundError as error:
            raise CannotStartError(f"the image has no {path}") from error


def _versions(tree: Folder, folder: str) -> list[str]:
    """What versions of a kernel lie there."""
    try:
        descriptor = tree.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    except OSError:
        return []
    try:
        with os.scandir(descriptor) as found:
            names = islice((one.name for one in found), _MOST_VERSIONS)
            return [name for name in names if _VERSION.fullmatch(name)]
    finally:
        os.close(descriptor)


def _read(tree: Folder, path: str, most: int) -> bytes:
    """A regular file. Raises FileNotFoundError, CannotStartError."""
    try:
        with tree.read(path) as file:
            return _bounded(file.read(most + 1), path, most)
    except FileNotFoundError:
        raise
    except OSError as error:
        if error.errno == errno.EINVAL:  # no regular one
            raise FileNotFoundError(path) from error
        raise CannotStartError(f"{path} of the image cannot be read: {error.strerror}") from error


def _image(tree: Folder, version: str, modules: str) -> bytes | None:
    for path in (
        f"boot/vmlinuz-{version}",
        f"{modules}/vmlinuz",
        f"boot/vmlinuz-{version.rpartition('-')[2]}",  # Alpine names its flavour
        f"boot/Image-{version}",
    ):
        try:
            _read(tree, f"{modules}/modules.dep", _MOST_LIST)
            return _read(tree, path, _MOST_KERNEL)
        except FileNotFoundError:
            continue
    return None


def _modules(tree: Folder, version: str, folder: str) -> Iterator[tuple[str, bytes]]:
    left = _MOST_MODULES
    for path in _needed(tree, version, folder):
        try:
            packed = _read(tree, f"{folder}/{path}", left)
        except FileNotFoundError as error:
            raise CannotStartError(f"the kernel {version} lacks its module {path}") from error
        data = _bounded(_unpacked(path, packed, left), path, left)
        left -= len(data)
        yield _module_name(path), data


def _needed(tree: Folder, version: str, folder: str) -> Iterator[str]:
    """The paths of the modules that are wanted, each after those that it stands on."""
    try:
        listed = _read(tree, f"{folder}/modules.dep", _MOST_LIST).decode(errors="replace")
        builtin = _read(tree, f"{folder}/modules.builtin", _MOST_LIST).decode(errors="replace")
    except FileNotFoundError as error:
        raise CannotStartError(f"the kernel {version} has no list of its modules") from error
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
                    f"the kernel {version} has no {wanted}: it cannot run as a guest"
                )
            continue
        for one in (*reversed(depends[path]), path):
            if one not in given:
                given.add(one)
                yield one


def _module_name(path: str) -> str:
    return path.rpartition("/")[2].partition(".ko")[0].replace("-", "_")


def _unpacked(path: str, data: bytes, most: int) -> bytes:
    """At most one byte more than `most`."""
    try:
        if path.endswith(".xz"):
            return lzma.LZMADecompressor(memlimit=_MOST_MODULES).decompress(data, most + 1)
        if path.endswith(".gz"):
            return zlib.decompressobj(wbits=31).decompress(data, most + 1)
    except (lzma.LZMAError, zlib.error) as error:
        raise CannotStartError(f"{path} of the image cannot be unpacked: {error}") from error
    if path.endswith(".zst"):
        return _zstd(path, data, most)
    return data


def _zstd(path: str, data: bytes, most: int) -> bytes:
    command = ["sh", "-c", f"zstd -dcq | head -c {most + 1}"]
    try:
        done = subprocess.run(command, input=data, capture_output=True, check=False)
    except OSError as error:
        raise EngineUnavailableError(f"{path}: {error}") from error
    if b"not found" in done.stderr:
        raise EngineUnavailableError(f"{path}: unpacking it needs the program zstd")
    if not done.stdout:
        raise CannotStartError(f"{path} of the image cannot be unpacked")
    return done.stdout


def _bounded(data: bytes, path: str, most: int) -> bytes:
    if len(data) > most:
        raise CannotStartError(f"{path} of the image is too big for a guest")
    return data
