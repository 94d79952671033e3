"""What the rest of the program asks for images: a distro's base, a cell's prepared one."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from threading import Event as Flag

from distromatrix.collect.masking import Masker
from distromatrix.engines.caches import Caches
from distromatrix.engines.contract import Engine, Machine, Ready
from distromatrix.engines.image_store import Image
from distromatrix.errors import ImageError, InfrastructureError
from distromatrix.images.base.bases import Base, Bases
from distromatrix.images.base.context import BuildContext
from distromatrix.images.base.registry import Registries
from distromatrix.images.base.resolve import resolve
from distromatrix.images.facts import facts_of
from distromatrix.images.layer.hostnet import Handed
from distromatrix.images.layer.installing import package_source
from distromatrix.images.layer.layers import Layers, Prepared, below
from distromatrix.images.layer.recipe import ProductFiles, Recipe, recipe_of
from distromatrix.images.layer.recipe import apply as make
from distromatrix.load.lock import Entry
from distromatrix.load.settings import Settings
from distromatrix.model import Cell, Distro, Facts
from distromatrix.record.events import Event, ImageProgress, Warned


class Images:
    """Has images ready. All methods are safe to call from several threads; two processes
    that want the same image build it once, as long as they share `cache`. All raise
    ImageError (or EngineUnavailableError). `labels` go on the machines that builds open.
    Where `settings.offline` is set, images come from the engine's store alone. What is told
    and raised does not show the `secrets` by which mirrors are reached. `caches`: those that
    `prepare` has; `keep`: what layers download is kept in `cache`, and used again."""

    def __init__(
        self,
        engine: Engine,
        settings: Settings,
        *,
        cache: Path,
        emit: Callable[[Event], None],
        labels: Mapping[str, str] | None = None,
        secrets: tuple[str, ...] = (),
        caches: Caches | None = None,
        keep: bool = True,
    ) -> None:
        cancelled = Flag()
        self._mask = Masker(secrets).mask

        def tell(event: Event) -> None:
            if isinstance(event, ImageProgress | Warned):
                event = replace(event, text=self._mask(event.text))
            emit(event)

        self._around = BuildContext(
            engine=engine,
            settings=settings,
            cache=cache,
            emit=tell,
            cancelled=cancelled,
            registries=Registries(store=engine.images, cancelled=cancelled),
            keep=keep,
        )
        self._bases = Bases(self._around)
        self._layers = Layers(self._around, dict(labels or {}), caches)

    def base(self, distro: Distro, force: bool = False) -> Base:
        """The base image of a distro: a fresh one that is here, else from the first source
        in reach. One run sees one base image of a distro. `force`: anew in any case."""
        with self._hiding():
            return self._bases.get(distro, force)

    def prepared(self, distro: Distro, cell: Cell, files: ProductFiles, handed: Handed) -> Prepared:
        """The image with a cell's packages, `prepare`, user and what the host hands over;
        the base image itself where nothing of that is asked for. `files` gives the product's
        files by globs. Cells with equal `layer_inputs` share it."""
        base = self.base(distro)
        wanted = self._recipe(distro, cell, base, files, handed)
        with self._hiding():
            made = self._layers.get(distro, cell, wanted, base)
        return replace(made, recipe=wanted)

    def guest(self, distro: Distro, cell: Cell, prepared: Prepared) -> Prepared:
        """A cell's prepared image with what a guest of the cell's engine boots: the distro's
        kernel and, for Vagrant, the packages that make a whole system. What the container runs
        is what the guest runs."""
        wanted = self._guest_recipe(distro, cell, prepared)
        if wanted is None:
            return replace(prepared, guest=distro.guest, ready=self._ready(distro, prepared))
        with self._hiding():
            made = self._layers.get(distro, cell, wanted, below(prepared))
        return replace(prepared, image=made.image, guest=distro.guest)

    def stored_guest(self, distro: Distro, cell: Cell, prepared: Prepared) -> Prepared | None:
        """The same as the engine's store has it, or None; None, too, where nothing is put on
        top of the prepared image."""
        wanted = self._guest_recipe(distro, cell, prepared)
        return self._layers.stored(cell, wanted, below(prepared)) if wanted else None

    def facts(self, image: Image) -> Facts:
        """What an image is made of: read once in a machine of it, and kept in the cache. Where that
        fails they are absent. Never raises."""
        kept, layers = self._around.cache / "facts", self._layers
        return facts_of(image.id, image.arch, kept, layers.labels, layers.machine)

    @contextmanager
    def _hiding(self) -> Iterator[None]:
        try:
            yield
        except InfrastructureError as error:
            error.args = (self._mask(str(error)),)
            if isinstance(error, ImageError):
                error.log = self._mask(error.log)
            raise

    def _guest_recipe(self, distro: Distro, cell: Cell, prepared: Prepared) -> Recipe | None:
        guest = distro.guest
        if guest is None or not (guest.made if cell.engine == "vagrant" else guest.kernel):
            return None
        system = guest.system if cell.engine == "vagrant" else ()
        source = package_source(distro, prepared.used.source, self._around.settings)
        return Recipe(source=source, packages=(guest.kernel, *system))

    def _ready(self, distro: Distro, prepared: Prepared) -> Ready | None:
        """What a guest from elsewhere (a box, a Vagrantfile) still lacks."""
        if prepared.recipe is None or distro.guest is None:
            return None
        added = prepared.recipe.repositories
        source = package_source(distro, "box", self._around.settings, added)
        wanted = replace(prepared.recipe, source=source)

        def apply(machine: Machine) -> None:
            found = make(wanted, machine, self._around.teller(distro))
            if found.user and found.user != prepared.user:
                raise ImageError(
                    f"{distro.name}: the user {wanted.user} is {found.user} in the guest and "
                    f"{prepared.user} in the container's image: name it by its numbers",
                    phase="prepare",
                )

        return None if wanted.empty else Ready(wanted.key("guest"), apply)

    def stored_base(self, distro: Distro) -> Base | None:
        """The base image as the engine's store has it, of whatever age, or None."""
        return self._bases.stored(distro)

    def stored(
        self, distro: Distro, cell: Cell, files: ProductFiles, handed: Handed
    ) -> Prepared | None:
        """The prepared image as the engine's store has it, of whatever age, or None."""
        base = self._bases.stored(distro)
        if base is None:
            return None
        return self._layers.stored(cell, self._recipe(distro, cell, base, files, handed), base)

    def _recipe(
        self, distro: Distro, cell: Cell, base: Base, files: ProductFiles, handed: Handed
    ) -> Recipe:
        settings = self._around.settings
        source = package_source(distro, base.used.source, settings, cell.repositories)
        return recipe_of(source, cell, files, handed)

    def resolve(self, distro: Distro, present: Entry | None = None) -> Entry:
        """What its base image would be now, for the lock; nothing is pulled or built.
        `present` is the lock's entry that there is."""
        with self._hiding():
            return resolve(self._around, distro, present)

    def tags_elsewhere(self, distro: Distro, base: Base) -> tuple[str, ...]:
        """The tags that a base image is looked for by on a machine whose user has other
        settings than this one."""
        return self._bases.tags_elsewhere(distro, base)

    def cancel(self) -> None:
        """End all builds that are under way; they raise. Returns at once; never raises."""
        self._around.cancelled.set()
        self._layers.cancel()
