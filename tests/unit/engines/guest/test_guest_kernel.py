"""What lies in an image says nothing about the host when a guest is made of it."""

from __future__ import annotations

import gzip
import io
import lzma
import os
import shutil
import subprocess
import tarfile
from contextlib import suppress
from pathlib import Path

import pytest

from distromatrix.engines.guest import kernel as guest_kernel
from distromatrix.engines.guest.disk import bounded, fill_disk
from distromatrix.engines.guest.kernel import read_inside, read_kernel
from distromatrix.engines.qemu.disk import _MAKE as OF_QEMU
from distromatrix.engines.vagrant.disk import _MAKE as OF_VAGRANT
from distromatrix.errors import CannotStartError, DistromatrixError

VERSION = "6.1.0-9-amd64"
MODULES = f"lib/modules/{VERSION}"
BUILT_IN = "".join(f"kernel/{n}.ko\n" for n in ("virtio_pci", "virtio_blk", "virtio_console"))


@pytest.fixture
def secret(tmp_path: Path) -> Path:
    file = tmp_path / "secret"
    file.write_text("of the host")
    return file


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """An image's root with a kernel and one module, as Debian has them."""
    made = tmp_path / "root"
    (made / MODULES / "kernel").mkdir(parents=True)
    (made / "boot").mkdir()
    (made / f"boot/vmlinuz-{VERSION}").write_bytes(b"kernel")
    (made / MODULES / "modules.builtin").write_text(BUILT_IN)
    module(made, "kernel/ext4.ko", b"module")
    return made


def zstd(data: bytes) -> bytes:
    done = subprocess.run(["zstd", "-qc"], input=data, capture_output=True, check=True)
    return done.stdout


def module(root: Path, path: str, content: bytes | None = None) -> None:
    (root / MODULES / "modules.dep").write_text(f"{path}:\n")
    if content is not None:
        (root / MODULES / path).write_bytes(content)


def test_a_kernel_and_its_modules_are_read(root: Path) -> None:
    kernel = read_kernel(root)
    assert (kernel.version, kernel.image) == (VERSION, b"kernel")
    assert kernel.modules == (("ext4", b"module"),)


@pytest.mark.parametrize(
    ("name", "pack"),
    [("ext4.ko.xz", lzma.compress), ("ext4.ko.gz", gzip.compress), ("ext4.ko.zst", None)],
)
def test_modules_are_unpacked(root: Path, name: str, pack: object) -> None:
    if callable(pack):
        packed = pack(b"module")
    elif shutil.which("zstd") is None:
        pytest.skip("NOT TESTED: there is no zstd here")
    else:
        packed = zstd(b"module")
    module(root, f"kernel/{name}", packed)
    assert read_kernel(root).modules == (("ext4", b"module"),)


@pytest.mark.parametrize("path", ["../../../../secret/ext4.ko", "/secret/ext4.ko"])
def test_names_in_modules_dep_do_not_lead_to_the_host(root: Path, path: str) -> None:
    outside = root.parent / "secret"
    outside.mkdir()
    (outside / "ext4.ko").write_text("of the host")
    module(root, path)
    with pytest.raises(CannotStartError, match="lacks its module"):
        read_kernel(root)


@pytest.mark.parametrize("where", ["module", "modules.dep", "kernel", "folder"])
def test_links_of_an_image_do_not_lead_to_the_host(root: Path, secret: Path, where: str) -> None:
    if where == "module":
        (root / MODULES / "kernel/ext4.ko").unlink()
        (root / MODULES / "kernel/ext4.ko").symlink_to(secret)
    elif where == "modules.dep":
        (root / MODULES / "modules.dep").unlink()
        (root / MODULES / "modules.dep").symlink_to(secret)
    elif where == "kernel":
        (root / f"boot/vmlinuz-{VERSION}").unlink()
        (root / f"boot/vmlinuz-{VERSION}").symlink_to(f"../..{secret}")
    else:
        real = root.parent / "elsewhere"
        (root / "lib/modules").rename(real)
        (root / "lib/modules").symlink_to(real)
    with pytest.raises(CannotStartError):
        read_kernel(root)


def test_links_within_an_image_are_followed(root: Path) -> None:
    (root / "lib").rename(root / "usr-lib")
    (root / "usr").mkdir()
    (root / "usr-lib").rename(root / "usr/lib")
    (root / "lib").symlink_to("/usr/lib")
    (root / "boot/real").write_bytes(b"kernel")
    (root / f"boot/vmlinuz-{VERSION}").unlink()
    (root / f"boot/vmlinuz-{VERSION}").symlink_to("/boot/real")
    assert read_kernel(root).image == b"kernel"


def test_a_pipe_in_a_files_place_holds_up_nobody(root: Path) -> None:
    (root / f"boot/vmlinuz-{VERSION}").unlink()
    os.mkfifo(root / f"boot/vmlinuz-{VERSION}")
    with pytest.raises(CannotStartError, match="no kernel"):
        read_kernel(root)


@pytest.mark.parametrize("suffix", ["", ".xz", ".gz", ".zst"])
def test_what_unpacks_to_more_than_a_guest_takes_is_refused(
    root: Path, suffix: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if suffix == ".zst" and shutil.which("zstd") is None:
        pytest.skip("NOT TESTED: there is no zstd here")
    monkeypatch.setattr(guest_kernel, "_MOST_MODULES", 16 << 20)
    much = bytes(64 << 20)
    packed = {
        "": lambda: much,
        ".xz": lambda: lzma.compress(much, preset=0),
        ".gz": lambda: gzip.compress(much, 1),
        ".zst": lambda: zstd(much),
    }[suffix]()
    module(root, f"kernel/ext4.ko{suffix}", packed)
    with pytest.raises(CannotStartError, match="too big for a guest"):
        read_kernel(root)


def test_a_file_of_an_image_is_read_in_its_root_alone(root: Path, secret: Path) -> None:
    (root / "etc").symlink_to(secret.parent)
    with pytest.raises(CannotStartError):
        read_inside(root, "etc/secret", 100)


def test_an_image_of_more_bytes_than_a_disk_is_refused() -> None:
    with pytest.raises(CannotStartError, match="more than 1 GiB"):
        list(bounded((bytes(1 << 20) for _ in range(1100)), 1 << 30))


def hostile_root(links: dict[str, str]) -> list[bytes]:
    """A root filesystem whose folders are links to the host's."""
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w", format=tarfile.GNU_FORMAT) as tar:
        for name, target in links.items():
            info = tarfile.TarInfo(name)
            info.type, info.linkname = tarfile.SYMTYPE, target
            tar.addfile(info)
        for name in ("etc/hosts", "etc/hostname", "etc/resolv.conf", "run/.containerenv"):
            info = tarfile.TarInfo(name)
            info.size = 4
            tar.addfile(info, io.BytesIO(b"evil"))
    return [packed.getvalue()]


@pytest.mark.parametrize("script", [OF_QEMU, OF_VAGRANT], ids=["qemu", "vagrant"])
@pytest.mark.parametrize("up", [False, True], ids=["absolute", "by dots"])
def test_nothing_of_the_host_is_touched_where_an_image_has_links_for_folders(
    tmp_path: Path, script: str, up: bool
) -> None:
    host = tmp_path / "host"
    host.mkdir()
    for name in ("hosts", "hostname", "resolv.conf", ".containerenv"):
        (host / name).write_text("ours")
    target = "../../host" if up else str(host)
    hold = tmp_path / "made/root"
    hold.mkdir(parents=True)
    arguments = [
        str(hold),
        str(tmp_path / "disk"),
        "1" if script is OF_VAGRANT else "20000",
        "name",
    ]
    links = {"etc": target, "run": target}
    with suppress(DistromatrixError):
        fill_disk(hostile_root(links), script, *arguments)
    assert {f.name: f.read_text() for f in host.iterdir()} == {
        name: "ours" for name in ("hosts", "hostname", "resolv.conf", ".containerenv")
    }
