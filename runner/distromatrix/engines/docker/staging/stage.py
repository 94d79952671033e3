"""The product's snapshot on the engine's host, and a private copy of it for every container.

`overlay`: see overlay.py. `archive`: the snapshot goes into every container as
a tar stream.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping
from typing import Literal

from distromatrix.engines.contract import LABEL_RUN, MOUNT, Command, MachineSpec
from distromatrix.engines.docker.connection.api import Api
from distromatrix.engines.docker.machine import DockerMachine
from distromatrix.engines.docker.network import Networks
from distromatrix.engines.docker.staging.overlay import OverlayVolume
from distromatrix.engines.docker.staging.product import StagedProduct
from distromatrix.engines.docker.staging.transfer import inspected
from distromatrix.engines.layers import ProductSource
from distromatrix.engines.parcel import owner_of
from distromatrix.errors import (
    CannotStartError,
    DiskFullError,
    EngineUnavailableError,
    InfrastructureError,
    MachineGoneError,
)

Strategy = Literal["overlay", "archive"]

# Whether /distromatrix, where it is an overlay, renames its folders and keeps its hard links: an
# engine's kernel may pass over these options, and says so only here.
_WHOLE = f"""has() {{
case ",$options," in
*",$1=on,"*) ;;
*",$1="*) return 1 ;;
*) read -r usual </sys/module/overlay/parameters/$1 && [ "$usual" = Y ] ;;
esac
}}
while read -r kind at type options _; do
[ "$at" != {MOUNT} ] || case $type in *overlay*) has redirect_dir && has index || exit ;; esac
done </proc/mounts
"""


class DockerStage:
    """One run's snapshot. Thread-safe.

    `forced` says which strategy it must be; without, overlay is given up for archive when the
    first machine that is to have one cannot (a rootless engine, one whose own disk is an
    overlay, an API that knows no such volumes, a kernel whose overlays rename no folders).
    """

    def __init__(
        self,
        api: Api,
        networks: Networks,
        product: ProductSource,
        *,
        image: str,
        labels: Mapping[str, str],
        forced: Strategy | None = None,
    ) -> None:
        self._networks = networks
        self._run = labels.get(LABEL_RUN, "")
        self._product = StagedProduct(product.tar)
        if not api.dialect.mounts_overlays:
            forced = "archive"
        self._proven = forced is not None
        self._trial = threading.Lock()
        self.strategy: Strategy = forced or "overlay"
        self._volume = None
        self._layers = layers = product.keeper
        if self.strategy == "overlay":
            self._volume = OverlayVolume(
                api, networks, self._product, image=image, labels=labels, layers=layers
            )
        else:
            _see(api, image)

    def open(self, spec: MachineSpec) -> DockerMachine:
        """A machine with its private copy. Raises CannotStartError, InfrastructureError."""
        if not self._proven:
            with self._trial:
                if not self._proven:
                    return self._open_first(spec)
        if self.strategy == "overlay" and self._volume is not None:
            return self._volume.open(spec)
        return self._open_archive(spec)

    def _open_first(self, spec: MachineSpec) -> DockerMachine:
        """Trying is the only way to know whether the engine's host can mount an overlay."""
        assert self._volume is not None  # noqa: S101  # nothing is tried without it
        try:
            machine = self._volume.open(spec)
            if machine.run(Command(_WHOLE)).status == 0:
                self._proven = True
                return machine
            machine.close()
        except (CannotStartError, DiskFullError, EngineUnavailableError, MachineGoneError):
            raise
        except InfrastructureError:
            if self._product.ended.is_set():
                raise
        machine = self._open_archive(spec)
        self.strategy, self._proven = "archive", True
        if self._layers is not None:
            self._layers.refuse()
        return machine

    def _open_archive(self, spec: MachineSpec) -> DockerMachine:
        machine = self._networks.create(spec, staged=True)
        machine.beside = lambda: -self._product.size
        with machine.starting():
            self._product.fill(machine, "/", owner_of(spec.user), MOUNT.lstrip("/"))
            machine.begin()
            self._product.make_holes(machine, MOUNT)
        return machine

    def close(self) -> None:
        """See Stage. With it begins the end of its run."""
        self._networks.end(self._run)
        self._product.close()
        if self._volume is not None:
            self._volume.close()


def _see(api: Api, image: str) -> None:
    """Raises CannotStartError for an image that is not there, as a volume's helper would."""
    with api.calling(f"look at the image {image}") as client:
        if inspected(client, api.dialect.name(image)) is None:
            raise CannotStartError(f"no such image: {image}")
