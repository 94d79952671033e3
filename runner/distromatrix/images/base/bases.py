"""A distro's base image: a fresh one that is here, else from the first source in reach."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from math import inf

from distromatrix.engines.image_store import Image
from distromatrix.errors import ImageError, PullError
from distromatrix.images.base.bootstrap import OutOfReachError
from distromatrix.images.base.context import BuildContext
from distromatrix.images.base.sources import AS_DECLARED, base_tag, digest_of, get_image
from distromatrix.model import Archive, Distro, ImageSource, ImageUsed


@dataclass(frozen=True, slots=True, kw_only=True)
class Base:
    """A distro's base image, and where it came from. `refresh`: seconds after which what is
    built on it is out of date, too."""

    image: Image
    used: ImageUsed
    refresh: float


@dataclass(frozen=True, slots=True)
class Bases:
    """The base images that one run sees: of each distro one. All methods raise ImageError."""

    around: BuildContext
    known: dict[str, Base] = field(default_factory=dict)

    def get(self, distro: Distro, force: bool = False) -> Base:
        """The base image of a distro. `force`: anew in any case."""
        known = self.known.get(distro.name)
        if known is not None and not force:
            return known
        with self.around.alone(f"base-{distro.name}", distro.name):
            known = self.known.get(distro.name)
            if known is None or force:
                known = self._new(distro, force)
                self.known[distro.name] = known
        return known

    def stored(self, distro: Distro) -> Base | None:
        """What the engine's store holds of it, of whatever age; nothing is asked for."""
        arch = self._arch(distro)
        for source in distro.image:
            for settings in (self.around.settings, AS_DECLARED):
                image = self._find(base_tag(distro, source, settings), source)
                if image is not None:
                    return _checked(distro, source, image, arch)
        return None

    def tags_elsewhere(self, distro: Distro, base: Base) -> tuple[str, ...]:
        """See Images."""
        settings = self.around.settings
        pairs = (
            (base_tag(distro, s, settings), base_tag(distro, s, AS_DECLARED)) for s in distro.image
        )
        return tuple(other for own, other in pairs if own == base.image.tag != other)

    def _arch(self, distro: Distro) -> str:
        arch = self.around.engine.facts().arch
        if arch not in distro.arch:
            raise ImageError(f"{distro.name} is for {', '.join(distro.arch)}; this host is {arch}")
        return arch

    def _new(self, distro: Distro, force: bool) -> Base:
        if self.around.settings.offline:
            return self._offline(distro)
        arch = self._arch(distro)
        tags = {s: base_tag(distro, s, self.around.settings) for s in distro.image}
        here = {s: self._find(tag, s) for s, tag in tags.items()}
        for source, image in here.items():
            if image is not None and not force and _fresh(source, image):
                return _checked(distro, source, image, arch)
        failures = []
        for source, old in here.items():
            try:
                image = self._get(distro, source, old)
            except OutOfReachError as error:
                if old is None or force:
                    failures.append(str(error))
                    continue
                image = self.around.stale(distro.name, old, "base", str(error))
            except PullError as error:
                if error.kind != "rate-limit" or old is None or force:
                    raise _for(distro, error) from error
                image = self.around.stale(distro.name, old, "base", str(error))
            except ImageError as error:
                raise _for(distro, error) from error
            return _checked(distro, source, image, arch)
        raise ImageError(
            f"no image for {distro.name}: none of its sources is in reach\n"
            + "\n".join(f"  {f}" for f in (*failures, *_no_other(distro))),
            transient=True,
        )

    def _offline(self, distro: Distro) -> Base:
        """What is here, at any age."""
        if (base := self.stored(distro)) is None:
            raise ImageError(f"{distro.name}: its base image is not here, and --offline gets none")
        return base

    def _find(self, tag: str, source: ImageSource) -> Image | None:
        """The image of that tag. Where the source says a digest, what has another one (or
        none that is known) is not it, whatever its tag."""
        image = self.around.engine.images.find(tag)
        digest = digest_of(source)
        return image if image and (not digest or digest in image.digests) else None

    def _get(self, distro: Distro, source: ImageSource, old: Image | None) -> Image:
        around = self.around
        began = time.monotonic()
        image = get_image(around, distro, source)
        around.say(distro.name, f"ready in {time.monotonic() - began:.0f} s (base image)")
        around.forget(old, image)
        return image


def _no_other(distro: Distro) -> tuple[str, ...]:
    again = f"`distromatrix images lock {distro.name}` locks it anew"
    return (f"distros.lock allows no other image: {again}",) if distro.locked else ()


def _fresh(source: ImageSource, image: Image) -> bool:
    """What a digest or a sha256 names is that at any age."""
    return bool(digest_of(source)) or time.time() - image.created < refresh_of(source)


def refresh_of(source: ImageSource) -> float:
    """After how many seconds a source is looked at again."""
    return inf if isinstance(source, Archive) or source.refresh is None else source.refresh


def _checked(distro: Distro, source: ImageSource, image: Image, arch: str) -> Base:
    if image.arch and image.arch != arch:
        raise ImageError(
            f"{distro.name}: the image from {source.kind} is for {image.arch}; "
            f"this host is {arch}: name an image for {arch} in the distro's file"
        )
    used = ImageUsed(source=source.kind, id=image.id, locked=distro.locked)
    return Base(image=image, used=used, refresh=refresh_of(source))


def _for(distro: Distro, error: ImageError) -> ImageError:
    text = f"{distro.name}: {error}"
    if distro.locked and isinstance(error, PullError) and error.kind == "not-found":
        text += (
            "; distros.lock names this image, and it is gone: "
            f"`distromatrix images lock {distro.name}` takes what is there now"
        )
    return ImageError(text, log=error.log, transient=error.transient)
