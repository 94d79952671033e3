"""What is kept ready for direct guests: disks, and guests that have booted, saved.

All of it lies in folders `distromatrix-template-…` of the cache, whose names are made of all that
goes into them. A folder's `lock` is held by whoever uses it; what nobody has used for long goes.
"""

from __future__ import annotations

import hashlib
import json
import os
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from distromatrix.engines.contract import MachineSpec
from distromatrix.engines.guest.disk import remove_tree
from distromatrix.engines.guest.initramfs import fingerprint
from distromatrix.engines.guest.qemu_program import qemu_version
from distromatrix.engines.qemu import process as qemu_process
from distromatrix.engines.qemu.disk import FORMAT, Disk, make_disk
from distromatrix.engines.qemu.guest import QemuGuest
from distromatrix.engines.qemu.machine import QemuMachine, Saved, new_overlay
from distromatrix.engines.qemu.process import OVERLAY, Memory, Virtual, arguments
from distromatrix.errors import InfrastructureError
from distromatrix.files.lock import InUseError, take
from distromatrix.files.whole import write_whole

PREFIX = "distromatrix-template-"
_GONE = f"{PREFIX}gone-"  # then the process that removes it
_DONE = "done.json"
_EMPTY = "empty.qcow2"
_LOCK = "lock"  # as a run folder's, so that `runs.is_alive` can be asked


@dataclass(frozen=True, slots=True, kw_only=True)
class Template:
    """A guest that has booted, saved: machines start from here."""

    folder: Path
    token: str
    process: int

    @property
    def saved(self) -> Saved:
        """For `QemuMachine.restore`."""
        memory = Memory(file=self.folder / "ram", shared=False, saved=self.folder / "state")
        return Saved(memory=memory, token=self.token, process=self.process)

    def spoil(self) -> None:
        """QEMU does not take it: it is made anew when it is wanted again."""
        (self.folder / _DONE).unlink(missing_ok=True)

    @property
    def overlay(self) -> Path:
        """An empty overlay, to be copied, over its disk as it was when it was saved."""
        return self.folder / _EMPTY


class Templates:
    """Those of one cache folder. Safe to use from several threads and processes. `progress` is
    told what takes long."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @contextmanager
    def disk(self, image: str, rootfs: Callable[[], Iterable[bytes]]) -> Iterator[Disk]:
        """The disk of an image (its id), made at most once, held while it is used. Raises
        CannotStartError, InfrastructureError."""
        name = _name("disk", FORMAT, fingerprint(), image)

        def make(folder: Path) -> dict[str, str]:
            make_disk(rootfs(), folder)
            return {"image": image}

        with self._made(name, make) as (folder, _):
            yield Disk(folder)

    @contextmanager
    def saved(self, image: str, disk: Disk, virtual: Virtual, scale: float) -> Iterator[Template]:
        """A saved guest on that disk, made at most once, held while it is used. Raises
        CannotStartError, InfrastructureError."""
        of = arguments("", virtual, Disk(Path()))  # all that it is made of
        name = _name("saved", FORMAT, disk.folder.name, of, qemu_version())

        def make(folder: Path) -> dict[str, str]:
            return {"image": image, **_save(name, folder, disk, virtual, scale)}

        with self._made(name, make) as (folder, facts):
            yield Template(folder=folder, token=facts["token"], process=int(facts["process"]))

    @contextmanager
    def _made(
        self, name: str, make: Callable[[Path], dict[str, str]]
    ) -> Iterator[tuple[Path, dict[str, str]]]:
        folder = self.folder / name
        with _hold(folder, shared=True) as done:
            if done is not None:
                yield folder, done
                return
        with _hold(folder) as done:
            if done is None:
                qemu_process.end(folder)  # of one who was killed while he made it
                _empty(folder)
                try:
                    facts = make(folder)
                except BaseException:
                    _empty(folder)
                    raise
                write_whole(folder / _DONE, json.dumps(facts))
        with self._made(name, make) as made:
            yield made

    def all(self) -> tuple[Path, ...]:
        """The folders of all templates, but for those that somebody is removing."""
        return tuple(f for f in self.folder.glob(f"{PREFIX}*") if not _is_being_removed(f))


@contextmanager
def _hold(folder: Path, *, shared: bool = False) -> Iterator[dict[str, str] | None]:
    """Hold a template's lock; what was written when it was done, or None."""
    while True:
        folder.mkdir(parents=True, exist_ok=True)
        try:
            lock = take(folder / _LOCK, shared=shared)
        except FileNotFoundError:  # it was removed just now
            continue
        try:
            if not _is_locks(folder, lock):  # it was removed while we waited
                continue
            done = None
            if (folder / _DONE).exists():
                os.utime(folder / _DONE)  # it was used now
                done = json.loads((folder / _DONE).read_text(encoding="utf-8"))
            yield done
            return
        finally:
            os.close(lock)


def _is_locks(folder: Path, lock: int) -> bool:
    """Whether a lock that we hold is that of the folder that has this name now."""
    try:
        return os.path.samestat(os.fstat(lock), (folder / _LOCK).stat())
    except FileNotFoundError:
        return False


def _empty(folder: Path) -> None:
    for path in folder.iterdir():
        if path.name != _LOCK:
            if path.is_dir() and not path.is_symlink():
                remove_tree(path)
            else:
                path.unlink(missing_ok=True)


def _is_being_removed(folder: Path) -> bool:
    process = folder.name.removeprefix(_GONE).partition("-")[0]
    return folder.name.startswith(_GONE) and Path("/proc", process).exists()


def is_done(folder: Path) -> bool:
    """Whether it can be used; else somebody makes it, or was killed while he did."""
    return (folder / _DONE).exists()


def last_used(folder: Path) -> float:
    """When a template was last used (seconds since 1970); one that is not done counts as of
    its making."""
    for path in (folder / _DONE, folder):
        try:
            return path.stat().st_mtime
        except OSError:
            continue
    return 0.0


def _save(name: str, folder: Path, disk: Disk, virtual: Virtual, scale: float) -> dict[str, str]:
    new_overlay(folder, disk.root, "raw")
    ram = folder / "ram"
    with ram.open("wb") as file:
        file.truncate(virtual.memory // 1024**2 * 1024**2)
    spec = MachineSpec(
        name=name, image="", memory=virtual.memory, hostname="distromatrix", network=False
    )
    guest = QemuGuest(spec, folder, disk, virtual, scale=scale, bound=True)
    try:
        guest.boot(Memory(file=ram, shared=True))
        shell = QemuMachine(guest, staged=False).lend("root")
        guest.save(folder / "state")
        shell.let_go()
    finally:
        guest.end()
    new_overlay(folder, folder / OVERLAY, "qcow2", _EMPTY)
    return {"token": shell.token, "process": str(shell.process)}


def _name(*parts: object) -> str:
    kind, *rest = parts
    digest = hashlib.sha256(json.dumps(rest, default=str).encode()).hexdigest()[:24]
    return f"{PREFIX}{kind}-{digest}"


def remove(folder: Path) -> None:
    """Remove a template, unless it is in use. Raises InfrastructureError."""
    try:
        lock = take(folder / _LOCK, wait=0)
    except (InUseError, FileNotFoundError):  # it is in use, or somebody else has removed it
        return
    except OSError as error:
        raise InfrastructureError(f"cannot remove {folder}: {error}") from error
    try:
        if not _is_locks(folder, lock):
            return
        qemu_process.end(folder)
        # Whoever wants it now makes another: nobody is to see it half there.
        gone = folder.with_name(f"{_GONE}{os.getpid()}-{time.monotonic_ns()}")
        folder.rename(gone)
        remove_tree(gone)
    except OSError as error:
        raise InfrastructureError(f"cannot remove {folder}: {error}") from error
    finally:
        os.close(lock)
