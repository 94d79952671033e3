"""A private view of the product for every container, where the engine's host can mount overlays.

Layers that the engine keeps hold the snapshot, or one volume does (once for every user id); a
container gets a volume of Docker's `local` driver, of type overlay, over it. A helper container
makes and removes the folders for that. What an overlay cannot do: a file that was mapped to memory
before it was first written to goes on to show there what it had
(https://docs.kernel.org/filesystems/overlayfs.html, "Non-standard behavior")."""

from __future__ import annotations

import contextlib
import os
import secrets
import threading
from collections.abc import Mapping
from pathlib import Path

from distromatrix.engines.answer import Answer
from distromatrix.engines.contract import API_TIMEOUT, MOUNT, Command, MachineSpec
from distromatrix.engines.docker.connection.api import Api
from distromatrix.engines.docker.machine import DockerMachine
from distromatrix.engines.docker.network import Networks
from distromatrix.engines.docker.outside import blocks
from distromatrix.engines.docker.spec import Overlay, create_body
from distromatrix.engines.docker.staging.product import StagedProduct
from distromatrix.engines.layers import Layers
from distromatrix.engines.parcel import ROOT, folders, owner_of
from distromatrix.errors import InfrastructureError

# Folders for cells that are made at once: a put costs a round trip, each folder in it a little.
FIRST_VIEWS = 8
VIEWS_AT_ONCE = 64
SWEEP_FROM = 8  # folders of ended cells that may lie about before the helper is started


class OverlayVolume:
    """A volume with the snapshot, and the helper container that works in it."""

    def __init__(
        self,
        api: Api,
        networks: Networks,
        snapshot: StagedProduct,
        *,
        image: str,
        labels: Mapping[str, str],
        layers: Layers | None = None,
    ) -> None:
        self._layers = layers
        self._api = api
        self._networks = networks
        self._product = snapshot
        self._lock = threading.Lock()
        self._cells = 0
        self._views = 0  # so many cells' folders are there
        self._kept = False
        self._closed = False
        self._bases: set[str] = set()
        self._places: dict[str, str] = {}  # of layers
        self._sweeping = threading.Lock()
        self._released: list[int] = []
        self._helper_runs = False
        self._name = f"distromatrix-stage-{secrets.token_hex(6)}"
        with api.calling("create the product's volume") as client:
            volume = client.create_volume(self._name, labels=dict(labels))
        self._mountpoint = str(volume["Mountpoint"])
        spec = MachineSpec(name=f"{self._name}-helper", image=image, labels=labels, network=False)
        try:
            # Files can be put through a container that does not run. It is started when
            # there is something to sweep, which a short run ends without.
            body = create_body(spec, api.limits, self._name)
            # As long as it is there, nobody removes the layers that machines stand on.
            body["HostConfig"]["Mounts"] += [
                {"Type": "volume", "Source": name, "Target": f"/{name}", "ReadOnly": True}
                for name in (layers.made if layers else ())
            ]
            self._helper = DockerMachine.create(api, spec, body)
        except BaseException:
            self._remove()
            raise

    def open(self, spec: MachineSpec) -> DockerMachine:
        """A machine on a new private view. Raises CannotStartError, InfrastructureError."""
        self._networks.begin(spec)
        view, cell = self._new_view(owner_of(spec.user))
        machine = self._networks.create(spec, view)
        machine.at_close.append(lambda kept: self._release(cell, kept))
        machine.beside = lambda: self._written(cell)
        return machine.start()

    def _new_view(self, owner: str) -> tuple[Overlay, int]:
        with self._lock:
            below, stage = self._below(owner)
            cell, views = self._cells + 1, self._views
            if cell > views:
                views += VIEWS_AT_ONCE if views else FIRST_VIEWS
            more = _view_folders(self._views + 1, views)
            if self._layers is None and below not in self._bases:
                self._fill(owner, below.rpartition("/")[2], more)
                self._bases.add(below)
            elif more:
                self._helper.put(folders(ROOT, more), MOUNT)
            self._cells, self._views = cell, views
            own = f"cells/{cell}"
        root = f"{self._mountpoint}/{own}"
        view = Overlay(
            lower=below,
            upper=f"{root}/upper",
            work=f"{root}/work",
            stage=stage,
        )
        return view, cell

    def _below(self, owner: str) -> tuple[str, str]:
        """The folders of the engine's host that a view of an owner's lies over, the topmost first,
        as overlayfs takes them; and the names of all volumes that it needs."""
        if self._layers is None:
            return f"{self._mountpoint}/base-{owner.replace(':', '-')}", self._name
        names = self._layers.of(owner)
        return ":".join(map(self._place, names)), ",".join((self._name, *names))

    def _place(self, layer: str) -> str:
        if layer not in self._places:
            with self._api.calling("look at the product's volume") as client:
                self._places[layer] = str(client.inspect_volume(layer)["Mountpoint"])
        return self._places[layer]

    def _fill(self, owner: str, base: str, more: tuple[str, ...]) -> None:
        self._product.fill(self._helper, MOUNT, owner, base, more)
        if self._product.holes:
            with self._sweeping:
                self._begin_helper()
        self._product.make_holes(self._helper, f"{MOUNT}/{base}")

    def _written(self, cell: int) -> int:
        """What a cell has written to its view, in bytes. Raises InfrastructureError, OSError,
        ValueError."""
        upper = Path(self._mountpoint, f"cells/{cell}/upper")
        if os.geteuid() == 0 and upper.is_dir():  # by this host's programs, not the image's
            return blocks(upper)
        said = Answer()
        with self._sweeping:
            if self._closed:
                return 0
            self._begin_helper()
        script = f"du -sk cells/{cell}/upper"
        self._helper.run(Command(script, cwd=MOUNT, timeout=API_TIMEOUT, output=said))
        return int(bytes(said).split()[0]) * 1024

    def _begin_helper(self) -> None:
        if not self._helper_runs:
            self._helper.begin()
            self._helper_runs = True

    def _release(self, cell: int, kept: bool) -> None:
        """The machine on that view is gone (its folder goes, in the background) or stays."""
        # What cannot be removed now goes with the volume.
        with contextlib.suppress(InfrastructureError), self._sweeping:
            if kept:
                self._kept = True
                return
            self._released.append(cell)
            if self._closed or (len(self._released) < SWEEP_FROM and not self._helper_runs):
                return
            self._begin_helper()
            gone = " ".join(f"cells/{number}" for number in self._released)
            self._released.clear()
            self._helper.run(Command(f"rm -rf {gone} &", cwd=MOUNT, timeout=API_TIMEOUT))

    def close(self) -> None:
        """Remove volume and helper; the volume not if kept machines stand on it."""
        with self._lock, self._sweeping:
            if self._closed:
                return
            self._closed = True
        self._helper.close()
        if not self._kept:
            self._remove()

    def _remove(self) -> None:
        with contextlib.suppress(Exception), self._api.calling("remove a volume") as client:
            client.remove_volume(self._name, force=True)


def _view_folders(first: int, last: int) -> tuple[str, ...]:
    """Names of the folders of these cells; none where there is no cell."""
    cells = [f"cells/{number}" for number in range(first, last + 1)]
    each = (f"{cell}{part}" for cell in cells for part in ("", "/upper", "/work"))
    return ("cells", *each) if cells else ()
