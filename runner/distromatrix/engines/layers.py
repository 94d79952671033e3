"""Layers: a product's files as an engine keeps them between runs.

A layer is what was put there once, and is never written to again: the whole product, or what
differs from the layers below, with a whiteout for each name that is gone (overlayfs's: a
character device 0:0). Machines see some of them through each other, and write beside them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Protocol

# On a layer: the folder, on the host of whoever made it, that says which layers are in use.
LABEL_LAYER = "distromatrix.layer"

Pack = Callable[[str], Iterator[bytes]]


class LayerStore(Protocol):
    """The layers on an engine. All of it raises InfrastructureError."""

    @property
    def engine(self) -> str:
        """The engine's own id: what tells it from all others."""

    def has(self, names: Iterable[str]) -> bool:
        """Whether all of them are there."""

    def add(self, name: str, owner: str, pack: Pack, labels: Mapping[str, str]) -> None:
        """Make one. `pack` gives the tar stream of what lies in it, each name after the text that
        it is given. Where that fails, nothing is left."""

    def read(self, name: str, path: str) -> Iterator[bytes]:
        """A tar stream of one file in it. Raises FileNotFoundError."""


class Layers(Protocol):
    """The layers that one product consists of on an engine."""

    @property
    def made(self) -> tuple[str, ...]:
        """All that are known by now."""

    def of(self, owner: str) -> tuple[str, ...]:
        """Those of which a copy consists that is `owner`'s (UID:GID), the topmost first; they are
        made if need be. Raises InputError, InfrastructureError."""

    def refuse(self) -> None:
        """The engine's host cannot have machines see layers through each other."""


class ProductSource(Protocol):
    """A product that is to be staged."""

    @property
    def keeper(self) -> Layers | None:
        """Who keeps it on the engine of containers, if anybody does."""

    def tar(self) -> Path:
        """Its snapshot, a tar file whose members lie below `product/`; written when it is first
        asked for. Raises InputError, InfrastructureError."""
