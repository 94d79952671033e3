"""A distribution: what its file in `distros/` says."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import Literal

Family = Literal["debian", "rhel", "suse", "arch", "alpine", "void", "other"]


PackageManagerName = Literal["apt", "dnf", "zypper", "pacman", "apk", "xbps", "none"]


Libc = Literal["glibc", "musl"]


BootstrapTool = Literal["mmdebstrap", "dnf", "zypper", "pacman", "apk"]


ProviderName = Literal["libvirt", "virtualbox", "vmware_desktop", "hyperv", "proxmox"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Pull:
    """An image from a registry, by its full reference."""

    ref: str
    refresh: float = 7 * 86400.0
    kind: Literal["pull"] = "pull"


@dataclass(frozen=True, slots=True, kw_only=True)
class Bootstrap:
    """An image built from the distribution's own package mirror. `suite` is the release as
    the mirror names it ('' where the tool asks for none), `packages` what makes the base image
    (for mmdebstrap: more than its minimum)."""

    tool: BootstrapTool
    suite: str = ""
    packages: tuple[str, ...] = ()
    options: tuple[str, ...] = ()
    refresh: float = 7 * 86400.0
    kind: Literal["bootstrap"] = "bootstrap"


@dataclass(frozen=True, slots=True, kw_only=True)
class Archive:
    """A root filesystem tarball, looked for beside the distro's file and in
    `$DISTROMATRIX_ARCHIVES` (folders, separated by `:`)."""

    file: str
    sha256: str
    kind: Literal["archive"] = "archive"


@dataclass(frozen=True, slots=True, kw_only=True)
class Containerfile:
    """An image that the engine builds. `path`: of the Containerfile, from the folder of the
    distro's file; `files`: what lies in its folder, which is the context: names from there,
    contents in base64, modes. `refresh`: None where it stays for as long as these do."""

    path: str
    files: tuple[tuple[str, str, int], ...]
    args: tuple[tuple[str, str], ...] = ()
    refresh: float | None = None
    kind: Literal["containerfile"] = "containerfile"


ImageSource = Pull | Bootstrap | Archive | Containerfile


@dataclass(frozen=True, slots=True, kw_only=True)
class Guest:
    """Where a distro's guests come from. `kernel`: the package of its kernel, put on top of the
    container's root filesystem ('' where we cannot make a guest of it); `system`: the packages
    that make a whole system of that. `box` and `version`: a Vagrant box by name. `vagrantfile`:
    the user's own, absolute, and the `machine` in it. `provider`: Vagrant's, of which all but
    libvirt are passed through and untested; `keep_ready`: it is saved after its first boot, and
    each machine is a clone of that, which only libvirt's are."""

    kernel: str = ""
    system: tuple[str, ...] = ()
    box: str = ""
    version: str = ""
    vagrantfile: Path | None = None
    machine: str = ""
    provider: ProviderName = "libvirt"
    keep_ready: bool = True  # never with another provider

    @property
    def made(self) -> bool:
        """Whether Vagrant's guests are made here, of the container's image."""
        return bool(self.kernel) and self.vagrantfile is None and self.provider == "libvirt"


@dataclass(frozen=True, slots=True, kw_only=True)
class Repository:
    """Packages beside those of an image's own repositories.

    `paths`: as `Distro.repositories`, below `url`; without a `url`, below the distribution's own
    mirror. `enable`: repositories, by their names in the image, that it has and leaves off;
    `packages`: those that bring repositories along, with their keys. `key`: the public key that
    signs what is below `url`, as text ('' where nothing does), in a file of the name `key_file`."""

    paths: tuple[str, ...] = ()
    enable: tuple[str, ...] = ()
    packages: tuple[str, ...] = ()
    url: str = ""
    key: str = ""
    key_file: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Distro:
    """One release of one Linux distribution, as its YAML file says (`like:` resolved).

    `repositories`: where its packages lie below its mirror, as its package manager says it
    (`bookworm main` for apt, else paths, in which `{arch}` stands for the architecture).
    `extra_repositories`: those that a suite may ask for by name. `locked`: `image` is what
    `distros.lock` says, by a digest or a sha256."""

    name: str
    title: str
    family: Family
    package_manager: PackageManagerName
    libc: Libc
    image: tuple[ImageSource, ...]
    arch: tuple[str, ...] = ("x86_64", "aarch64")
    eol: date | None = None
    verified: date | None = None
    like: str | None = None
    guest: Guest | None = None
    packages: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    repositories: tuple[str, ...] = ()
    extra_repositories: Mapping[str, Repository] = field(default_factory=dict)
    locked: bool = False
    file: Path = Path()
