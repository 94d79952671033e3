"""Layers on a Docker-API engine: volumes. What is put into them goes through containers of an empty
image, in which nothing ever runs: no program of an image or a product can write there."""

from __future__ import annotations

import io
import secrets
import tarfile
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from itertools import chain

from docker.errors import NotFound

from distromatrix.engines.contract import LABEL_FOLDER, LABEL_HOST, LABEL_RUN, MOUNT, MachineSpec
from distromatrix.engines.docker.connection.api import Api
from distromatrix.engines.docker.images import DockerImages
from distromatrix.engines.docker.machine import DockerMachine
from distromatrix.engines.docker.spec import create_body
from distromatrix.engines.docker.staging.product import beside
from distromatrix.engines.layers import LABEL_LAYER, Pack

EMPTY = "distromatrix/empty:1"
_BELOW = MOUNT.lstrip("/") + "/"
_OF_A_RUN = (LABEL_RUN, LABEL_FOLDER, LABEL_HOST)


class DockerLayers:
    """See LayerStore."""

    def __init__(self, api: Api, images: DockerImages) -> None:
        self._api = api
        self._images = images

    @property
    def engine(self) -> str:
        """See LayerStore."""
        return str(self._api.info.get("ID") or "")

    def has(self, names: Iterable[str]) -> bool:
        """See LayerStore: by their names, as an engine that removes one lists none meanwhile."""
        with self._api.calling("look at what is kept of the product") as client:
            try:
                found = [client.inspect_volume(name).get("Labels") or {} for name in names]
            except NotFound:
                return False
        return all(LABEL_LAYER in labels for labels in found)

    def add(self, name: str, owner: str, pack: Pack, labels: Mapping[str, str]) -> None:
        """See LayerStore."""
        with self._api.calling("create the product's volume") as client:
            client.create_volume(name, labels=dict(labels))
        try:
            with self._helper(name, labels) as helper:
                # Below the root folder: Docker refuses links that lead out of where it extracts.
                helper.put(chain((beside(owner, _BELOW),), pack(_BELOW)), "/")
        except BaseException:
            with suppress(Exception), self._api.calling("remove a volume") as client:
                client.remove_volume(name, force=True)
            raise

    def read(self, name: str, path: str) -> Iterator[bytes]:
        """See LayerStore."""
        with self._api.calling("look at a volume") as client:
            labels = client.inspect_volume(name).get("Labels") or {}
        with self._helper(name, {key: labels.get(key, "") for key in _OF_A_RUN}) as helper:
            yield from helper.get(f"{MOUNT}/product/{path}")

    @contextmanager
    def _helper(self, name: str, labels: Mapping[str, str]) -> Iterator[DockerMachine]:
        """A container on that volume, in which there is nothing else, and which never runs."""
        if self._images.find(EMPTY) is None:
            nothing = io.BytesIO()
            tarfile.open(fileobj=nothing, mode="w").close()
            self._images.load_rootfs(io.BytesIO(nothing.getvalue()), EMPTY, {})
        called = f"{name}-helper-{secrets.token_hex(3)}"
        kept = {key: value for key, value in labels.items() if key != LABEL_LAYER}
        spec = MachineSpec(name=called, image=EMPTY, labels=kept, network=False)
        helper = DockerMachine.create(self._api, spec, create_body(spec, self._api.limits, name))
        try:
            yield helper
        finally:
            helper.close()
