"""Distros whose packages come from repositories of a test's own: each of the tools as Debian
packages it, apt in Debian, apk in the real Alpine."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from dataclasses import dataclass, field
from uuid import uuid4

from images_world import World, catalogued, told
from local_repositories import KEY_NAME, REPOSITORIES, Built, Kind, Served, tools_image

from distromatrix.images.base.sources import base_tag
from distromatrix.load.settings import Settings
from distromatrix.model import Distro, Pull

NOWHERE = "http://127.0.0.1:9"  # a port on which nothing listens, in every machine
# Package manager: the kind of repository it reads.
READS: Mapping[str, Kind] = {
    "apt": "deb", "dnf": "rpm", "zypper": "rpm", "pacman": "pacman", "apk": "apk",
}  # fmt: skip
# What makes a machine's own repository (below URL) of its kind, signed by the key KEY.
_OWN = {
    "apt": """\
rm -rf /etc/apt/sources.list /etc/apt/sources.list.d/*
mkdir -p /etc/apt/keyrings; printf '%s' KEY >/etc/apt/keyrings/own.asc
echo 'deb [signed-by=/etc/apt/keyrings/own.asc] URL stable main' >/etc/apt/sources.list
""",
    # A plugin of Debian's dnf5 makes a repository of what was downloaded, and fails at it.
    "dnf": """\
mkdir -p /etc/yum.repos.d /etc/pki/rpm-gpg
printf '%s' KEY >/etc/pki/rpm-gpg/own.asc
printf '[own]\\nname=own\\nbaseurl=URL/os/$basearch\\nenabled=1\\ngpgcheck=1\\n' \
>/etc/yum.repos.d/own.repo
echo 'gpgkey=file:///etc/pki/rpm-gpg/own.asc' >>/etc/yum.repos.d/own.repo
rm -f /etc/dnf/libdnf5-plugins/local.conf
""",
    # Debian's rpm has its database in /root, libzypp has it in the usual place. Its system
    # check asks for packages that only a distribution of RPMs has.
    "zypper": """\
mkdir -p /etc/zypp/repos.d; rm -rf /etc/zypp/systemCheck /etc/zypp/systemCheck.d
mkdir -p /etc/rpm; echo '%_dbpath /var/lib/rpm' >>/etc/rpm/macros
printf '%s' KEY >/tmp/own.asc; rpm --import /tmp/own.asc; rm /tmp/own.asc
printf '[own]\\nname=own\\nbaseurl=URL/os/$basearch\\nenabled=1\\n' >/etc/zypp/repos.d/own.repo
""",
    "pacman": """\
mkdir -p /etc/pacman.d
echo 'Server = URL/$repo/os/$arch' >/etc/pacman.d/mirrorlist
printf '[options]\\nArchitecture = auto\\nSigLevel = Never\\n[core]\\n' >/etc/pacman.conf
echo 'Include = /etc/pacman.d/mirrorlist' >>/etc/pacman.conf
""",
    # Where packages are signed as well, and the index has their signatures, as Arch's.
    "pacman, checking": """\
mkdir -p /etc/pacman.d
echo 'Server = URL/$repo/os/$arch' >/etc/pacman.d/mirrorlist
printf '[options]\\nArchitecture = auto\\nSigLevel = Required\\n[core]\\n' >/etc/pacman.conf
echo 'Include = /etc/pacman.d/mirrorlist' >>/etc/pacman.conf
printf '%s' KEY >/tmp/own.asc
pacman-key --init 2>&1; pacman-key --add /tmp/own.asc 2>&1
key=$(gpg --show-keys --with-colons /tmp/own.asc | grep -m1 ^fpr | cut -d: -f10)
pacman-key --lsign-key "$key" 2>&1; rm /tmp/own.asc
""",
    "apk": f"""\
echo URL/main >/etc/apk/repositories
printf '%s' KEY >/etc/apk/keys/{KEY_NAME}
""",
}


@dataclass
class Families:
    """A distro for each package manager, made when it is first asked for, whose image has
    what `server` serves as its own repository. The tools are those of the Debian `release`."""

    world: World
    built: Built
    server: Served
    alpine: str  # the tag of an Alpine image
    release: str = "debian-12"
    checking: bool = False  # pacman, too, which has its packages signed by `signed="all"` alone
    made: dict[str, Distro] = field(default_factory=dict)

    def distro(self, manager: str, *, trusting: bool = True) -> Distro:
        """The distro of that package manager; its name ends with `-1`. `trusting`: it knows
        the key that signed the repository; else another one."""
        name = manager if trusting else f"{manager} of strangers"
        if name not in self.made:
            key = self.built.apk_key if manager == "apk" else self.built.key
            self.made[name] = self._new(manager, key if trusting else self.built.stranger)
        return self.made[name]

    def _new(self, manager: str, key: bytes) -> Distro:
        kind = READS[manager]
        # It is never pulled: its image is in the store under the tag of what is declared.
        source = Pull(ref=f"registry.invalid/{uuid4().hex}:1")
        distro = Distro(
            name=f"test-{manager}-1",
            title=manager,
            family="other",
            package_manager=manager,  # type: ignore[arg-type]
            libc="glibc",
            image=(source,),
            packages={"greeting": ("hello-distromatrix",), "git": ("git-distromatrix",)},
            repositories=REPOSITORIES[kind],
        )
        trusted = shlex.quote(key.decode())
        how = f"{manager}, checking" if self.checking and manager == "pacman" else manager
        script = _OWN[how].replace("URL", self.server(kind)).replace("KEY", trusted)
        with self.world.machine(self._image(manager)) as machine:
            told(machine, script)
            tag = base_tag(distro, source, Settings())
            self.world.engine.images.commit(machine.address.id, tag, {})
        return distro

    def _image(self, manager: str) -> str:
        if manager == "apk":
            return self.alpine
        if manager == "apt":
            return self.world.images.base(catalogued(self.release)).image.id
        return tools_image(self.world, self.release)

    def clean(self) -> None:
        """Remove the distros' images; what is built on them must be gone."""
        for distro in self.made.values():
            self.world.engine.images.remove(base_tag(distro, distro.image[0], Settings()))
