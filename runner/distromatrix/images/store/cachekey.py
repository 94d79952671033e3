"""What names the images of some cells, for a cache that a CI keeps between runs."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from math import inf
from typing import Any

from pydantic import TypeAdapter

from distromatrix.images.base.bases import refresh_of
from distromatrix.images.layer.layers import layer_inputs
from distromatrix.images.layer.recipe import FORMAT, ProductFiles
from distromatrix.model import Cell, Distro, Plan
from distromatrix.plan.needs import GUESTS

_DAY = 86400.0
_WINDOWS = 4  # new names in the time after which a base image is got anew


def cache_key(plan: Plan, cells: Iterable[Cell], files: ProductFiles, now: float) -> str:
    """`DISTROS-ALL`: two digests, of which distros there are, and of everything that is
    declared of the images of those cells: sources, packages, `prepare` with its files'
    contents, what guests add. Nothing is asked for, so what a moving tag or a mirror gives is
    no part of it; instead it changes with time, so that images which were got anew are kept
    some day. `files` gives the product's files by globs; `now`: seconds since the epoch."""
    running = [cell for cell in cells if cell.engine is not None]
    distros = sorted({cell.distro for cell in running})
    layers = {json.dumps(_layer(plan.distro(c.distro), c, files), sort_keys=True) for c in running}
    images = [_image(plan.distro(name), now) for name in distros]
    return f"{_digest(distros)[:12]}-{_digest([FORMAT, images, sorted(layers)])[:32]}"


def _digest(what: object) -> str:
    return hashlib.sha256(json.dumps(what, sort_keys=True).encode()).hexdigest()


def _image(distro: Distro, now: float) -> object:
    """A distro's sources, and in which quarter of their life those images are that are got
    anew from time to time."""
    refresh = min(map(refresh_of, distro.image))
    window = 0 if refresh == inf else int(now // max(refresh / _WINDOWS, _DAY))
    sources = TypeAdapter(tuple[Any, ...]).dump_python(distro.image, mode="json")
    return (distro.name, distro.package_manager, distro.repositories, sources, window)


def _layer(distro: Distro, cell: Cell, files: ProductFiles) -> object:
    found = files(cell.prepare.files) if cell.prepare and cell.prepare.files else ()
    contents = [(path, hashlib.sha256(text).hexdigest(), mode) for path, text, mode in found]
    declared = TypeAdapter(tuple[Any, ...]).dump_python(layer_inputs(cell), mode="json")
    guest = distro.guest if cell.engine in GUESTS else None
    more = (cell.engine, guest.kernel, guest.system) if guest else ()
    return (declared, contents, more)
