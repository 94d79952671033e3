"""The prepared image that a cell runs on: found, or built in a machine of its base image."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from math import inf
from threading import Lock
from uuid import uuid4

from distromatrix.collect.masking import Masker
from distromatrix.collect.text import one_line
from distromatrix.engines.cache_store import Cache
from distromatrix.engines.caches import Caches
from distromatrix.engines.contract import (
    LABEL_DISTRO,
    LABEL_KIND,
    LABEL_SOURCE,
    Machine,
    MachineSpec,
    Ready,
)
from distromatrix.engines.image_store import Image
from distromatrix.engines.silence import Watch
from distromatrix.errors import ImageError
from distromatrix.images.base.bases import Base
from distromatrix.images.base.context import BuildContext
from distromatrix.images.layer.cache_folders import for_root, is_place
from distromatrix.images.layer.recipe import Recipe, apply, numeric_user
from distromatrix.model import Cell, Distro, Guest, ImageUsed
from distromatrix.plan.held import held_in
from distromatrix.record.events import Warned

PREPARED_REPOSITORY = "distromatrix/prepared"
LABEL_USER = "distromatrix.user"  # UID:GID of the user that was made
LABEL_BASE = "distromatrix.base"  # id of the base image below
LABEL_OWN_KEY = "distromatrix.own-key"  # Recipe.own_key
LABEL_CACHES = "distromatrix.caches"  # where they are, by name: JSON
LABEL_ABSENT = "distromatrix.absent"  # Prepared.absent, with spaces between
_BUILD_MEMORY = 2 * 1024**3  # at least: package managers are no small programs
_PRIVILEGES = ("net-raw", "mknod", "audit-write")  # packages' own scripts may use them


@dataclass(frozen=True, slots=True, kw_only=True)
class Prepared:
    """The image that a cell runs on. `user` is `root` or `UID:GID`. `recipe`: what went into it.
    `guest`: what the distro says of its guests, where it is for one; `ready`: what makes one ready
    that does not begin from the image; `caches`: by name, where the cell's are in it; `absent`: the
    optional packages, named by what they hold (`cmake(Foo)`), that its distro does not have."""

    image: Image
    used: ImageUsed
    user: str
    recipe: Recipe | None = None
    guest: Guest | None = None
    ready: Ready | None = None
    caches: Mapping[str, str] = field(default_factory=dict)
    absent: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Layers:
    """Prepared images. `labels` go on the machines that builds open, which have the project's
    `caches`. All methods raise ImageError."""

    around: BuildContext
    labels: Mapping[str, str] = field(default_factory=dict)
    caches: Caches | None = None
    machines: set[Machine] = field(default_factory=set)
    lock: Lock = field(default_factory=Lock)
    watch: Watch = field(default_factory=Watch)

    def get(self, distro: Distro, cell: Cell, wanted: Recipe, base: Base) -> Prepared:
        """The image of a recipe, on that base image."""
        if wanted.empty:
            return self._of(base.image, cell, base)
        tag = _tag(wanted, base)
        image = self._ready(tag, base)
        if image is None and self.around.settings.offline:
            image = self._offline(distro, cell, wanted, base)
        if image is None:
            with self.around.alone(tag.rpartition(":")[2], distro.name):
                image = self._ready(tag, base) or self._renewed(distro, cell, wanted, base, tag)
        return self._of(image, cell, base)

    def stored(self, cell: Cell, wanted: Recipe, base: Base) -> Prepared | None:
        """What the engine's store holds of it, of whatever age: this very one, else the
        newest that differs in nothing but what its host handed over."""
        if wanted.empty:
            return self._of(base.image, cell, base)
        images = self.around.engine.images
        image = images.find(_tag(wanted, base))
        if image is None:
            own = wanted.own_key(base.image.id)
            same = images.list({LABEL_OWN_KEY: own})
            image = max(same, key=lambda i: i.created, default=None)
        if image is None and wanted.bare:
            image = base.image
        return self._of(image, cell, base) if image else None

    def cancel(self) -> None:
        """End the machines of all builds. Never raises."""
        with self.lock:
            machines = tuple(self.machines)
        for machine in machines:
            machine.kill()

    @staticmethod
    def _of(image: Image, cell: Cell, base: Base) -> Prepared:
        user = image.labels.get(LABEL_USER) or numeric_user(cell.user)
        caches = _caches_in(image) if cell.caches else {}
        absent = tuple(filter(held_in, image.labels.get(LABEL_ABSENT, "").split()))
        return Prepared(image=image, used=base.used, user=user, caches=caches, absent=absent)

    def _ready(self, tag: str, base: Base) -> Image | None:
        """The prepared image, if it is there and not out of date."""
        image = self.around.engine.images.find(tag)
        return image if image and time.time() - image.created < base.refresh else None

    def _offline(self, distro: Distro, cell: Cell, wanted: Recipe, base: Base) -> Image:
        stored = self.stored(cell, wanted, base)
        if stored is None:
            raise ImageError(
                f"{cell.id}: its prepared layer is not here, and --offline builds none"
            )
        if stored.image.tag not in (_tag(wanted, base), base.image.tag):
            text = f"{distro.name}: {cell.id} runs on a layer made with another host's settings"
            self.around.emit(Warned(text=text))
        return stored.image

    def _renewed(self, distro: Distro, cell: Cell, wanted: Recipe, base: Base, tag: str) -> Image:
        """The prepared image built anew, or an old one where its mirror is out of reach."""
        old = self.around.engine.images.find(tag)
        try:
            image = self._build(distro, cell, wanted, base, tag)
        except ImageError as error:
            if old is None or not error.transient:
                raise
            return self.around.stale(distro.name, old, "prepared", str(error))
        self.around.forget(old, image)
        return image

    def _build(self, distro: Distro, cell: Cell, wanted: Recipe, base: Base, tag: str) -> Image:
        if wanted.packages and wanted.source.warning:
            self.around.emit(Warned(text=wanted.source.warning))
        began = time.monotonic()
        key = tag.rpartition(":")[2]
        spec = MachineSpec(
            name=f"distromatrix-prepare-{key[:12]}-{uuid4().hex[:8]}",
            image=base.image.id,
            labels=self.labels,
            cpus=cell.cpus,
            memory=max(cell.memory, _BUILD_MEMORY),
            privileges=_PRIVILEGES,
            caches=self._caches(distro, wanted, base),
        )
        with self.machine(spec) as machine:
            with self.watch.over(machine, partial(self._silent, wanted)) as watched:
                made = apply(wanted, watched, self.around.teller(distro), self.around.downloads)
            labels = {
                LABEL_KIND: "prepared",
                LABEL_DISTRO: distro.name,
                LABEL_SOURCE: base.used.source,
                LABEL_OWN_KEY: wanted.own_key(base.image.id),
                LABEL_BASE: base.image.id,
                LABEL_USER: made.user,
                **({LABEL_CACHES: json.dumps(dict(made.caches))} if made.caches else {}),
                **({LABEL_ABSENT: " ".join(made.absent)} if made.absent else {}),
            }
            image = self.around.engine.images.commit(machine.address.id, tag, labels)
        text = f"ready in {time.monotonic() - began:.0f} s (prepared layer)"
        self.around.say(distro.name, text)
        return image

    def _caches(self, distro: Distro, wanted: Recipe, base: Base) -> tuple[Cache, ...]:
        """What `prepare` has."""
        if self.caches is None or not wanted.script:
            return ()
        return self.caches.of(distro.name, base.image.arch, "root", for_root(wanted.caches))

    def _silent(self, recipe: Recipe, seconds: float, command: str) -> None:
        said = f", running: {one_line(Masker(recipe.secrets).mask(command))}" if command else ""
        self.around.say(recipe.source.distro, f"silent for {seconds:.0f} s{said}")

    @contextmanager
    def machine(self, spec: MachineSpec) -> Iterator[Machine]:
        """One that `cancel` ends."""
        machine = self.around.engine.open(spec)
        try:
            with self.lock:
                self.machines.add(machine)
            if self.around.cancelled.is_set():
                raise ImageError("cancelled")
            yield machine
        finally:
            with self.lock:
                self.machines.discard(machine)
            machine.close()


def below(prepared: Prepared) -> Base:
    """A prepared image as what another stands on: which is as fresh as this, whose id is in
    the other's key."""
    return Base(image=prepared.image, used=prepared.used, refresh=inf)


def _caches_in(image: Image) -> Mapping[str, str]:
    """What its label says: one that was carried here may say anything."""
    with suppress(ValueError):
        found = json.loads(image.labels.get(LABEL_CACHES, "{}"))
        if isinstance(found, dict) and all(is_place(*item) for item in found.items()):
            return found
    return {}


def _tag(wanted: Recipe, base: Base) -> str:
    return f"{PREPARED_REPOSITORY}:{wanted.key(base.image.id)}"


def layer_inputs(cell: Cell) -> tuple[object, ...]:
    """What of a cell decides its prepared image: cells with equal ones share it."""
    env = tuple(sorted(cell.env.items())) if cell.prepare else ()
    user = numeric_user(cell.user) or cell.user
    caches = (tuple(sorted(cell.caches.items())),) if cell.caches else ()
    return (cell.distro, cell.packages, cell.prepare, user, env, *caches, *cell.repositories)
