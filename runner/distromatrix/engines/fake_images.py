"""The fake engine's images: a JSON file and a tar each."""

from __future__ import annotations

import hashlib
import shutil
import tarfile
from collections.abc import Callable, Mapping
from fnmatch import fnmatchcase
from pathlib import Path
from time import time
from typing import Any, BinaryIO, cast

from distromatrix.engines.base import Image, Machine
from distromatrix.engines.fake_machine import FakeMachine
from distromatrix.engines.fake_state import State, read_json, write_json
from distromatrix.errors import PullError


class FakeImages:
    """See ImageStore."""

    def __init__(self, state: State) -> None:
        self._state = state

    def _file(self, tag: str, kind: str) -> Path:
        digest = hashlib.sha256(tag.encode()).hexdigest()[:32]
        return self._state.images / f"{digest}.{kind}"

    def rootfs(self, image: Image) -> Path:
        """The tar of an image's root; empty for a pulled one."""
        return self._file(image.tag, "tar")

    def find(self, tag: str) -> Image | None:
        """See ImageStore."""
        record = read_json(self._file(tag, "json"))
        if record is not None:
            return Image(**record)
        return next((image for image in self.list() if image.id == tag), None)

    def pull(self, ref: str, tag: str, progress: Callable[[str], None]) -> Image:
        """See ImageStore. Raises PullError as the faults say."""
        for glob, kind in self._state.faults.pulls.items():
            if fnmatchcase(ref, glob):
                raise PullError(kind, f"cannot pull {ref}: {kind} (injected)")
        progress(f"pulled {ref}")
        with tarfile.open(self._file(tag, "tar"), "w"):
            pass
        return self._write(tag, {}, seed=ref)

    def load_rootfs(self, tar: BinaryIO, tag: str, labels: Mapping[str, str]) -> Image:
        """See ImageStore."""
        with self._file(tag, "tar").open("wb") as target:
            shutil.copyfileobj(tar, target)
        return self._write(tag, labels)

    def commit(self, machine: Machine, tag: str, labels: Mapping[str, str]) -> Image:
        """See ImageStore; `machine` is one of the same engine."""
        root = cast("FakeMachine", machine).root
        with tarfile.open(self._file(tag, "tar"), "w") as tar:
            for one in sorted(root.iterdir()):
                if one.name != "distromatrix":  # the product is no part of an image
                    tar.add(one, arcname=one.name)
        return self._write(tag, labels)

    def _write(self, tag: str, labels: Mapping[str, str], seed: str = "") -> Image:
        tar = self._file(tag, "tar")
        with tar.open("rb") as stream:
            digest = hashlib.file_digest(stream, "sha256")
        digest.update(seed.encode())
        record: dict[str, Any] = {
            "id": f"sha256:{digest.hexdigest()}",
            "tag": tag,
            "labels": dict(labels),
            "created": time(),
            "size": tar.stat().st_size,
        }
        write_json(self._file(tag, "json"), record)
        return Image(**record)

    def list(self) -> tuple[Image, ...]:
        """See ImageStore."""
        records = (read_json(file) for file in self._state.images.glob("*.json"))
        images = [Image(**record) for record in records if record is not None]
        return tuple(sorted(images, key=lambda image: image.tag))

    def remove(self, tag: str) -> None:
        """See ImageStore."""
        for kind in ("json", "tar"):
            self._file(tag, kind).unlink(missing_ok=True)
