"""The fake engine's images: a JSON file and a tar each."""

from __future__ import annotations

import hashlib
import io
import json
import shutil
import tarfile
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, replace
from fnmatch import fnmatchcase
from pathlib import Path
from time import time
from typing import Any, BinaryIO

from distromatrix.engines.image_store import NO_LABELS, Build, Image, Preparation, Resolved
from distromatrix.errors import InfrastructureError, PullError
from distromatrix.files.small_tar import tar_of
from distromatrix.files.whole import read_json
from fake_engine.state import FakeState, write_json


class FakeImages:
    """See ImageStore."""

    def __init__(self, state: FakeState) -> None:
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
            return _image(record)
        return next((image for image in self.list() if image.id == tag), None)

    def pull(self, ref: str, tag: str, progress: Callable[[str], None]) -> Image:
        """See ImageStore. Raises PullError as the faults say."""
        resolved = self.resolve(ref)
        progress(f"pulled {ref}")
        self._file(tag, "tar").write_bytes(tar_of(()))
        return self._write(tag, {}, seed=ref, digests=(resolved.digest,))

    def resolve(self, ref: str) -> Resolved:
        """See ImageStore: a digest of the reference's own, or the one that it names."""
        for glob, kind in self._state.faults.pulls.items():
            if fnmatchcase(ref, glob):
                raise PullError(kind, f"cannot pull {ref}: {kind} (injected)")
        named = ref.partition("@")[2]
        return Resolved(digest=named or f"sha256:{hashlib.sha256(ref.encode()).hexdigest()}")

    def load_rootfs(self, tar: BinaryIO, tag: str, labels: Mapping[str, str]) -> Image:
        """See ImageStore."""
        with self._file(tag, "tar").open("wb") as target:
            shutil.copyfileobj(tar, target)
        return self._write(tag, labels)

    def build(self, build: Build, tag: str, progress: Callable[[str], None]) -> Image:
        """See ImageStore: the context is its root."""
        progress(f"building {build.file}")
        return self.load_rootfs(io.BytesIO(build.context), tag, build.labels)

    def commit(self, machine: str, tag: str, labels: Mapping[str, str]) -> Image:
        """See ImageStore."""
        with tarfile.open(self._file(tag, "tar"), "w") as tar:
            for one in sorted(Path(machine).iterdir()):
                if one.name != "distromatrix":  # the product is no part of an image
                    tar.add(one, arcname=one.name)
        return self._write(tag, labels)

    def save(self, tags: tuple[str, ...]) -> Iterable[bytes]:
        """See ImageStore."""
        buffer = io.BytesIO()
        with tarfile.open(fileobj=buffer, mode="w") as tar:
            for tag in tags:
                for kind in ("json", "tar"):
                    tar.add(self._file(tag, kind), arcname=self._file(tag, kind).name)
        yield buffer.getvalue()

    def tags_in(self, tar: BinaryIO) -> tuple[str, ...]:
        """See ImageStore. Raises InfrastructureError."""
        try:
            with tarfile.open(fileobj=tar, mode="r|*") as members:
                files = (members.extractfile(m) for m in members if m.name.endswith(".json"))
                return tuple(json.load(file)["tag"] for file in files if file)
        except (tarfile.TarError, ValueError, KeyError) as error:
            raise InfrastructureError(f"no saved images: {error}", transient=False) from error

    def load(self, tar: BinaryIO, images: tuple[Image, ...]) -> None:
        """See ImageStore. Raises InfrastructureError."""
        try:
            with tarfile.open(fileobj=tar, mode="r|*") as members:
                # One by one: `extractall` has filters since Python 3.11.4, Debian 12 has 3.11.2.
                for member in members:
                    if (file := members.extractfile(member)) is not None:
                        (self._state.images / Path(member.name).name).write_bytes(file.read())
        except tarfile.TarError as error:
            raise InfrastructureError(f"cannot load images: {error}", transient=False) from error
        for image in images:
            found = self._need(image.tag)
            self._record(replace(found, created=image.created, digests=image.digests))

    def export(
        self,
        image: str,
        labels: Mapping[str, str],
        first: Preparation | None = None,
    ) -> Iterable[bytes]:
        """See ImageStore. Raises InfrastructureError."""
        del labels
        return (self.rootfs(self._need(image)).read_bytes(),)

    def tag(self, image: str, tag: str) -> None:
        """See ImageStore. Raises InfrastructureError."""
        found = self._need(image)
        shutil.copyfile(self.rootfs(found), self._file(tag, "tar"))
        self._record(replace(found, tag=tag))

    def _need(self, tag: str) -> Image:
        if (found := self.find(tag)) is None:
            raise InfrastructureError(f"there is no image {tag}", transient=False)
        return found

    def _record(self, image: Image) -> Image:
        write_json(self._file(image.tag, "json"), asdict(image))
        return image

    def _write(
        self, tag: str, labels: Mapping[str, str], seed: str = "", digests: tuple[str, ...] = ()
    ) -> Image:
        tar = self._file(tag, "tar")
        with tar.open("rb") as stream:
            digest = hashlib.file_digest(stream, "sha256")
        digest.update(seed.encode())
        return self._record(
            Image(
                id=f"sha256:{digest.hexdigest()}",
                tag=tag,
                labels=dict(labels),
                created=time(),
                size=tar.stat().st_size,
                digests=digests,
            )
        )

    def list(self, labels: Mapping[str, str] = NO_LABELS) -> tuple[Image, ...]:
        """See ImageStore."""
        records = (read_json(file) for file in self._state.images.glob("*.json"))
        images = [_image(record) for record in records if record is not None]
        images = [image for image in images if labels.items() <= image.labels.items()]
        return tuple(sorted(images, key=lambda image: image.tag))

    def remove(self, tag: str) -> None:
        """See ImageStore."""
        for kind in ("json", "tar"):
            self._file(tag, kind).unlink(missing_ok=True)


def _image(record: Mapping[str, Any]) -> Image:
    return Image(**{**record, "digests": tuple(record.get("digests", ()))})
