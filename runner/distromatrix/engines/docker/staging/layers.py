"""Layers on a Docker-API engine: volumes."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from itertools import chain

from docker.errors import NotFound

from distromatrix.engines.contract import LABEL_FOLDER, LABEL_HOST, LABEL_RUN, MOUNT
from distromatrix.engines.docker.connection.api import Api
from distromatrix.engines.docker.staging.files import get_files, put_files
from distromatrix.engines.docker.staging.holding import holding
from distromatrix.engines.docker.staging.product import beside
from distromatrix.engines.layers import LABEL_LAYER, Pack

_BELOW = MOUNT.lstrip("/") + "/"
_OF_A_RUN = (LABEL_RUN, LABEL_FOLDER, LABEL_HOST)


class DockerLayers:
    """See LayerStore."""

    def __init__(self, api: Api) -> None:
        self._api = api

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
            kept = {key: value for key, value in labels.items() if key != LABEL_LAYER}
            with holding(self._api, name, MOUNT, kept) as helper, self._api.noting_full_disk():
                # Below the root folder: Docker refuses links that lead out of where it extracts.
                put_files(helper, chain((beside(owner, _BELOW),), pack(_BELOW)), "/")
        except BaseException:
            with suppress(Exception), self._api.calling("remove a volume") as client:
                client.remove_volume(name, force=True)
            raise

    def read(self, name: str, path: str) -> Iterator[bytes]:
        """See LayerStore."""
        with self._api.calling("look at a volume") as client:
            labels = client.inspect_volume(name).get("Labels") or {}
        kept = {key: labels.get(key, "") for key in _OF_A_RUN}
        with holding(self._api, name, MOUNT, kept) as helper:
            yield from get_files(helper, f"{MOUNT}/product/{path}")
