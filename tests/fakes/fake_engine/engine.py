"""A real small engine for tests: folders instead of containers, this host's `sh` in them.

It holds to everything the contract suite asks of Docker, keeps its labels in files so that
what a killed process left is found again, and makes faults on demand.
"""

from __future__ import annotations

import os
import platform
import secrets
import shutil
import subprocess
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import cast

from distromatrix.engines.contract import (
    LABEL_RUN,
    OUT_FOLDERS,
    Address,
    EngineFacts,
    Leftover,
    MachineSpec,
    Stage,
)
from distromatrix.engines.layers import ProductSource
from distromatrix.engines.shell.machine import KEPT
from distromatrix.errors import (
    CannotStartError,
    EngineUnavailableError,
    InfrastructureError,
    MachineGoneError,
)
from distromatrix.files.whole import read_json
from distromatrix.model import Kept
from fake_engine.caches import FakeCaches
from fake_engine.images import FakeImages
from fake_engine.machine import FakeMachine, end_recorded, extract
from fake_engine.state import FakeState, Faults, write_json


class FakeStage:
    """A copy of the snapshot in the state folder; every machine unpacks it."""

    def __init__(self, state: FakeState, snapshot: Path, labels: Mapping[str, str]) -> None:
        self.name = f"distromatrix-stage-{secrets.token_hex(6)}"
        self.tar = state.stages / f"{self.name}.tar"
        self._record = state.stages / f"{self.name}.json"
        shutil.copyfile(snapshot, self.tar)
        write_json(self._record, {"labels": dict(labels)})

    def close(self) -> None:
        """See Stage."""
        self.tar.unlink(missing_ok=True)
        self._record.unlink(missing_ok=True)


class FakeEngine:
    """See Engine. `state` is its folder (default `$DISTROMATRIX_FAKE`). It can play an engine
    of guests, whose images and caches are another's."""

    def __init__(
        self,
        state: Path | None = None,
        *,
        faults: Faults | None = None,
        name: str = "fake",
        images: FakeImages | None = None,
        caches: FakeCaches | None = None,
    ) -> None:
        self.name = name
        self._state = FakeState(state, faults)
        self.images = images or FakeImages(self._state)
        self.caches = caches or FakeCaches(self._state.folder / "caches")

    def playing(self, name: str) -> FakeEngine:
        """One that plays that engine of guests over this one, in a folder below its own."""
        folder = self._state.folder / name
        return FakeEngine(folder, name=name, images=self.images, caches=self.caches)

    def _answer(self) -> None:
        if self._state.faults.unavailable:
            raise EngineUnavailableError("the fake engine is told to be unavailable")

    def ping(self) -> None:
        """See Engine."""
        self._answer()

    def facts(self) -> EngineFacts:
        """See Engine."""
        self._answer()
        return EngineFacts(
            name=self.name,
            product="Fake" if self.name == "fake" else f"Fake {self.name}",
            version="1",
            api_version="1",
            cpus=os.cpu_count() or 1,
            memory=os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"),
            arch=platform.machine(),
            storage_driver="folder",
            cgroup_version="0",
            rootless=True,
            local=True,
            data_root=str(self._state.folder),
        )

    @property
    def layers(self) -> None:
        """See Engine: it keeps none."""

    def stage(self, product: ProductSource, *, image: str, labels: Mapping[str, str]) -> FakeStage:
        """See Engine."""
        self._answer()
        if self.images.find(image) is None:
            raise CannotStartError(f"no such image: {image}")
        return FakeStage(self._state, product.tar(), labels)

    def open(self, spec: MachineSpec, stage: Stage | None = None) -> FakeMachine:
        """See Engine; `stage` is one of this engine's."""
        self._answer()
        faults = self._state.faults
        time.sleep(faults.open_seconds)
        image = self.images.find(spec.image)
        if image is None:
            raise CannotStartError(f"no such image: {spec.image}")
        if self._state.strikes("cannot_start", faults.cannot_start, spec):
            raise CannotStartError(f"{spec.image}: the image has no /bin/sh (injected)")
        if (self._state.machines / f"{spec.name}.json").exists():
            raise InfrastructureError(f"the name {spec.name} is in use", transient=False)
        root = Path(tempfile.mkdtemp(prefix=f"{spec.name}-", dir=self._state.machines))
        try:
            with self.images.rootfs(image).open("rb") as tar:
                extract(tar, root)
            if stage is not None:
                for name in OUT_FOLDERS:
                    (root / "distromatrix/out" / name).mkdir(parents=True)
                with cast("FakeStage", stage).tar.open("rb") as tar:
                    extract(tar, root / "distromatrix")
            staged, guest = stage is not None, self.name != "fake"
            if guest:
                spec.on_step("restored")
            return FakeMachine(self._state, spec, root, staged=staged, guest=guest)
        except BaseException:
            shutil.rmtree(root, ignore_errors=True)
            raise

    def join(self, address: Address) -> FakeMachine:
        """See Engine."""
        self._answer()
        return FakeMachine.join(self._state, address)

    def enter(self, kept: Kept, env: Mapping[str, str]) -> int:
        """See Engine."""
        self._answer()
        record = read_json(self._state.machines / f"{kept.name}.json")
        if record is None:
            raise MachineGoneError(f"{kept.name} is gone")
        product = Path(record["root"]) / "distromatrix/product"
        folder = product if product.is_dir() else Path(record["root"])
        return subprocess.run(["sh"], cwd=folder, env={**os.environ, **env}, check=False).returncode

    def leftovers(self) -> tuple[Leftover, ...]:
        """See Engine."""
        self._answer()
        found: list[Leftover] = []
        for kind, folder in (("container", self._state.machines), ("volume", self._state.stages)):
            for file in sorted(folder.glob("*.json")):
                record = read_json(file)
                if record is None or not record["labels"].get(LABEL_RUN):
                    continue
                name, created = file.stem, record.get("created", 0.0)
                kept = name.startswith(KEPT)
                found.append(
                    Leftover.labelled(kind, name, record["labels"], kept=kept, created=created)
                )
        return tuple(found)

    def remove(self, leftover: Leftover) -> None:
        """See Engine."""
        self._answer()
        if leftover.kind == "container":
            end_recorded(self._state.machines / f"{leftover.name}.json")
            return
        for kind in ("tar", "json"):
            (self._state.stages / f"{leftover.name}.{kind}").unlink(missing_ok=True)

    def close(self) -> None:
        """See Engine."""
