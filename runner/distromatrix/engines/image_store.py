"""What an engine's store of images is, for everyone who uses one. See `contract`: what is said
there of an engine's methods holds for these."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import BinaryIO, Protocol

NO_LABELS: Mapping[str, str] = MappingProxyType({})


@dataclass(frozen=True, slots=True, kw_only=True)
class Image:
    """An image in an engine's store. `created` is when it was made or last pulled by us;
    `arch` is the machine it is for, in `uname -m`'s words, or '' where that is not known;
    `digests` are those (`sha256:…`) under which registries have it; `env`: the variables that it
    gives to what runs in it (ENV of a Dockerfile)."""

    id: str
    tag: str
    labels: Mapping[str, str]
    created: float
    size: int = 0
    arch: str = ""
    digests: tuple[str, ...] = ()
    env: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Resolved:
    """What a registry has under a reference: its digest (`sha256:…`) and, where that is of an
    image for one machine alone, which (in `uname -m`'s words)."""

    digest: str
    arch: str = ""


@dataclass(frozen=True, slots=True)
class Preparation:
    """A script of sh that root runs in a container of an image, without a network, with its
    arguments; and what its exit statuses say of the image."""

    script: str
    arguments: tuple[str, ...]
    complaints: Mapping[int, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Build:
    """What to build: a tar with all files, the name of the Containerfile among them. `anew`:
    nothing is taken from an earlier build, and what it stands on is pulled."""

    context: bytes
    file: str
    args: Mapping[str, str]
    labels: Mapping[str, str]
    anew: bool


class ImageStore(Protocol):
    """The images of an engine. Tags of ours begin with `distromatrix/`."""

    def find(self, tag: str) -> Image | None:
        """The image of that tag or id, or None."""

    def pull(self, ref: str, tag: str, progress: Callable[[str], None]) -> Image:
        """Pull `ref` from its registry and tag it `tag` as well, `created` = now.
        One attempt. Raises PullError."""

    def resolve(self, ref: str) -> Resolved:
        """What the registry has under `ref` now; nothing is kept. One attempt. Raises
        PullError."""

    def load_rootfs(self, tar: BinaryIO, tag: str, labels: Mapping[str, str]) -> Image:
        """Make an image out of a root filesystem tarball (plain or gzip)."""

    def build(self, build: Build, tag: str, progress: Callable[[str], None]) -> Image:
        """Have the engine build an image; `progress` is told what it prints, and may end it by
        raising. Raises ImageError with its output; PullError where what it stands on did not
        come."""

    def commit(self, machine: str, tag: str, labels: Mapping[str, str]) -> Image:
        """Make an image of the present root filesystem of the machine with that id (Address) on
        the same engine. Raises InfrastructureError."""

    def export(
        self, image: str, labels: Mapping[str, str], first: Preparation | None = None
    ) -> Iterable[bytes]:
        """The root filesystem of an image (by id or tag) as a tar stream, after what is to be
        done in it `first`. What is made for that has those labels, and goes. Raises
        InfrastructureError; CannotStartError where that cannot be done in it."""

    def save(self, tags: tuple[str, ...]) -> Iterable[bytes]:
        """Those images with their tags as one tar stream; what they share is in it once."""

    def tags_in(self, tar: BinaryIO) -> tuple[str, ...]:
        """The tags that `load` would set; reads `tar` (gzip or not), and no more. Raises
        InfrastructureError where it is nothing that `save` gave."""

    def load(self, tar: BinaryIO, images: tuple[Image, ...]) -> None:
        """Load what `save` gave (gzip or not). Those images have `created` and `digests` from
        then on as given here, until they are pulled anew."""

    def tag(self, image: str, tag: str) -> None:
        """Give an image (by id or tag) one more tag."""

    def list(self, labels: Mapping[str, str] = NO_LABELS) -> tuple[Image, ...]:
        """All images with a tag of ours and those labels, whatever others remove meanwhile."""

    def remove(self, tag: str) -> None:
        """Remove that tag, and the image if nothing else uses it. No error if absent."""
