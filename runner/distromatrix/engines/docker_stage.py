"""The product's snapshot on the engine's host, and a private view of it for every container.

`overlay`: one volume holds the snapshot (once for every user id); a container gets a volume
of Docker's `local` driver, of type overlay, over it. A helper container makes and removes the
folders for that. `archive`: the snapshot goes into every container as a tar stream.
"""

from __future__ import annotations

import contextlib
import io
import secrets
import tarfile
import tempfile
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import IO, Literal

from distromatrix.engines.base import API_TIMEOUT, OUT_FOLDERS, MachineSpec
from distromatrix.engines.docker_api import Api
from distromatrix.engines.docker_machine import DockerMachine
from distromatrix.engines.docker_spec import MOUNT, Limits, Overlay, create_body
from distromatrix.engines.homes import HOME
from distromatrix.errors import (
    CannotStartError,
    EngineUnavailableError,
    InfrastructureError,
    MachineGoneError,
)

Strategy = Literal["overlay", "archive"]

ROOT = "0:0"
_HOME = HOME.rpartition("/")[2]
VIEWS_AT_ONCE = 64
SWEEP_FROM = 8  # folders of ended cells that may lie about before the helper is started


class DockerStage:
    """One run's snapshot. Thread-safe.

    `forced` says which strategy it must be; without, overlay is given up for archive when the
    first machine that is to have one cannot (a rootless engine, one whose own disk is an
    overlay, an API that knows no such volumes).
    """

    def __init__(
        self,
        api: Api,
        limits: Limits,
        snapshot: Path,
        *,
        image: str,
        labels: Mapping[str, str],
        forced: Strategy | None = None,
    ) -> None:
        self._api = api
        self._limits = limits
        self._snapshot = _Snapshot(snapshot)
        self._proven = forced is not None
        self._trial = threading.Lock()
        self._strategy: Strategy = forced or "overlay"
        self._volume = None
        if self._strategy == "overlay":
            self._volume = OverlayVolume(api, limits, self._snapshot, image=image, labels=labels)

    @property
    def strategy(self) -> Strategy:
        """See Stage."""
        return self._strategy

    def open(self, spec: MachineSpec) -> DockerMachine:
        """A machine with its private copy. Raises CannotStartError, InfrastructureError."""
        if not self._proven:
            with self._trial:
                if not self._proven:
                    return self._open_first(spec)
        if self._strategy == "overlay" and self._volume is not None:
            return self._volume.open(spec)
        return self._open_archive(spec)

    def _open_first(self, spec: MachineSpec) -> DockerMachine:
        """Trying is the only way to know whether the engine's host can mount an overlay."""
        assert self._volume is not None  # noqa: S101  # nothing is tried without it
        try:
            machine = self._volume.open(spec)
            if machine.run(f"[ -d {MOUNT}/product ]").status == 0:
                self._proven = True
                return machine
            machine.close()
        except (CannotStartError, EngineUnavailableError, MachineGoneError):
            raise
        except InfrastructureError as error:
            if self._snapshot.ended.is_set() or "disk is full" in str(error):
                raise
        machine = self._open_archive(spec)
        self._strategy, self._proven = "archive", True
        return machine

    def _open_archive(self, spec: MachineSpec) -> DockerMachine:
        def put(machine: DockerMachine) -> None:
            owner = owner_of(spec.user)
            machine.put(_folders(owner, (MOUNT.lstrip("/"),)), "/")
            self._snapshot.fill(machine, MOUNT, owner)

        body = create_body(spec, self._limits)
        return DockerMachine.start(self._api, spec, body, before_start=put)

    def close(self) -> None:
        """See Stage."""
        self._snapshot.ended.set()
        if self._volume is not None:
            self._volume.close()


class OverlayVolume:
    """A volume with the snapshot, and the helper container that works in it."""

    def __init__(
        self,
        api: Api,
        limits: Limits,
        snapshot: _Snapshot,
        *,
        image: str,
        labels: Mapping[str, str],
    ) -> None:
        self._api = api
        self._limits = limits
        self._snapshot = snapshot
        self._lock = threading.Lock()
        self._cells = 0
        self._views = 0  # so many cells' folders are there
        self._kept = False
        self._closed = False
        self._bases: set[str] = set()
        self._sweeping = threading.Lock()
        self._released: list[int] = []
        self._helper_runs = False
        self._name = f"distromatrix-stage-{secrets.token_hex(6)}"
        with api.calling("create the product's volume") as client:
            volume = client.create_volume(self._name, labels=dict(labels))
        self._mountpoint = str(volume["Mountpoint"])
        spec = MachineSpec(name=f"{self._name}-helper", image=image, labels=labels, network=False)
        try:
            # Files can be put through a container that does not run. It is started when
            # there is something to sweep, which a short run ends without.
            body = create_body(spec, limits, self._name)
            self._helper = DockerMachine.create(api, spec, body)
        except BaseException:
            self._remove()
            raise

    def open(self, spec: MachineSpec) -> DockerMachine:
        """A machine on a new private view. Raises CannotStartError, InfrastructureError."""
        overlay, cell = self._new_view(owner_of(spec.user))
        return DockerMachine.start(
            self._api,
            spec,
            create_body(spec, self._limits, overlay),
            after_close=lambda kept: self._release(cell, kept),
        )

    def _new_view(self, owner: str) -> tuple[Overlay, int]:
        base = "base-" + owner.replace(":", "-")
        with self._lock:
            if base not in self._bases:
                self._helper.put(_folders(ROOT, (base,)), MOUNT)
                self._snapshot.fill(self._helper, f"{MOUNT}/{base}", owner)
                self._bases.add(base)
            self._cells += 1
            if self._cells > self._views:
                self._helper.put(_folders(ROOT, self._more_views()), MOUNT)
            own = f"cells/{(cell := self._cells)}"
        root = f"{self._mountpoint}/{own}"
        overlay = Overlay(
            lower=f"{self._mountpoint}/{base}",
            upper=f"{root}/upper",
            work=f"{root}/work",
            stage=self._name,
        )
        return overlay, cell

    def _more_views(self) -> tuple[str, ...]:
        """Names of the folders for the next cells, many at once: a put costs a round trip."""
        first, self._views = self._views + 1, self._views + VIEWS_AT_ONCE
        cells = (f"cells/{number}" for number in range(first, self._views + 1))
        return ("cells", *(f"{cell}{part}" for cell in cells for part in ("", "/upper", "/work")))

    def _release(self, cell: int, kept: bool) -> None:
        """The machine on that view is gone (its folder goes, in the background) or stays."""
        # What cannot be removed now goes with the volume.
        with contextlib.suppress(InfrastructureError), self._sweeping:
            if kept:
                self._kept = True
                return
            self._released.append(cell)
            if self._closed or (len(self._released) < SWEEP_FROM and not self._helper_runs):
                return
            if not self._helper_runs:
                self._helper.begin()
                self._helper_runs = True
            gone = " ".join(f"cells/{number}" for number in self._released)
            self._released.clear()
            self._helper.run(f"rm -rf {gone} &", cwd=MOUNT, timeout=API_TIMEOUT)

    def close(self) -> None:
        """Remove volume and helper; the volume not if kept machines stand on it."""
        with self._lock, self._sweeping:
            if self._closed:
                return
            self._closed = True
        self._helper.close()
        if not self._kept:
            self._remove()

    def _remove(self) -> None:
        with contextlib.suppress(Exception), self._api.calling("remove a volume") as client:
            client.remove_volume(self._name, force=True)


class _Snapshot:
    """The product's tar. Once `ended` is set, handing it over breaks off, however big it is:
    the engine does not remove a container while it puts files into it."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self.ended = threading.Event()

    def fill(self, machine: DockerMachine, path: str, owner: str) -> None:
        """Put it and `out` with its empty folders, all of it `owner`'s, below `path`. Raises
        InfrastructureError, also when it breaks off."""
        out = ("out", *(f"out/{name}" for name in OUT_FOLDERS))
        machine.put(_folders(owner, out, () if owner == ROOT else (_HOME,)), path)
        try:
            self._put(machine, path, owner)
        except InfrastructureError as error:
            # Docker refuses relative links that lead out of the folder it extracts to.
            if "invalid symlink" not in str(error):
                raise
            self._put(machine, "/", owner, prefix=path.strip("/") + "/")

    def _put(self, machine: DockerMachine, path: str, owner: str, prefix: str = "") -> None:
        with contextlib.closing(_owned(self._path, owner, prefix)) as tar:
            machine.put(self._chunks(tar), path)

    def _chunks(self, tar: IO[bytes]) -> Iterator[bytes]:
        while data := tar.read(1 << 20):
            if self.ended.is_set():
                raise InfrastructureError("the product's copy is not needed any more")
            yield data


def owner_of(user: str) -> str:
    """`UID:GID` of a machine's user."""
    return ROOT if user == "root" else user


def _folders(owner: str, names: tuple[str, ...], private: tuple[str, ...] = ()) -> bytes:
    """A tar of empty folders; those of `private` are for their owner's eyes alone."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for name in (*names, *private):
            info = tarfile.TarInfo(name)
            info.type, info.mode = tarfile.DIRTYPE, 0o700 if name in private else 0o755
            info.uid, info.gid = map(int, owner.split(":"))
            tar.addfile(info)
    return buffer.getvalue()


def _owned(snapshot: Path, owner: str, prefix: str = "") -> IO[bytes]:
    """The snapshot, opened, its members belonging to `owner` (they are root's as it lies) and
    lying below `prefix`."""
    if owner == ROOT and not prefix:
        return snapshot.open("rb")
    with contextlib.ExitStack() as stack:
        copy = stack.enter_context(tempfile.TemporaryFile())
        _rewrite(snapshot, copy, owner, prefix)
        copy.seek(0)
        stack.pop_all()
    return copy


def _rewrite(snapshot: Path, copy: IO[bytes], owner: str, prefix: str) -> None:
    with tarfile.open(snapshot) as source, tarfile.open(fileobj=copy, mode="w") as target:
        for info in source:
            content = source.extractfile(info) if info.isreg() else None
            info.name = prefix + info.name
            if info.islnk():
                info.linkname = prefix + info.linkname
            info.uid, info.gid = map(int, owner.split(":"))
            info.uname = info.gname = ""
            target.addfile(info, content)
