"""What all parts of `Images` stand on."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from threading import Event as Flag
from time import time

from distromatrix.engines.contract import LABEL_KIND, Engine
from distromatrix.engines.image_store import Image
from distromatrix.errors import ImageError, InfrastructureError
from distromatrix.files.lock import InUseError, take
from distromatrix.images.base.registry import Registries
from distromatrix.images.store.downloads import DOWNLOADS, Downloads
from distromatrix.load.settings import Settings
from distromatrix.model import Distro
from distromatrix.record.events import Event, ImageProgress, Warned

_LOOK = 1.0  # seconds until it is said that another holds a lock


@dataclass(frozen=True, slots=True, kw_only=True)
class BuildContext:
    """An engine, the user's settings, a folder for locks and what is passing, a place for
    what is to be told, and the flag that ends all builds."""

    engine: Engine
    settings: Settings
    cache: Path
    emit: Callable[[Event], None]
    cancelled: Flag
    registries: Registries
    keep: bool = True

    @property
    def downloads(self) -> Downloads | None:
        """What is kept of what layers have downloaded; None where nothing is to be kept (`keep`),
        and with an engine elsewhere, which its mirror may be nearer to than we are."""
        kept = self.keep and self.engine.facts().local
        return Downloads(self.cache / DOWNLOADS) if kept else None

    def say(self, distro: str, text: str) -> None:
        """Tell how far a distro's image has come."""
        self.emit(ImageProgress(distro=distro, text=text))

    def teller(self, distro: Distro) -> Callable[[str], None]:
        """`say` of that distro."""
        return partial(self.say, distro.name)

    def stale(self, distro: str, old: Image, kind: str, why: str) -> Image:
        """Warn that an old image serves, because of `why`; returns it."""
        days = (time() - old.created) / 86400
        text = f"{distro}: using its {kind} image of {days:.0f} days ago, as {why}"
        self.emit(Warned(text=text))
        return old

    def forget(self, old: Image | None, new: Image) -> None:
        """Remove an image that has lost its tag to a new one, if we made it."""
        if old is not None and old.id != new.id and LABEL_KIND in old.labels:
            with suppress(InfrastructureError):  # something still stands on it
                self.engine.images.remove(old.id)

    @contextmanager
    def alone(self, name: str, distro: str) -> Iterator[None]:
        """Hold the lock of that name, against all threads and processes of the same cache.
        Raises ImageError after a cancel."""
        path = self.cache / "locks" / f"{name}.lock"
        path.parent.mkdir(parents=True, exist_ok=True)
        waiting = False
        while True:
            try:
                lock = take(path, wait=_LOOK if not waiting else 0.5)
                break
            except InUseError:
                if not waiting:
                    self.say(distro, "waiting for another one that builds the same image")
                waiting = True
                self.require_going(distro)
        try:
            self.require_going(distro)
            yield
        finally:
            os.close(lock)

    def require_going(self, distro: str) -> None:
        """Raises ImageError after a cancel."""
        if self.cancelled.is_set():
            raise ImageError(f"{distro}: cancelled")
