"""What of ours lies in an engine's store: listed, and what is old removed."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from time import time

from distromatrix.engines.contract import LABEL_DISTRO, LABEL_SOURCE
from distromatrix.engines.image_store import Image, ImageStore
from distromatrix.errors import InfrastructureError
from distromatrix.images.base.sources import BASE_REPOSITORY
from distromatrix.images.layer.layers import LABEL_BASE, PREPARED_REPOSITORY

_SUPERSEDED_AFTER = 86400.0  # a run on the former base has ended by then


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageRow:
    """An image of ours in the engine's store. `kind` is base | prepared; `source` that of
    the base image; `created` seconds since the epoch; `size` bytes."""

    kind: str
    distro: str
    tag: str
    id: str
    source: str
    created: float
    size: int
    key: str
    base: str = ""  # id of the base image below a prepared one


def list_images(store: ImageStore) -> tuple[ImageRow, ...]:
    """What of ours is in an engine's store, base images first, by distro and age."""
    found = (_row(image) for image in store.list())
    return tuple(sorted((r for r in found if r), key=lambda r: (r.kind, r.distro, -r.created)))


def prune(store: ImageStore, older_than: float = 30 * 86400.0) -> tuple[ImageRow, ...]:
    """Remove images older than that many seconds, and prepared ones whose base image has
    been replaced; not those in use. Returns what was removed."""
    here = list_images(store)
    bases = {r.id for r in here if r.kind == "base"}
    gone = []
    for row in sorted(here, key=lambda r: r.kind, reverse=True):  # prepared ones first
        age = time() - row.created
        superseded = row.base not in ("", *bases) and age > _SUPERSEDED_AFTER
        if age >= older_than or superseded:
            with suppress(InfrastructureError):
                store.remove(row.tag)
                gone.append(row)
    return tuple(gone)


def _row(image: Image) -> ImageRow | None:
    repository, _, name = image.tag.rpartition(":")
    if repository == BASE_REPOSITORY:
        distro, source, key = name.rsplit("-", 2) if name.count("-") >= 2 else (name, "", "")
    elif repository == PREPARED_REPOSITORY:
        distro = image.labels.get(LABEL_DISTRO, "")
        source, key = image.labels.get(LABEL_SOURCE, ""), name
    else:
        return None
    return ImageRow(
        kind="base" if repository == BASE_REPOSITORY else "prepared",
        distro=distro,
        tag=image.tag,
        id=image.id,
        source=source,
        created=image.created,
        size=image.size,
        key=key,
        base=image.labels.get(LABEL_BASE, "") if repository == PREPARED_REPOSITORY else "",
    )
