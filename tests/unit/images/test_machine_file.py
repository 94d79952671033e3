"""A machine's file: what goes into it, what comes out, and what of a stranger's is refused."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import tarfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from distromatrix.collect.errors import CollectError
from distromatrix.engines.changes import TooMuchError
from distromatrix.errors import InputError
from distromatrix.images.store import machine_file
from distromatrix.images.store.machine_file import About, opened_machine, write_machine
from distromatrix.images.store.trees import prints

ID = f"sha256:{'a' * 64}"
ABOUT = About(
    cell="debian-12/unit/py3",
    distro="debian-12",
    engine="",
    arch="x86_64",
    image=ID,
    source="pull",
    digests=(f"sha256:{'b' * 64}",),
    env={"COLOUR": "light\ngreen"},
    secrets=("TOKEN",),
)
File = tuple[str, bytes | None, dict[str, Any]]


def file(name: str, content: bytes | None = b"", **more: Any) -> File:
    return name, content, more


def link(name: str, to: str, kind: bytes = tarfile.SYMTYPE) -> File:
    return file(name, None, type=kind, linkname=to)


def folder(name: str, **more: Any) -> File:
    return file(name, None, type=tarfile.DIRTYPE, mode=0o755, **more)


def tar(*files: File) -> tuple[bytes, ...]:
    """In small pieces, as an engine gives it."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.PAX_FORMAT) as into:
        for name, content, more in files:
            member = tarfile.TarInfo(name)
            for key, value in more.items():
                setattr(member, key, value)
            member.size = len(content or b"")
            into.addfile(member, None if content is None else io.BytesIO(content))
    data = out.getvalue()
    return tuple(data[at : at + 1000] for at in range(0, len(data), 1000))


IMAGE = (
    folder("etc"),
    file("etc/same", b"same"),
    file("etc/other", b"before"),
    file("etc/gone", b"gone"),
    file("etc/hosts", b"its own"),
    folder("opt", mtime=1),
    file("opt/moved", b"a file"),
    link("bin", "usr/bin"),
)
CAPABLE = {"SCHILY.xattr.security.capability": "\x01", "other": "left out"}
MACHINE = (
    (
        folder("./etc/"),
        file("./etc/same", b"same"),
        file("./etc/other", b"behind"),  # of the same size and time
        file("./etc/hosts", b"another's"),
        folder("./opt", mtime=2),
        folder("./opt/moved"),
        link("./bin", "usr/bin"),
        file("./new", b"new", uid=7, gid=8, mode=0o4755, pax_headers=CAPABLE),
        link("./also", "./new", tarfile.LNKTYPE),
        file("./dev/null", None, type=tarfile.CHRTYPE),
        file("./disk", None, type=tarfile.BLKTYPE),
        file("./proc/1/mem", b"1"),
        link("./pipe", "", tarfile.FIFOTYPE),
    ),
    (folder("distromatrix"), file("distromatrix/product/é", b"product")),
)


def written(target: Path, at_most: int = 1 << 30, about: About = ABOUT) -> Path:
    streams = (tar(*files) for files in MACHINE)
    size = write_machine(target, about, prints(tar(*IMAGE)), streams, at_most)
    assert target.stat().st_size == size
    return target


@pytest.fixture
def whole(tmp_path: Path) -> Path:
    return written(tmp_path / "machine.tar")


def there(path: Path) -> tuple[set[str], dict[str, tarfile.TarInfo]]:
    with opened_machine(path) as found:
        changes = found.changes(path.parent)
        changes.gone.seek(0)
        gone = {name for name in changes.gone.read().decode().split("\0") if name}
        changes.there.seek(0)
        with tarfile.open(fileobj=changes.there) as inside:
            members = {member.name: member for member in inside}
            for member in members.values():
                if member.isreg():
                    content = inside.extractfile(member)
                    assert content is not None and len(content.read()) == member.size
        changes.close()
    return gone, members


def test_what_is_new_another_or_gone_comes_back_and_nothing_else(whole: Path) -> None:
    gone, members = there(whole)
    assert gone == {"etc/gone", "opt/moved"}
    product = {"distromatrix", "distromatrix/product/é"}
    assert set(members) == {"etc/other", "opt/moved", "new", "also", "pipe", *product}
    new = members["new"]
    assert (new.uid, new.gid, new.mode) == (7, 8, 0o4755)
    assert set(new.pax_headers) == {"SCHILY.xattr.security.capability"}
    assert members["also"].islnk() and members["also"].linkname == "new"
    with opened_machine(whole) as found:
        about = found.about
    assert about == replace(
        ABOUT, unpacked=about.unpacked, sha256=about.sha256, written=about.written
    )


def test_a_file_that_would_be_too_large_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(TooMuchError):
        written(tmp_path / "machine.tar", at_most=1000)
    assert list(tmp_path.iterdir()) == []


def test_twenty_gigabytes_of_zeros_are_given_up_early(tmp_path: Path) -> None:
    read = 0

    def zeros() -> Iterator[bytes]:
        nonlocal read
        huge = tarfile.TarInfo("huge")
        huge.size = 20 << 30
        yield huge.tobuf()
        while True:
            read += 1 << 20
            yield bytes(1 << 20)

    with pytest.raises(TooMuchError):
        write_machine(tmp_path / "machine.tar", ABOUT, {}, (zeros(),), 1 << 20)
    assert read < 1 << 26
    assert list(tmp_path.iterdir()) == []


def test_a_stream_that_breaks_off_leaves_no_file(tmp_path: Path) -> None:
    for cut in (tar(*MACHINE[0])[:1], tar(file("a", bytes(9000)))[:4]):
        with pytest.raises((CollectError, OSError)):
            write_machine(tmp_path / "machine.tar", ABOUT, {}, (cut,), 1 << 30)
    assert list(tmp_path.iterdir()) == []


def refused(path: Path) -> str:
    with pytest.raises(InputError) as error, opened_machine(path) as found:
        found.changes(path.parent)
    (said,) = str(error.value).splitlines()
    assert said.startswith(f"{path}: ")
    return said.removeprefix(f"{path}: ")


@pytest.mark.parametrize("left", [0, 100, 512, 5000, 66_048, 66_400, -1536, -2000])
def test_a_file_that_was_cut_off_is_refused(whole: Path, left: int) -> None:
    whole.write_bytes(whole.read_bytes()[:left])
    assert "is damaged" in refused(whole) or "was not written by" in refused(whole)


def test_a_file_with_another_byte_is_refused(whole: Path) -> None:
    content = bytearray(whole.read_bytes())
    content[66_700] ^= 1
    whole.write_bytes(content)
    assert refused(whole).startswith("is damaged: the sha256 of its content is ")


def test_what_is_no_machines_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "other"
    for content in (b"", b"\0" * 9000, b"text", b"".join(tar(*IMAGE)), gzip.compress(b"x")):
        path.write_bytes(content)
        assert "was not written by `distromatrix run --export`" in refused(path)
    assert refused(tmp_path) == "is no file"
    assert refused(tmp_path / "absent") == "cannot be read: No such file or directory"


def forged(path: Path, content: bytes, gone: bytes = b"", **about: Any) -> Path:
    """A file as a stranger writes it, who can count."""
    digest = hashlib.sha256(content + gone).hexdigest()
    said = {
        **{name: getattr(ABOUT, name) for name in ABOUT.__slots__},
        "unpacked": 10_000,
        "sha256": digest,
        **about,
    }
    text = json.dumps(said).encode().ljust(64 * 1024)
    names = ("distromatrix-machine.json", "changes.tar.gz", "gone")
    path.write_bytes(b"".join(tar(*map(file, names, (text, content, gone)))))
    return path


def zipped(*files: File) -> bytes:
    return gzip.compress(b"".join(tar(*files)))


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *(("image", it) for it in ("debian:12", "distromatrix/base:x", "sha256:", "../" * 9, "")),
        *(("cell", it) for it in ("../x", "a", "a/../b", "/a/b", "a/b/c/d", "a/b\n", "a/\x1b[1m")),
        ("digests", ["sha256:abc"]),
        ("source", "file:///etc"),
        ("archive", "/etc/shadow"),
        ("user", "root; id"),
        ("env", {"A B": "c"}),
        ("env", {"A": "\0"}),
        ("env", {"-v/:/host": "1"}),
        ("secrets", ["\x1b[2J"]),
        ("cpus", -1),
        ("memory", 0),
        ("memory", 1 << 60),
        ("unpacked", 1 << 50),
        ("arch", "../"),
        ("engine", "Docker --privileged"),
        ("distromatrix", "\x1b]0;"),
    ],
)
def test_a_header_that_nobody_of_ours_writes_is_refused(
    tmp_path: Path, name: str, value: object
) -> None:
    path = forged(tmp_path / "f", zipped(file("a")), **{name: value})
    assert refused(path) == f"its header is not sound: `{name}`"
    forged(path, zipped(file("a")), **{name: {"deep": [value]}})
    assert "was not written by" in refused(path) or "not sound" in refused(path)


def test_another_versions_file_is_refused_by_its_number(tmp_path: Path) -> None:
    assert "has format 2" in refused(forged(tmp_path / "f", b"", format=2))
    assert "take the version that wrote it" in refused(forged(tmp_path / "f", b"", format="1e9"))


@pytest.mark.parametrize(
    "content",
    [
        b"no gzip",
        gzip.compress(b"no tar" * 999),
        gzip.compress(b"".join(tar(file("a", bytes(5000))))[:3000]),
        zipped(file("a"))[:-9],
    ],
    ids=["no gzip", "no tar", "cut tar", "cut gzip"],  # gzip's own bytes hold the time
)
def test_content_that_is_no_tar_is_refused(tmp_path: Path, content: bytes) -> None:
    assert refused(forged(tmp_path / "f", content)).startswith("is damaged: ")


def test_content_that_is_more_than_it_says_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(machine_file, "_MOST_GONE", 1 << 20)
    bomb = zipped(file("a", bytes(8 << 20)))
    assert "holds more than it says" in refused(forged(tmp_path / "f", bomb))
    assert [path.name for path in tmp_path.iterdir()] == ["f"]


def test_nothing_in_it_leads_out_of_the_machine_or_into_its_own_files(tmp_path: Path) -> None:
    content = zipped(
        file("../../etc/passwd", b"x"),
        file("/a/../../b", b"x"),
        file("/absolute", b"x"),
        file("etc/resolv.conf", b"x"),
        file("proc/sys/kernel/core_pattern", b"|/x"),
        link("hard", "../../etc/shadow", tarfile.LNKTYPE),
        file("node", None, type=tarfile.BLKTYPE, devmajor=8),
        link("soft", "/etc/shadow"),
    )
    path = forged(tmp_path / "f", content, b"../../x\0/etc\0etc/hosts\0.\0\0dev/null")
    gone, members = there(path)
    assert gone == {"etc"}
    assert set(members) == {"absolute", "soft"}  # a link's place is in the machine


def test_a_full_disk_leaves_no_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(machine_file, "padding", full)  # when most of it has been written
    with pytest.raises(OSError, match="No space left"):
        written(tmp_path / "machine.tar")
    assert list(tmp_path.iterdir()) == []
