"""What `distros.lock` looks like, as types; see `shapes`."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Tag

from distromatrix.load.shapes.base import Shape, one_key_of
from distromatrix.load.shapes.distro import BelowFolder
from distromatrix.load.shapes.fields import (
    Arch,
    Day,
    Digest,
    FileName,
    ImageRef,
    Name,
    Sha256,
    matching,
    schema_of,
)

_BOOTSTRAPPED = r"[a-z][a-z0-9_-]*( [A-Za-z0-9][A-Za-z0-9._-]{0,62})?"
Bootstrapped = Annotated[
    str,
    matching("a tool and a release, such as `mmdebstrap bookworm`", _BOOTSTRAPPED),
    schema_of(_BOOTSTRAPPED),
]


class LockedPullShape(Shape):
    """An image from a registry, by its digest."""

    pull: ImageRef
    """The reference, as the distro's file declares it."""
    digest: Digest
    """What the registry had under it: that very image is pulled."""
    arch: Arch | None = None
    """The digest is of the image for this architecture alone (absent: for several)."""


class LockedArchiveShape(Shape):
    """A root filesystem tarball, by its sha256."""

    archive: FileName
    """Its name, as the distro's file declares it."""
    sha256: Sha256
    """Its sha256."""


class NotLockedShape(Shape):
    """An image that is built: the source is fixed, what it gives is not."""


class BootstrappedShape(NotLockedShape):
    """An image built from the package mirror: the source is fixed, what it gives is not."""

    bootstrap: Bootstrapped
    """The tool and the release, as the distro's file declares them."""
    built: Day | None = None
    """For information: the day on which the image here was built."""
    image: Digest | None = None
    """For information: the id of the image here."""


class BuiltShape(NotLockedShape):
    """An image that the engine builds: its Containerfile is fixed, what that gives is not."""

    containerfile: BelowFolder
    """The Containerfile, as the distro's file declares it."""
    built: Day | None = None
    """For information: the day on which the image here was built."""
    image: Digest | None = None
    """For information: the id of the image here."""


EntryShape = Annotated[
    Annotated[LockedPullShape, Tag("<pull>")]
    | Annotated[LockedArchiveShape, Tag("<archive>")]
    | Annotated[BootstrappedShape, Tag("<bootstrap>")]
    | Annotated[BuiltShape, Tag("<containerfile>")],
    one_key_of("pull", "archive", "bootstrap", "containerfile"),
]


class LockShape(Shape):
    """What each distro's image was resolved to. Written by `distromatrix images lock`."""

    format: Literal["1"]
    """The format of this file."""
    distros: dict[Name, EntryShape]
    """The distros, by name."""
