"""Small package repositories of a test's own, in each family's format, and a server for them.

    with workshop(world) as tools:
        built = tools.build(tmp_path, (program("hello", "hi"), tools.shell()))
        with served(built, tools.gateway) as url:
            …  # url("rpm") is a mirror below which lies what REPOSITORIES["rpm"] says

They are made by the real tools (rpmbuild and createrepo_c, makepkg and repo-add, dpkg-deb and
apt-ftparchive) in a machine of Debian 12, whose prepared layer stays for the next run; apk's
format is written here, as no Debian package writes it. Everything is signed with keys made
for the occasion (`key.asc` for rpm and deb, `KEY_NAME` for apk), except pacman's packages:
`signed="all"` signs them too, `signed="none"` nothing.
"""

from __future__ import annotations

import functools
import io
import os
import platform
import re
import tarfile
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Literal

from apk_format import KEY_NAME, apk_repository, pc_modules, tar_of
from images_world import World, catalogued, cell, told

from distromatrix.engines.contract import Machine
from distromatrix.images import Handed
from distromatrix.model import Prepare

__all__ = ["KEY_NAME", "REPOSITORIES", "Built", "Package", "program", "served", "workshop"]

Kind = Literal["rpm", "pacman", "apk", "deb"]
Signed = Literal["usual", "all", "none"]
KINDS: tuple[Kind, ...] = ("rpm", "pacman", "apk", "deb")
# Where packages lie below each mirror, as a distro's file would say it (`repositories:`).
REPOSITORIES: Mapping[Kind, tuple[str, ...]] = {
    "rpm": ("os/{arch}",),
    "pacman": ("core/os/{arch}",),
    "apk": ("main",),
    "deb": ("stable main",),
}
# What makes packages, and the package managers themselves.
TOOLS = (
    "rpm", "createrepo-c", "dnf", "zypper", "pacman-package-manager", "makepkg",
    "libarchive-tools", "zstd", "apt-utils", "gpg", "gpg-agent", "busybox-static",
    "ca-certificates", "uidmap",
)  # fmt: skip
ARCH = platform.machine()
SIGNER = "distromatrix-test"


@dataclass(frozen=True, slots=True, kw_only=True)
class Package:
    """A package to be made. `files`: path below the root -> content (of a program), or the
    target of a symbolic link. `requires`: names of other packages, `recommends` weakly so.
    `docs`: those of the files that are documentation; `capable`: that get a file capability
    (both where the format knows such a thing: rpm)."""

    name: str
    version: str = "1.0"
    files: Mapping[str, bytes | str] = field(default_factory=dict)
    requires: tuple[str, ...] = ()
    recommends: tuple[str, ...] = ()
    docs: tuple[str, ...] = ()
    capable: tuple[str, ...] = ()


def program(name: str, prints: str, *, requires: tuple[str, ...] = ()) -> Package:
    """A package whose command, of its own name, prints something."""
    script = f"#!/bin/sh\necho {prints}\n".encode()
    return Package(name=name, files={f"usr/bin/{name}": script}, requires=requires)


@dataclass(frozen=True, slots=True, kw_only=True)
class Built:
    """Repositories in `folder`, one subfolder a kind; `key` is the public key (ASCII) that
    rpm and deb are signed with, `apk_key` apk's; `stranger` one that signed nothing."""

    folder: Path
    key: bytes
    stranger: bytes
    apk_key: bytes


class Workshop:
    """A machine that has the tools."""

    def __init__(self, machine: Machine) -> None:
        self._machine = machine
        self.gateway = gateway(machine)

    def shell(self) -> Package:
        """A static busybox with all its commands: with it alone, an image answers."""
        applets = told(self._machine, "busybox --list").split()
        with tarfile.open(fileobj=self._fetch("/bin/busybox")) as tar:
            binary = tar.extractfile("busybox")
            assert binary is not None
            files: dict[str, bytes | str] = {"bin/busybox": binary.read()}
        files |= {f"bin/{name}": "busybox" for name in applets if name != "busybox"}
        return Package(name="distromatrix-shell", files=files)

    def real(self, name: str, *programs: str) -> Package:
        """Programs of the machine with the libraries that they are linked to."""
        linked = told(self._machine, f"ldd {' '.join(programs)}; echo")
        paths = {*programs, *re.findall(r"(/\S+\.so\S*) \(", linked)}
        files: dict[str, bytes | str] = {}
        for path in sorted(paths):
            real = told(self._machine, f"readlink -f {path}")
            with tarfile.open(fileobj=self._fetch(real)) as tar:
                held = tar.extractfile(real.rpartition("/")[2])
                assert held is not None
                files[path.lstrip("/")] = held.read()
        return Package(name=name, files=files)

    def build(
        self,
        folder: Path,
        packages: tuple[Package, ...],
        *,
        kinds: tuple[Kind, ...] = KINDS,
        valid_until: str = "",
        signed: Signed = "usual",
        key_name: str = KEY_NAME,
    ) -> Built:
        """Repositories of these packages below `folder`. `key_name`: of apk's key. `valid_until` is
        for the apt one: a date as RFC 2822 writes it (`Thu, 01 Jan 2015 00:00:00 UTC`), '' for
        ever."""
        key, stranger = (told(self._machine, _NEW_KEY.format(name=n)) for n in (SIGNER, "stranger"))
        for package in packages:
            self._machine.put(_tree(package), "/")
        scripts = {"rpm": _rpm(packages, signed), "pacman": _pacman(packages, signed)}
        scripts["deb"] = _deb(packages, valid_until)
        for kind in kinds:
            if kind in scripts:
                told(self._machine, scripts[kind])
                with tarfile.open(fileobj=self._fetch(f"/made/{kind}")) as tar:
                    tar.extractall(folder, filter="data")
        told(self._machine, "rm -rf /made /packages")
        apk_key = b""
        if "apk" in kinds:
            apk_key = apk_repository(
                folder / "apk" / "main" / ARCH,
                ((p.name, p.version, p.files, p.requires) for p in packages),
                signed=signed != "none",
                key_name=key_name,
            )
        return Built(folder=folder, key=key.encode(), stranger=stranger.encode(), apk_key=apk_key)

    def _fetch(self, path: str) -> io.BytesIO:
        return io.BytesIO(b"".join(self._machine.get(path)))


@contextmanager
def workshop(world: World) -> Iterator[Workshop]:
    """A machine with the tools; its image is made once, and stays like any prepared layer."""
    with world.machine(tools_image(world)) as machine:
        yield Workshop(machine)


def tools_image(world: World, release: str = "debian-12") -> str:
    """The id of a Debian release with `TOOLS`; of one after 13, with dnf 5 in the place of 4."""
    debian = catalogued(release)
    newer = release in ("debian-testing", "debian-sid")
    packages = tuple("dnf5" if newer and tool == "dnf" else tool for tool in TOOLS)
    # What Debian's makepkg looks for and its package manager would make at its first use.
    prepare = Prepare(run="mkdir -p /var/lib/pacman/sync /var/lib/pacman/local")
    wanted = cell(debian, packages=packages, prepare=prepare)
    return world.images.prepared(debian, wanted, lambda globs: (), Handed()).image.id


# --- served ----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Served:
    """A server of repositories; `requests` are the paths that were asked of it. A file whose path
    has a part that is in `held` is sent by half, and the rest when that event happens."""

    address: str
    requests: list[str]
    held: dict[str, threading.Event]

    def __call__(self, kind: str) -> str:
        """The URL of the mirror of that kind."""
        return f"{self.address}/{kind}"


@contextmanager
def served(built: Built, address: str) -> Iterator[Served]:
    """Serve them over HTTP while the context lasts; after it the port is closed. `address`:
    a machine's gateway, which is this host."""
    requests: list[str] = []
    held: dict[str, threading.Event] = {}

    class Handler(SimpleHTTPRequestHandler):
        def log_message(self, format: str, *args: object) -> None:
            requests.append(self.path)

        def copyfile(self, source: Any, outputfile: Any) -> None:
            for part, event in list(held.items()):
                if part in self.path:
                    outputfile.write(source.read(os.fstat(source.fileno()).st_size // 2))
                    outputfile.flush()
                    event.wait()
            with suppress(ConnectionError):  # who asked may be killed meanwhile
                super().copyfile(source, outputfile)

    handler = functools.partial(Handler, directory=str(built.folder))
    server = ThreadingHTTPServer((address, 0), handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield Served(address=f"http://{address}:{server.server_port}", requests=requests, held=held)
    finally:
        for event in held.values():
            event.set()
        server.shutdown()
        server.server_close()
        thread.join()


def gateway(machine: Machine) -> str:
    """The address by which a machine reaches its host: its default route, from
    /proc/net/route (proc(5)), where addresses are little-endian hexadecimal numbers."""
    for line in told(machine, "cat /proc/net/route").splitlines()[1:]:
        _, destination, via, *_ = line.split()
        if destination == "00000000":
            return ".".join(str(b) for b in reversed(bytes.fromhex(via)))
    raise AssertionError("the machine has no default route")


# --- made ------------------------------------------------------------------------------------

_NEW_KEY = """\
export GNUPGHOME=/root/.gnupg; mkdir -p -m 700 $GNUPGHOME
gpg --batch -q --list-secret-keys {name} >/dev/null 2>&1 ||
gpg --batch -q --passphrase '' --quick-gen-key {name} rsa2048 sign never
gpg --batch --armor --export {name}
"""


def _tree(package: Package) -> bytes:
    return tar_of({f"packages/{package.name}/{p}": c for p, c in package.files.items()})


def _rpm_row(package: Package, path: str) -> str:
    doc = "%doc " if path in package.docs else ""
    caps = "%caps(cap_net_raw=ep) " if path in package.capable else ""
    return f"{doc}{caps}/{path}"


def _rpm(packages: tuple[Package, ...], signed: Signed) -> str:
    at = f"/made/rpm/os/{ARCH}"
    sign = (
        "rpmsign --define '__gpg /usr/bin/gpg' --define '_gpg_name distromatrix-test' "
        f"--addsign {at}/*.rpm\n"
    )
    sign_index = f"gpg --batch -q -u distromatrix-test --armor -b {at}/repodata/repomd.xml\n"
    return "".join(
        f"""\
cat >/packages/{p.name}.spec <<'END'
%global debug_package %{{nil}}
%global __os_install_post %{{nil}}
Name: {p.name}
Version: {p.version}
Release: 1
Summary: a package of a test
License: none
AutoReqProv: no
{"".join(f"Requires: {r}{chr(10)}" for r in p.requires)}
{"".join(f"Recommends: {r}{chr(10)}" for r in p.recommends)}
{"".join(f"Provides: pkgconfig({m}) = 1{chr(10)}" for m in pc_modules(p.files))}
%description
A package of a test.
%install
cp -a /packages/{p.name}/. %{{buildroot}}/
%files
{chr(10).join(_rpm_row(p, path) for path in p.files)}
END
rpmbuild -bb --quiet --define '_topdir /made/build' --define '_rpmdir /made/rpm/os' \
--target {ARCH} /packages/{p.name}.spec
"""
        for p in packages
    ) + (
        "rm -rf /made/build\n"
        + (sign if signed != "none" else "")
        + f"createrepo_c -q {at}\n"
        + (sign_index if signed != "none" else "")
    )


def _pacman(packages: tuple[Package, ...], signed: Signed) -> str:
    made = f"/made/pacman/core/os/{ARCH}"
    # makepkg refuses to be root.
    nobody = "setpriv --reuid=65534 --regid=65534 --clear-groups env HOME=/tmp"
    builds = "".join(
        f"""\
mkdir -p /made/pkg/{p.name}
cat >/made/pkg/{p.name}/PKGBUILD <<'END'
pkgname={p.name}
pkgver={p.version}
pkgrel=1
pkgdesc='a package of a test'
arch=(any)
depends=({" ".join(p.requires)})
optdepends=({" ".join(p.recommends)})
options=(!strip !debug)
package() {{ cp -a /packages/{p.name}/. "$pkgdir/"; }}
END
chown nobody /made/pkg/{p.name}
(cd /made/pkg/{p.name} && {nobody} PKGDEST=/made/pkg/out makepkg -d --nosign --nocheck)
"""
        for p in packages
    )
    sign = f"for file in {made}/*.pkg.tar*; do gpg --batch -q -u distromatrix-test -b $file; done\n"
    # The index has their signatures: before pacman 6.1 by itself, then where it is asked to.
    sigs = "$(repo-add --help 2>&1 | grep -o -m1 -e --include-sigs || :) "
    with_key = f"{sigs}-s -k distromatrix-test " if signed == "all" else ""
    return (
        f"mkdir -p /made/pkg/out {made}\nchown nobody /made/pkg/out\n{builds}"
        f"mv /made/pkg/out/* {made}/\n"
        + (sign if signed == "all" else "")
        + f"repo-add -q {with_key}{made}/core.db.tar.gz {made}/*.pkg.tar*[!g]\n"
    )


def _deb(packages: tuple[Package, ...], valid_until: str) -> str:
    builds = "".join(
        f"""\
mkdir -p /packages/{p.name}/DEBIAN
cat >/packages/{p.name}/DEBIAN/control <<'END'
Package: {p.name}
Version: {p.version}
Architecture: all
Maintainer: nobody <nobody@mirror.example>
{f"Depends: {', '.join(p.requires)}{chr(10)}" if p.requires else ""}\
Description: a package of a test
END
dpkg-deb --root-owner-group -b /packages/{p.name} /made/deb/pool >/dev/null
rm -r /packages/{p.name}/DEBIAN
"""
        for p in packages
    )
    index = "dists/stable/main/binary-$(dpkg --print-architecture)"
    until = f"Valid-Until: {valid_until}\\n" if valid_until else ""
    return f"""\
mkdir -p /made/deb/pool
{builds}
cd /made/deb; mkdir -p {index}
apt-ftparchive packages pool >{index}/Packages
apt-ftparchive -o APT::FTPArchive::Release::Suite=stable \
-o APT::FTPArchive::Release::Components=main \
-o APT::FTPArchive::Release::Architectures="$(dpkg --print-architecture)" \
release dists/stable >/made/Release
printf '{until}' | cat - /made/Release >dists/stable/Release; rm /made/Release
gpg --batch -q -u distromatrix-test --clearsign -o dists/stable/InRelease dists/stable/Release
"""
