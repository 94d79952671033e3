"""Caches on a Docker-API engine: volumes, which machines share or have copies of."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from itertools import chain
from pathlib import Path

from docker.errors import APIError, NotFound

from distromatrix.engines.cache_store import LABEL_OWNER, LABEL_PROJECT, Cache, KeptCache
from distromatrix.engines.caches import home_folders
from distromatrix.engines.contract import MachineSpec
from distromatrix.engines.docker.connection.api import Api, timestamp
from distromatrix.engines.docker.container import Container
from distromatrix.engines.docker.outside import blocks
from distromatrix.engines.docker.staging.files import get_files, put_files
from distromatrix.engines.docker.staging.holding import holding
from distromatrix.errors import InfrastructureError

_AT = "/cache"  # where a helper has one
_IN_USE = 409  # the status with which a volume is not removed


class DockerCaches:
    """See CacheStore."""

    def __init__(self, api: Api) -> None:
        self._api = api

    def list(self, owner: str) -> tuple[KeptCache, ...]:
        """See CacheStore."""
        with self._api.calling("list caches") as client:
            filters = {"label": f"{LABEL_OWNER}={owner}"}
            volumes = client.volumes(filters=filters).get("Volumes") or ()
        return tuple(
            KeptCache(
                name=volume["Name"],
                project=(volume.get("Labels") or {}).get(LABEL_PROJECT, ""),
                created=timestamp(volume.get("CreatedAt")),
            )
            for volume in volumes
        )

    def size(self, name: str) -> int | None:
        """See CacheStore: as it lies on this host's disk where root may look, else as the engine
        says."""
        with self._api.calling("measure a cache") as client:
            try:
                folder = Path(client.inspect_volume(name)["Mountpoint"])
                if _is_here(self._api) and folder.is_dir():
                    return blocks(folder)
                for volume in client.df().get("Volumes") or ():
                    if volume["Name"] == name:
                        return max(0, int(volume["UsageData"]["Size"]))
            except (NotFound, ValueError, LookupError, TypeError):
                pass
        return None

    def remove(self, name: str) -> bool:
        """See CacheStore."""
        with self._api.calling("remove a cache") as client:
            try:
                if (client.inspect_volume(name).get("Labels") or {}).get(LABEL_OWNER):
                    client.remove_volume(name)
            except NotFound:
                return True
            except APIError as error:
                if error.response is not None and error.response.status_code == _IN_USE:
                    return False
                raise
        return True

    def read(self, cache: Cache, labels: Mapping[str, str]) -> Iterator[bytes]:
        """See CacheStore."""
        with self._api.calling("read a cache") as client:
            try:
                client.inspect_volume(cache.name)
            except NotFound:
                return
        with holding(self._api, cache.name, _AT, labels) as helper:
            yield from get_files(helper, f"{_AT}/.")

    def write(self, cache: Cache, labels: Mapping[str, str], tar: Iterable[bytes]) -> None:
        """See CacheStore."""
        make(self._api, cache)
        with holding(self._api, cache.name, _AT, labels) as helper:
            put_files(helper, iter(tar), _AT)


def _is_here(api: Api) -> bool:
    """Whether its disk may be this host's, and root looks."""
    return os.geteuid() == 0 and api.url.startswith("unix:")


def make(api: Api, *caches: Cache) -> None:
    """Make the volumes that machines share, where they are not there. Raises
    InfrastructureError."""
    if not caches:
        return
    with api.calling("make the volume of a cache") as client:
        for cache in caches:
            there = client.create_volume(cache.name, labels=dict(cache.labels))
            if (there.get("Labels") or {}).get(LABEL_OWNER) != cache.labels[LABEL_OWNER]:
                raise InfrastructureError(
                    f"the volume {cache.name} is not of distromatrix's making: remove it",
                    transient=False,
                )


def fill(container: Container, spec: MachineSpec) -> None:
    """Before it is started: give a user whose home is ours their folders in it, and copies their
    content. Raises InfrastructureError."""
    if made := home_folders(spec.user, spec.caches):
        put_files(container, made, "/")
    for cache in spec.caches:
        if cache.private:
            tar = DockerCaches(container.api).read(cache, spec.labels)
            if first := next(tar, b""):
                put_files(container, chain((first,), tar), cache.path)


def written(container: Container, caches: tuple[Cache, ...]) -> int:
    """Bytes that are in a container's caches; 0 where they cannot be seen from here. Raises
    InfrastructureError, OSError, ValueError."""
    if not caches or not _is_here(container.api):
        return 0
    paths = {cache.path for cache in caches}
    there = container.inspect().get("Mounts") or ()
    found = [Path(m["Source"]) for m in there if m.get("Destination") in paths]
    return sum(blocks(folder) for folder in found if folder.is_dir())
