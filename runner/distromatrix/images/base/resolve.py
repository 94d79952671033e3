"""What a distro's image would be now, in the words of the lock."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from distromatrix.errors import ImageError
from distromatrix.images.base.bootstrap import OutOfReachError
from distromatrix.images.base.context import BuildContext
from distromatrix.images.base.sources import base_tag, open_archive
from distromatrix.load.lock import Entry, named
from distromatrix.load.shapes.lock import (
    BootstrappedShape,
    BuiltShape,
    LockedArchiveShape,
    LockedPullShape,
)
from distromatrix.model import Archive, Bootstrap, Containerfile, Distro, ImageSource
from distromatrix.record.events import Warned


def resolve(around: BuildContext, distro: Distro, present: Entry | None) -> Entry:
    """The entry for a distro: of its first source in reach. `present` is the one there is: a
    registry that it names and that is out of reach now is no reason to lock something else.
    Pulls and builds nothing. Raises ImageError."""
    failures = []
    for source in distro.image:
        try:
            return _entry(around, distro, source)
        except OutOfReachError as error:
            if isinstance(present, LockedPullShape) and ("pull", present.pull) == named(source):
                text = f"{distro.name}: cannot see whether its lock still holds: {error}"
                raise ImageError(text, transient=True) from error
            failures.append(str(error))
        except ImageError as error:
            raise ImageError(f"{distro.name}: {error}") from error
        around.emit(Warned(text=f"{distro.name}: locked to its next source, as {failures[-1]}"))
    raise ImageError(
        f"no image for {distro.name}: none of its sources is in reach\n"
        + "\n".join(f"  {f}" for f in failures),
        transient=True,
    )


def _entry(around: BuildContext, distro: Distro, source: ImageSource) -> Entry:
    kind, name = named(source)
    if isinstance(source, Bootstrap | Containerfile):
        shape = BootstrappedShape if isinstance(source, Bootstrap) else BuiltShape
        image = around.engine.images.find(base_tag(distro, source, around.settings))
        values: dict[str, Any] = {kind: name}
        if image is not None:
            values |= {
                "built": datetime.fromtimestamp(image.created, UTC).date(),
                "image": image.id,
            }
        return shape.model_construct(None, **values)
    if isinstance(source, Archive):
        with open_archive(around, distro, source):  # which checks it
            return LockedArchiveShape.model_construct(archive=name, sha256=source.sha256)
    ref = around.settings.reference(source.ref)
    found = around.registries.resolve(ref, around.teller(distro))
    arch = around.engine.facts().arch
    if found.arch not in ("", arch):
        raise ImageError(
            f"the image from pull is for {found.arch}; this host is {arch}: name an image for "
            f"{arch} in the distro's file"
        )
    return LockedPullShape.model_construct(
        pull=source.ref, digest=found.digest, arch=found.arch or None
    )
