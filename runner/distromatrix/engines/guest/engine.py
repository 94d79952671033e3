"""What the engines of guests have in common: they boot the images of an engine of containers."""

from __future__ import annotations

from pathlib import Path

from distromatrix.engines.cache_store import CacheStore
from distromatrix.engines.contract import Engine
from distromatrix.engines.guest.acceleration import Accel, acceleration
from distromatrix.engines.image_store import Image, ImageStore
from distromatrix.errors import CannotStartError
from distromatrix.files.user_folders import cache_folder
from distromatrix.model import AccelWanted


class GuestEngine:
    """See Engine. `containers`: the engine whose images the guests are made of; `cache`: where
    machines and what is kept ready lie (default: the user's cache); `accel`: how they are to
    run."""

    def __init__(
        self, containers: Engine, cache: Path | None = None, *, accel: AccelWanted = "auto"
    ) -> None:
        self.containers = containers
        self.cache = cache or cache_folder()
        self.accel = accel

    @property
    def images(self) -> ImageStore:
        """See Engine: those of the containers."""
        return self.containers.images

    @property
    def caches(self) -> CacheStore:
        """See Engine."""
        return self.containers.caches

    @property
    def layers(self) -> None:
        """See Engine: it keeps none."""

    def image(self, image: str) -> Image:
        """That of a tag or an id. Raises CannotStartError."""
        if (found := self.images.find(image)) is None:
            raise CannotStartError(f"there is no image {image}")
        return found

    def acceleration(self, kernel: Path, memory: int, cpus: int) -> Accel:
        """How a guest with that kernel, so many bytes and processors runs here."""
        return acceleration(kernel, memory=memory, cpus=cpus, wanted=self.accel, cache=self.cache)
