"""Makes tiny distributions to bootstrap: signed RPM, pacman and apk repositories whose packages
(a Debian busybox, an os-release) are enough to start a container from.

Runs where the tools are (inside the workshop's container, on its own Python): standard library
alone. `python3 mirror_maker.py FOLDER` fills FOLDER: `rpm/`, `core/os/x86_64/`, `v1/main/`,
`unsigned/` with the same without signatures, and `keys/`.
"""

from __future__ import annotations

import base64
import gzip
import hashlib
import io
import os
import shutil
import subprocess
import sys
import tarfile
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

BUSYBOX = Path("/bin/busybox")
APPLETS = (
    "sh cat chmod chown cp cut date echo env expr false find grep head hostname id kill ln ls "
)
APPLETS += (
    "mkdir mktemp mv printf ps pwd readlink rm rmdir sed sleep sort stat tail tar test touch "
)
APPLETS += "tr true uname wc xargs"
ID = "Distromatrix Test <test@mirror.example>"
APK_KEY = "test-4a6a0840.rsa.pub"
_APK_CHECKSUM = "APK-TOOLS.checksum.SHA1"


@dataclass(frozen=True, kw_only=True)
class Package:
    """Folders, files (path -> content and mode) and links (path -> target) of a package;
    `doc` are files that are documentation, `ping` gets a file capability where it can."""

    name: str
    depends: tuple[str, ...] = ()
    recommends: tuple[str, ...] = ()
    folders: tuple[str, ...] = ()
    files: dict[str, tuple[bytes, int]] = field(default_factory=dict)
    links: dict[str, str] = field(default_factory=dict)
    doc: tuple[str, ...] = ()
    caps: tuple[str, ...] = ()


def packages(release: str) -> tuple[Package, ...]:
    """The distribution."""
    os_release = f'ID=testix\nNAME="Testix"\nVERSION_ID=1\nPRETTY_NAME="Testix 1 ({release})"\n'
    passwd = "root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/:/bin/false\n"
    return (
        Package(
            name="filesystem",
            folders=("dev", "etc", "proc", "root", "run", "sys", "tmp", "usr/bin", "var/tmp"),
            files={
                "etc/passwd": (passwd.encode(), 0o644),
                "etc/group": (b"root:x:0:\nnobody:x:65534:\n", 0o644),
                "etc/os-release": (os_release.encode(), 0o644),
            },
            links={"bin": "usr/bin"},
        ),
        Package(
            name="shell",
            depends=("filesystem",),
            recommends=("luxury",),
            files={
                "usr/bin/busybox": (BUSYBOX.read_bytes(), 0o755),
                "usr/bin/ping-like": (b"#!/bin/sh\necho pong\n", 0o755),
                "usr/share/doc/shell/manual": (b"read me\n", 0o644),
            },
            links={f"usr/bin/{name}": "busybox" for name in APPLETS.split()},
            doc=("usr/share/doc/shell/manual",),
            caps=("usr/bin/ping-like",),
        ),
        Package(name="luxury", files={"usr/bin/luxury": (b"#!/bin/sh\necho ah\n", 0o755)}),
        Package(name="hello", files={"usr/bin/hello": (b"#!/bin/sh\necho hello\n", 0o755)}),
    )


def _mode(folder: str) -> int:
    return 0o1777 if folder.endswith("tmp") else 0o755


def main(folder: Path) -> None:
    """Make all repositories below `folder`."""
    work = folder.parent / "work"
    shutil.rmtree(work, ignore_errors=True)
    work.mkdir(parents=True)
    keys = folder / "keys"
    keys.mkdir(parents=True)
    os.environ["GNUPGHOME"] = str(work / "gnupg")
    (work / "gnupg").mkdir(mode=0o700)
    for user in (ID, "Somebody Else <else@mirror.example>"):
        run(
            "gpg",
            "--batch",
            "--passphrase",
            "",
            "--quick-gen-key",
            user,
            "rsa2048",
            "sign",
            "never",
        )
    export = ("gpg", "--batch", "--armor", "--export")
    (keys / "test.asc").write_bytes(run(*export, ID))
    (keys / "other.asc").write_bytes(run(*export, "else@mirror.example"))
    rpms(packages("rpm"), work / "rpm", folder)
    pacmans(packages("pacman"), folder)
    apks(packages("apk"), work, folder, keys)
    run("gpgconf", "--kill", "all")


def run(*command: str, cwd: Path | None = None, given: bytes | None = None) -> bytes:
    """What a tool prints; it must succeed."""
    done = subprocess.run(command, cwd=cwd, input=given, capture_output=True, check=False)
    if done.returncode:
        sys.exit(f"{' '.join(command)}: {done.stderr.decode(errors='replace')}")
    return done.stdout


# --- RPM -------------------------------------------------------------------------------------


def rpms(wanted: Iterable[Package], work: Path, folder: Path) -> None:
    """`rpm/` signed, `unsigned/rpm/` not; metadata by createrepo_c."""
    for package in wanted:
        run(
            *("rpmbuild", "-bb", "--define", f"_topdir {work}", "--define", f"_rpmdir {work}/out"),
            str(_spec(package, work / package.name)),
        )
    plain = folder / "unsigned/rpm"
    signed = folder / "rpm"
    for at in (plain, signed):
        at.mkdir(parents=True)
        for rpm in sorted((work / "out").rglob("*.rpm")):
            shutil.copy(rpm, at)
    run(
        *("rpm", "--define", f"_gpg_name {ID}", "--define", "__gpg /usr/bin/gpg", "--addsign"),
        *map(str, sorted(signed.glob("*.rpm"))),
    )
    for at in (plain, signed):
        run("createrepo_c", "--general-compress-type=gz", str(at))
    repomd = signed / "repodata/repomd.xml"
    run("gpg", "--batch", "--armor", "--local-user", ID, "--detach-sign", str(repomd))


def _spec(package: Package, source: Path) -> Path:
    _lay_out(package, source)
    rows = [f"%dir %attr({_mode(name):o},root,root) /{name}" for name in package.folders]
    for path, (_, mode) in package.files.items():
        caps = " %caps(cap_net_raw=ep)" if path in package.caps else ""
        doc = "%doc " if path in package.doc else ""
        rows.append(f"{doc}%attr({mode:o},root,root){caps} /{path}")
    rows += [f"/{path}" for path in package.links]
    head = [f"Name: {package.name}", "Version: 1.0", "Release: 1", "Summary: test", "License: none"]
    head += ["AutoReqProv: no", "BuildArch: x86_64"]
    head += [f"Requires: {name}" for name in package.depends]
    head += [f"Recommends: {name}" for name in package.recommends]
    spec = source.with_suffix(".spec")
    body = ["%global debug_package %{nil}", "%global __os_install_post %{nil}", *head]
    body += [
        "%description",
        "test",
        "%install",
        f"cp -a {source}/. %{{buildroot}}/",
        "%files",
        *rows,
    ]
    spec.write_text("\n".join(body) + "\n")
    return spec


def _lay_out(package: Package, at: Path) -> None:
    at.mkdir(parents=True)
    for name in package.folders:
        (at / name).mkdir(parents=True, exist_ok=True)
    for path, (content, mode) in package.files.items():
        (at / path).parent.mkdir(parents=True, exist_ok=True)
        (at / path).write_bytes(content)
        (at / path).chmod(mode)
    for path, target in package.links.items():
        (at / path).symlink_to(target)


# --- pacman ----------------------------------------------------------------------------------


def pacmans(wanted: Iterable[Package], folder: Path) -> None:
    """`core/os/x86_64/` with signed packages and database, `unsigned/core/os/x86_64/` without."""
    plain, signed = folder / "unsigned/core/os/x86_64", folder / "core/os/x86_64"
    for at in (plain, signed):
        at.mkdir(parents=True)
    files = []
    for package in wanted:
        facts = [("pkgname", package.name), ("pkgbase", package.name), ("pkgver", "1.0-1")]
        facts += [("pkgdesc", "test"), ("arch", "x86_64"), ("size", "100"), ("builddate", "1")]
        facts += [("license", "none"), *(("depend", name) for name in package.depends)]
        facts += [("optdepend", name) for name in package.recommends]
        info = "".join(f"{key} = {value}\n" for key, value in facts).encode()
        name = f"{package.name}-1.0-1-x86_64.pkg.tar.gz"
        (plain / name).write_bytes(gzip.compress(tar(package, {".PKGINFO": info})))
        shutil.copy(plain / name, signed)
        run("gpg", "--batch", "--local-user", ID, "--detach-sign", str(signed / name))
        files.append(name)
    run("repo-add", "core.db.tar.gz", *files, cwd=plain)
    run("repo-add", "--sign", "--key", ID, "core.db.tar.gz", *files, cwd=signed)


# --- apk -------------------------------------------------------------------------------------


def apks(wanted: Iterable[Package], work: Path, folder: Path, keys: Path) -> None:
    """`v1/main/x86_64/` with a signed index, `unsigned/v1/main/x86_64/` without. Format:
    https://wiki.alpinelinux.org/wiki/Apk_spec"""
    key = work / "apk.pem"
    run("openssl", "genrsa", "-out", str(key), "2048")
    (keys / APK_KEY).write_bytes(run("openssl", "rsa", "-in", str(key), "-pubout"))
    plain, signed = folder / "unsigned/v1/main/x86_64", folder / "v1/main/x86_64"
    entries = []
    for at in (plain, signed):
        at.mkdir(parents=True)
    for package in wanted:
        data = gzip.compress(tar(package, {}), mtime=0)
        facts = f"pkgname = {package.name}\npkgver = 1.0-r0\narch = x86_64\nsize = 100\n"
        facts += "pkgdesc = test\n" + "".join(f"depend = {d}\n" for d in package.depends)
        info = f"{facts}datahash = {hashlib.sha256(data).hexdigest()}\n".encode()
        control = gzip.compress(_unended({".PKGINFO": info}), mtime=0)
        signature = _apk_signature(key, control)
        for at, apk in ((plain, control + data), (signed, signature + control + data)):
            (at / f"{package.name}-1.0-r0.apk").write_bytes(apk)
        checksum = base64.b64encode(hashlib.sha1(control).digest()).decode()
        depends = f"D:{' '.join(package.depends)}\n" if package.depends else ""
        size = len(signature + control + data)
        entries.append(
            f"C:Q1{checksum}\nP:{package.name}\nV:1.0-r0\nA:x86_64\nS:{size}\nI:100\nT:test\n{depends}"
        )
    index = io.BytesIO()
    with tarfile.open(fileobj=index, mode="w") as archive:
        _add(archive, "APKINDEX", ("\n".join(entries) + "\n").encode(), 0o644)
    packed = gzip.compress(index.getvalue(), mtime=0)
    (plain / "APKINDEX.tar.gz").write_bytes(packed)
    (signed / "APKINDEX.tar.gz").write_bytes(_apk_signature(key, packed) + packed)


def _apk_signature(key: Path, content: bytes) -> bytes:
    signature = run("openssl", "dgst", "-sha1", "-sign", str(key), given=content)
    return gzip.compress(_unended({f".SIGN.RSA.{APK_KEY}": signature}), mtime=0)


def _unended(files: dict[str, bytes]) -> bytes:
    """A tar without the blocks that end one: the next part goes on where it stops."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for name, content in files.items():
            _add(archive, name, content, 0o644)
        stop = archive.offset
    return buffer.getvalue()[:stop]


# --- tar -------------------------------------------------------------------------------------


def tar(package: Package, before: dict[str, bytes]) -> bytes:
    """The package's files as a tar; `before`: metadata files at its beginning."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for name, content in before.items():
            _add(archive, name, content, 0o644)
        paths = [*package.folders, *package.files, *package.links]
        parents = {str(p) for path in paths for p in Path(path).parents} - {"."}
        for name in sorted(parents | set(package.folders)):
            member = tarfile.TarInfo(name)
            member.type, member.mode = tarfile.DIRTYPE, _mode(name)
            archive.addfile(member)
        for path, (content, mode) in package.files.items():
            _add(archive, path, content, mode)
        for path, target in package.links.items():
            member = tarfile.TarInfo(path)
            member.type, member.linkname, member.mode = tarfile.SYMTYPE, target, 0o777
            member.pax_headers[_APK_CHECKSUM] = hashlib.sha1(target.encode()).hexdigest()
            archive.addfile(member)
    return buffer.getvalue()


def _add(archive: tarfile.TarFile, path: str, content: bytes, mode: int) -> None:
    member = tarfile.TarInfo(path)
    member.size, member.mode = len(content), mode
    if not path.startswith((".", "APKINDEX")):  # what apk checks an installed file against
        member.pax_headers[_APK_CHECKSUM] = hashlib.sha1(content).hexdigest()
    archive.addfile(member, io.BytesIO(content))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
