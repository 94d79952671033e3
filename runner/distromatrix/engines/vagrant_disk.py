"""From a container image to what a whole guest boots: a disk, a kernel, its initrd."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import subprocess
from collections.abc import Iterable
from importlib.resources import files
from pathlib import Path

from distromatrix.errors import CannotStartError, EngineUnavailableError, InfrastructureError

DISK_SIZE = 16  # GiB that a guest may fill; the file on the host has holes

# $1: where to unpack, $2: the disk, $3: its size in GiB, $4: the script, $5 and $6: its arguments.
_MAKE = """tar -x --numeric-owner --xattrs --xattrs-include='*' -C "$1" -f -
cd "$1"
sh -e "$4" "$5" "$6"
mke2fs -q -F -t ext4 -m 0 -E lazy_itable_init=1,lazy_journal_init=1,root_owner=0:0 \
  -d . "$2" "$3"G
"""


def make_system(rootfs: Iterable[bytes], folder: Path, key: Path, hostname: str) -> None:
    """Make `box.img` (qcow2), `vmlinuz` and `initrd` in that folder, out of a root filesystem
    as a tar stream. `key`: the public key that may log in.

    Raises CannotStartError where no guest can be made of it, InfrastructureError.
    """
    hold, raw = folder / "root", folder / "box.raw"
    hold.mkdir()
    try:
        script = files("distromatrix.engines").joinpath("inside/system.sh")
        local = folder / "system.sh"
        local.write_text(script.read_text(encoding="utf-8"), encoding="utf-8")
        arguments = [str(hold), str(raw), str(DISK_SIZE), str(local), str(key), hostname]
        _run_with(rootfs, ["sh", "-ec", _MAKE, "sh", *arguments])
        kernel, initrd = find_kernel(hold)
        shutil.copyfile(kernel, folder / "vmlinuz")
        shutil.copyfile(initrd, folder / "initrd")
        _run(["qemu-img", "convert", "-O", "qcow2", str(raw), str(folder / "box.img")])
    finally:
        _remove_tree(hold)
        for file in (raw, folder / "system.sh"):
            file.unlink(missing_ok=True)


def find_kernel(root: Path) -> tuple[Path, Path]:
    """The newest kernel in a root filesystem, and its initrd. Raises CannotStartError."""
    boot = root / "boot"
    kernels = sorted(boot.glob("vmlinuz-*"), key=lambda p: _natural(p.name), reverse=True)
    for kernel in kernels:
        version = kernel.name.removeprefix("vmlinuz-")
        for name in (f"initrd.img-{version}", f"initramfs-{version}.img", f"initramfs-{version}"):
            if (boot / name).is_file():
                return kernel, boot / name
    if kernels:
        raise CannotStartError(f"the image has no initrd for its kernel {kernels[0].name}")
    raise CannotStartError("the image has no kernel that a guest could boot")


def _run_with(rootfs: Iterable[bytes], command: list[str]) -> None:
    if os.geteuid() != 0:
        command = ["fakeroot", *command]  # so that owners are as they are to be on the disk
    env = {**os.environ, "LC_ALL": "C", "PATH": f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin"}
    process = _started(command, env)
    assert process.stdin is not None and process.stderr is not None  # noqa: S101
    with process:
        with contextlib.suppress(BrokenPipeError):
            for piece in rootfs:
                process.stdin.write(piece)
        with contextlib.suppress(BrokenPipeError):
            process.stdin.close()
        said = process.stderr.read().decode(errors="replace").strip()
    _judge(process.returncode, said)


def _run(command: list[str]) -> None:
    process = _started(command, dict(os.environ))
    _, said = process.communicate()
    _judge(process.returncode, said.decode(errors="replace").strip())


def _started(command: list[str], env: dict[str, str]) -> subprocess.Popen[bytes]:
    try:
        return subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            env=env,
        )
    except FileNotFoundError as error:
        raise _lacking(str(error.filename)) from error


def _lacking(what: str) -> EngineUnavailableError:
    return EngineUnavailableError(
        f"a guest's disk cannot be made: {what} is missing "
        "(`distromatrix doctor --guests --fix` installs what is needed)"
    )


def _judge(status: int, said: str) -> None:
    if status == 0:
        return
    last = said.splitlines()[-1] if said else f"status {status}"
    if status == 3:
        raise CannotStartError(f"no guest can be made of the image: {last}")
    if last.endswith("not found"):
        raise _lacking(last)
    raise InfrastructureError(f"a guest's disk cannot be made: {last}", transient=False)


def _natural(text: str) -> tuple[tuple[int, str], ...]:
    return tuple((int(n or 0), t) for n, t in re.findall(r"(\d*)(\D*)", text))


def _remove_tree(folder: Path) -> None:
    if os.geteuid() != 0:  # folders in it may be closed to their owner
        for path, _, _ in os.walk(folder):
            with contextlib.suppress(OSError):
                Path(path).chmod(0o700)
    shutil.rmtree(folder, ignore_errors=True)
