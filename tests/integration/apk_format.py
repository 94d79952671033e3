"""Alpine's packages and their signed index, as apk-tools 2 reads them.
Format: https://wiki.alpinelinux.org/wiki/Apk_spec"""

from __future__ import annotations

import base64
import gzip
import hashlib
import io
import platform
import subprocess
import tarfile
from collections.abc import Iterable, Mapping
from pathlib import Path

KEY_NAME = "distromatrix-test.rsa.pub"  # in /etc/apk/keys
_ARCH = platform.machine()

Files = Mapping[str, bytes | str]  # path -> content of a program, or target of a link
Given = tuple[str, str, Files, tuple[str, ...]]  # name, version, files, names it requires


def apk_repository(
    folder: Path, packages: Iterable[Given], *, signed: bool = True, key_name: str = KEY_NAME
) -> bytes:
    """Write a repository, its index signed or not, to `folder` (that of one architecture), made
    if it is not there. Returns the public key, which belongs into /etc/apk/keys as `key_name`."""
    folder.mkdir(parents=True, exist_ok=True)
    key = folder / "key.pem"
    _openssl("genrsa", "-out", str(key), "2048")
    public = _openssl("rsa", "-in", str(key), "-pubout")
    entries = []
    for name, version, files, requires in packages:
        content, entry = _apk(name, f"{version}-r0", files, requires)
        (folder / f"{name}-{version}-r0.apk").write_bytes(content)
        entries.append(entry)
    index = _gz(tar_of({"APKINDEX": "".join(entries).encode()}))
    signature = _openssl("dgst", "-sha1", "-sign", str(key), given=index)
    before = _gz(tar_of({f".SIGN.RSA.{key_name}": signature}, end=False)) if signed else b""
    (folder / "APKINDEX.tar.gz").write_bytes(before + index)
    key.unlink()
    return public


def _apk(name: str, version: str, files: Files, requires: tuple[str, ...]) -> tuple[bytes, str]:
    """A package, and its entry in the index."""
    data = _gz(tar_of(files, checksums=True))
    depends = "".join(f"depend = {r}\n" for r in requires)
    provided = [f"pc:{module}=1" for module in pc_modules(files)]
    depends += "".join(f"provides = {p}\n" for p in provided)
    info = (
        f"pkgname = {name}\npkgver = {version}\narch = {_ARCH}\nsize = 100\npkgdesc = test\n"
        f"{depends}datahash = {hashlib.sha256(data).hexdigest()}\n"
    )
    control = _gz(tar_of({".PKGINFO": info.encode()}, end=False))
    checksum = base64.b64encode(hashlib.sha1(control).digest()).decode()
    wants = f"D:{' '.join(requires)}\n" if requires else ""
    wants += f"p:{' '.join(provided)}\n" if provided else ""
    size = len(control) + len(data)
    entry = f"C:Q1{checksum}\nP:{name}\nV:{version}\nA:{_ARCH}\nS:{size}\nI:100\nT:test\n{wants}\n"
    return control + data, entry


def pc_modules(files: Files) -> list[str]:
    """The modules of pkg-config's that a package has, as the families' tools find them."""
    return [Path(path).stem for path in files if path.endswith(".pc")]


def tar_of(files: Files, *, end: bool = True, checksums: bool = False) -> bytes:
    """A tar of programs and links, with their folders. `end`: with the blocks that end an
    archive; apk's signature and control parts lack them, as the next part goes on where they
    stop. `checksums`: with what apk checks an installed file against."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for parent in dict.fromkeys(p for path in files for p in reversed(Path(path).parents)):
            if parent.name:
                folder = tarfile.TarInfo(str(parent))
                folder.type, folder.mode = tarfile.DIRTYPE, 0o755
                tar.addfile(folder)
        for path, held in files.items():
            member = tarfile.TarInfo(path)
            content = held if isinstance(held, bytes) else b""
            if isinstance(held, str):
                member.type, member.linkname = tarfile.SYMTYPE, held
            else:
                member.size, member.mode = len(content), 0o755
            if checksums:
                summed = held.encode() if isinstance(held, str) else held
                member.pax_headers["APK-TOOLS.checksum.SHA1"] = hashlib.sha1(summed).hexdigest()
            tar.addfile(member, io.BytesIO(content))
        stop = tar.offset
    return buffer.getvalue() if end else buffer.getvalue()[:stop]


def _openssl(*arguments: str, given: bytes = b"") -> bytes:
    return subprocess.run(
        ("openssl", *arguments), input=given, capture_output=True, check=True
    ).stdout


def _gz(content: bytes) -> bytes:
    return gzip.compress(content, mtime=0)
