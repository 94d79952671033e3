"""What a distro's file looks like, as types: a shape is what a user wrote, no more (`like:` is not
followed)."""

from __future__ import annotations

from typing import Annotated

from annotated_types import MinLen
from pydantic import Tag, model_validator

from distromatrix.load.shapes.base import Shape, one_key_of
from distromatrix.load.shapes.bootstrap_options import ALLOWED, refused_options, refused_packages
from distromatrix.load.shapes.fields import (
    Arch,
    BoxName,
    BoxVersion,
    Day,
    Duration,
    EnvName,
    EnvValue,
    FileName,
    Flag,
    ImageRef,
    Line,
    MachineName,
    Name,
    PackageName,
    Release,
    Repository,
    Sha256,
    matching,
    schema_of,
    wrong,
)
from distromatrix.load.shapes.repositories import ExtraRepositoryShape
from distromatrix.model import BootstrapTool, Family, Libc, PackageManagerName, ProviderName
from distromatrix.wording import listing

_FOLDERS = r"([A-Za-z0-9][A-Za-z0-9._+-]*/)+[A-Za-z0-9][A-Za-z0-9._+-]*"
BelowFolder = Annotated[
    str,
    matching("a file in a folder of its own, such as `images/tools/Containerfile`", _FOLDERS),
    schema_of(_FOLDERS),
]


class PullShape(Shape):
    """An image from a registry."""

    pull: ImageRef
    """The full reference, with its registry: `docker.io/library/debian:12`."""
    refresh: Duration | None = None
    """A moving tag is looked at again after this long (default 7d)."""


class BootstrapOptions(Shape):
    """How to build an image from the distribution's own package mirror."""

    tool: BootstrapTool
    """The tool that builds it. All but mmdebstrap take the packages from the distro's
    `repositories` below the mirror that a user sets for it (`mirrors:` in config.yaml)."""
    suite: Release | None = None
    """The release as the mirror names it: `bookworm` (mmdebstrap), `43` ($releasever of dnf and
    zypper); pacman and apk ask for none."""
    packages: tuple[PackageName, ...] = ()
    """What makes the base image, with what it depends on; for mmdebstrap: more than its
    minimum. A shell, the distribution's release files and its package manager belong to it."""
    options: tuple[Line, ...] = ()
    """More options for the tool. Only those are taken that do no harm on the host; the error for
    another one lists them. All tools but mmdebstrap have two of ours: `--keys=FILE` names keys that
    signatures are checked with (a path or a glob: absolute, beside this file, in
    /usr/share/distribution-gpg-keys, or where the distribution has its keys; may be given several
    times), `--no-signatures` switches the check off."""

    @model_validator(mode="after")
    def _sensible(self) -> BootstrapOptions:
        if self.tool == "mmdebstrap" and not self.suite:
            raise wrong("mmdebstrap wants a `suite`", "such as `suite: bookworm`")
        if self.tool != "mmdebstrap" and not self.packages:
            raise wrong(f"{self.tool} wants `packages`: what makes the base image")
        if refused := refused_options(self.tool, self.options):
            raise wrong(
                f"{self.tool} runs on this host, and a distro's file may not give it "
                f"{listing(refused)}",
                f"what it may give: {', '.join(dict.fromkeys(ALLOWED[self.tool].values()))}",
                at="options",
            )
        if refused := refused_packages(self.packages):
            raise wrong(
                f"{listing(refused)} is a file, and no package of the distribution's", at="packages"
            )
        return self


class BootstrapShape(Shape):
    """An image built from the distribution's own package mirror."""

    bootstrap: BootstrapOptions
    """What to build, and how."""
    refresh: Duration | None = None
    """Built anew after this long (default 7d)."""


class ArchiveFile(Shape):
    """A root filesystem tarball."""

    file: FileName
    """Its name; looked for beside the distro's file and in `$DISTROMATRIX_ARCHIVES`."""
    sha256: Sha256
    """Its sha256, checked before use."""


class ArchiveShape(Shape):
    """An image made of a root filesystem tarball."""

    archive: ArchiveFile
    """Which tarball."""


class ContainerfileShape(Shape):
    """An image that the engine builds, for as long as its inputs are these: the Containerfile,
    what lies beside it, and `args`."""

    containerfile: BelowFolder
    """The Containerfile, by its path from this file's folder. It lies in a folder of its own, all
    of which is its context (1 MiB at most)."""
    args: dict[EnvName, EnvValue] = {}
    """What its `ARG`s are."""
    refresh: Duration | None = None
    """Built anew after this long, with what `FROM` names then; absent: never."""


SourceShape = Annotated[
    Annotated[PullShape, Tag("<pull>")]
    | Annotated[BootstrapShape, Tag("<bootstrap>")]
    | Annotated[ArchiveShape, Tag("<archive>")]
    | Annotated[ContainerfileShape, Tag("<containerfile>")],
    one_key_of("pull", "bootstrap", "archive", "containerfile"),
]


class GuestBootstrapShape(Shape):
    """A guest made here, of the same root filesystem as the container."""

    kernel: PackageName
    """The package of the distribution's kernel."""
    system: tuple[PackageName, ...] = ()
    """Packages that make it a whole system (an init system, an SSH server, sudo), for Vagrant."""


class GuestShape(Shape):
    """Where a guest, which has a kernel of its own, comes from."""

    bootstrap: GuestBootstrapShape | None = None
    """Made here, like the container's image, with a kernel."""
    box: BoxName | None = None
    """A Vagrant box, by name."""
    version: BoxVersion | None = None
    """The box's version; absent: the newest."""
    vagrantfile: Line | None = None
    """Your own Vagrantfile instead, by path from this file's folder; it is used as it is."""
    machine: MachineName | None = None
    """The machine of that Vagrantfile; absent: its only one."""
    provider: ProviderName = "libvirt"
    """Vagrant's provider. Only libvirt is tested; what others take is a box or a Vagrantfile."""
    keep_ready: Flag | None = None
    """Whether a guest is saved once it is up, for all cells to begin from; else each cell has a
    `vagrant up` of its own. Absent: with libvirt."""

    @model_validator(mode="after")
    def _fits(self) -> GuestShape:
        given = self.model_fields_set
        if not given & {"bootstrap", "box", "vagrantfile"}:
            raise wrong("expected at least one of `bootstrap`, `box` and `vagrantfile`")
        if {"box", "vagrantfile"} <= given:
            raise wrong("expected one of `box` and `vagrantfile`, not both")
        for key, of in (("version", "box"), ("machine", "vagrantfile")):
            if key in given and of not in given:
                raise wrong(f"`{key}` belongs to `{of}`, which is not there")
        if self.provider != "libvirt":
            if not given & {"box", "vagrantfile"}:
                raise wrong(
                    f"guests of the provider {self.provider} need a `box` or a `vagrantfile`; "
                    "what is made here (`bootstrap`) is libvirt's"
                )
            if self.keep_ready:
                raise wrong("`keep_ready` is for guests of the provider libvirt", at="keep_ready")
        return self


class DistroShape(Shape):
    """One release of one Linux distribution. The file's name is the distro's name."""

    title: Line | None = None
    """Its full name: `Debian 12 (bookworm)` (default: none; must be given here or by `like`)."""
    like: Name | None = None
    """Another distro: start from its values and override what differs."""
    arch: tuple[Arch, ...] = ("x86_64", "aarch64")
    """Architectures; reserved: cells run on the host's for now."""
    family: Family | None = None
    """The family it belongs to (default: none; must be given here or by `like`)."""
    package_manager: PackageManagerName | None = None
    """What installs packages there (default: none; must be given here or by `like`)."""
    libc: Libc | None = None
    """Its C library (default: none; must be given here or by `like`)."""
    eol: Day | None = None
    """The last day of any public support; absent: none is announced. Not taken over by `like:`."""
    verified: Day | None = None
    """The day it last ran here; absent: never. Not taken over by `like:`."""
    image: Annotated[tuple[SourceShape, ...], MinLen(1)] | None = None
    """Where the image comes from, in order of preference (default: none; must be given here or by
    `like`)."""
    guest: GuestShape | None = None
    """Where a guest comes from, for what needs a kernel of its own."""
    packages: dict[PackageName, tuple[PackageName, ...]] = {}
    """Common package names and the native ones they stand for."""
    repositories: tuple[Repository, ...] = ()
    """Where packages lie below the distribution's mirror, for bootstraps and for `mirrors:` of
    the user's settings: `bookworm main` for apt, else paths (`{arch}`: the architecture)."""
    extra_repositories: dict[Name, ExtraRepositoryShape] = {}
    """Repositories that suites may ask for by name (`repositories: [backports]`), which the image
    has not, or not switched on. Instead of those of `like`."""
