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
from collections.abc import Mapping
from pathlib import Path
from typing import IO, Literal

from distromatrix.engines.base import API_TIMEOUT, MachineSpec
from distromatrix.engines.docker_api import Api
from distromatrix.engines.docker_machine import DockerMachine
from distromatrix.engines.docker_spec import MOUNT, Limits, Overlay, create_body
from distromatrix.errors import (
    CannotStartError,
    EngineUnavailableError,
    InfrastructureError,
    MachineGoneError,
)

Strategy = Literal["overlay", "archive"]


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
        self._snapshot = snapshot
        self._forced = forced
        self._proven = forced is not None
        self._trial = threading.Lock()
        self._strategy: Strategy = forced or "overlay"
        self._volume = None
        if self._strategy == "overlay":
            self._volume = OverlayVolume(api, limits, snapshot, image=image, labels=labels)

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
            if "disk is full" in str(error):
                raise
        machine = self._open_archive(spec)
        self._strategy, self._proven = "archive", True
        return machine

    def _open_archive(self, spec: MachineSpec) -> DockerMachine:
        def put(machine: DockerMachine) -> None:
            owner = owner_of(spec.user)
            machine.put(_folders(owner, (MOUNT.lstrip("/"),)), "/")
            _fill(machine, MOUNT, self._snapshot, owner)

        body = create_body(spec, self._limits)
        return DockerMachine.start(self._api, spec, body, before_start=put)

    def close(self) -> None:
        """See Stage."""
        if self._volume is not None:
            self._volume.close()


class OverlayVolume:
    """A volume with the snapshot, and the helper container that works in it."""

    def __init__(
        self, api: Api, limits: Limits, snapshot: Path, *, image: str, labels: Mapping[str, str]
    ) -> None:
        self._api = api
        self._limits = limits
        self._snapshot = snapshot
        self._lock = threading.Lock()
        self._cells = 0
        self._kept = False
        self._closed = False
        self._bases: set[str] = set()
        self._name = f"distromatrix-stage-{secrets.token_hex(6)}"
        with api.calling("create the product's volume") as client:
            volume = client.create_volume(self._name, labels=dict(labels))
        self._mountpoint = str(volume["Mountpoint"])
        spec = MachineSpec(name=f"{self._name}-helper", image=image, labels=labels, network=False)
        try:
            body = create_body(spec, limits, self._name)
            self._helper = DockerMachine.start(api, spec, body)
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
                self._sh(f"rm -rf {base}; mkdir {base}")
                _fill(self._helper, f"{MOUNT}/{base}", self._snapshot, owner)
                self._bases.add(base)
            self._cells += 1
            cell = self._cells
            own = f"cells/{cell}"
            self._sh(f"mkdir -p {own}/upper {own}/work")
        root = f"{self._mountpoint}/{own}"
        layers = f"lowerdir={self._mountpoint}/{base},upperdir={root}/upper,workdir={root}/work"
        options = {"type": "overlay", "device": "overlay", "o": layers}
        return Overlay(options=options, stage=self._name), cell

    def _release(self, cell: int, kept: bool) -> None:
        """The machine on that view is gone (its folder goes, in the background) or stays."""
        # What cannot be removed now goes with the volume.
        with contextlib.suppress(InfrastructureError), self._lock:
            if kept:
                self._kept = True
            elif not self._closed:
                self._sh(f"rm -rf cells/{cell} &")

    def _sh(self, script: str) -> None:
        said: list[bytes] = []
        done = self._helper.run(script, cwd=MOUNT, timeout=API_TIMEOUT * 5, output=said.append)
        if done.status != 0:
            text = b"".join(said).decode(errors="replace").strip()
            raise InfrastructureError(f"cannot prepare the product's copy: {text or 'no answer'}")

    def close(self) -> None:
        """Remove volume and helper; the volume not if kept machines stand on it."""
        with self._lock:
            if self._closed:
                return
            self._closed = True
        self._helper.close()
        if not self._kept:
            self._remove()

    def _remove(self) -> None:
        with contextlib.suppress(Exception), self._api.calling("remove a volume") as client:
            client.remove_volume(self._name, force=True)


def _fill(machine: DockerMachine, path: str, snapshot: Path, owner: str) -> None:
    """Put the snapshot and an empty `out/artifacts`, all of it `owner`'s, below `path`."""
    machine.put(_folders(owner, ("out", "out/artifacts")), path)
    with contextlib.closing(_owned(snapshot, owner)) as tar:
        machine.put(tar, path)


def owner_of(user: str) -> str:
    """`UID:GID` of a machine's user."""
    return "0:0" if user == "root" else user


def _folders(owner: str, names: tuple[str, ...]) -> bytes:
    """A tar of empty folders."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for name in names:
            info = tarfile.TarInfo(name)
            info.type, info.mode = tarfile.DIRTYPE, 0o755
            info.uid, info.gid = map(int, owner.split(":"))
            tar.addfile(info)
    return buffer.getvalue()


def _owned(snapshot: Path, owner: str) -> IO[bytes]:
    """The snapshot, opened, its members belonging to `owner` (they are root's as it lies)."""
    if owner == "0:0":
        return snapshot.open("rb")
    with contextlib.ExitStack() as stack:
        copy = stack.enter_context(tempfile.TemporaryFile())
        _rewrite(snapshot, copy, owner)
        copy.seek(0)
        stack.pop_all()
    return copy


def _rewrite(snapshot: Path, copy: IO[bytes], owner: str) -> None:
    with tarfile.open(snapshot) as source, tarfile.open(fileobj=copy, mode="w") as target:
        for info in source:
            info.uid, info.gid = map(int, owner.split(":"))
            info.uname = info.gname = ""
            target.addfile(info, source.extractfile(info) if info.isreg() else None)
