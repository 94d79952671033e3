"""What is kept of downloads: only what its digest says comes in and goes out, and not too much."""

from __future__ import annotations

import base64
import gzip
import hashlib
import io
import os
import tarfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from distromatrix.images.layer.downloading import _wanted
from distromatrix.images.packages import MANAGERS
from distromatrix.images.packages.base import sha256_of
from distromatrix.images.store import downloads
from distromatrix.images.store.downloads import Downloads

CONTENT = b"a package"
NAME = hashlib.sha256(CONTENT).hexdigest()


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Downloads]:
    yield Downloads(tmp_path / "downloads")


def tar_of(*members: tuple[str, bytes | str]) -> list[bytes]:
    """A machine's tar: names and contents, or a link's target."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for name, content in members:
            member = tarfile.TarInfo(name)
            if isinstance(content, str):
                member.type, member.linkname = tarfile.SYMTYPE, content
                tar.addfile(member)
            else:
                member.size = len(content)
                tar.addfile(member, io.BytesIO(content))
    return [buffer.getvalue()]


def keep(store: Downloads, *members: tuple[str, bytes | str], wanted: str = NAME) -> int:
    return store.keep(tar_of(*members), {wanted}, sha256_of)


def given(store: Downloads, **wanted: str) -> dict[str, bytes]:
    """What a machine gets: path -> content."""
    with store.given(wanted or {NAME: "/var/a.deb"}, sha256_of) as found:
        with tarfile.open(fileobj=found.tar) as tar:
            got = {m.name: tar.extractfile(m).read() for m in tar}  # type: ignore[union-attr]
        assert len(found.digests) == len(got)
        assert found.bytes == sum(map(len, got.values()))
        return got


def test_what_was_kept_is_given_where_it_is_wanted(store: Downloads) -> None:
    assert given(store) == {}
    assert keep(store, (f"arrived/{NAME}", CONTENT)) == 1
    assert given(store) == {"var/a.deb": CONTENT}
    assert given(store, **{"0" * 64: "/var/a.deb"}) == {}


@pytest.mark.parametrize(
    "member",
    [
        (f"arrived/{NAME}", b"another"),
        (f"arrived/{NAME}", "/etc/passwd"),
        (f"arrived/{NAME}/{NAME}", CONTENT),
        (f"arrived/../{NAME}", CONTENT),
        (f"arrived/{hashlib.sha256(b'x').hexdigest()}", b"x"),
    ],
    ids=["not what it is called", "a link", "in a folder", "outside", "not wanted"],
)
def test_what_is_not_what_was_wanted_is_not_kept(
    store: Downloads, member: tuple[str, bytes | str]
) -> None:
    assert keep(store, member) == 0
    assert list(store.folder.iterdir()) == []


def test_what_was_changed_here_is_not_given_and_goes(store: Downloads) -> None:
    keep(store, (f"arrived/{NAME}", CONTENT))
    (store.folder / NAME).write_bytes(CONTENT.replace(b"a", b"b"))
    assert given(store) == {}
    assert list(store.folder.iterdir()) == []


def test_what_was_used_longest_ago_goes_first(
    store: Downloads, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = {c: hashlib.sha256(c).hexdigest() for c in (b"1" * 10, b"2" * 10, b"3" * 10)}
    for age, (content, name) in enumerate(names.items()):
        keep(store, (f"arrived/{name}", content), wanted=name)
        os.utime(store.folder / name, times=(time.time() - 100 + age,) * 2)
    first, second, third = names.values()
    given(store, **{first: "/a"})
    monkeypatch.setattr(downloads, "MOST_BYTES", 25)
    store.tidy()
    assert {p.name for p in store.folder.iterdir()} == {first, third}
    assert second not in store.folder.iterdir()


def test_what_nobody_used_for_long_goes(store: Downloads) -> None:
    keep(store, (f"arrived/{NAME}", CONTENT))
    long_ago = time.time() - downloads.UNUSED_AFTER - 60
    os.utime(store.folder / NAME, times=(long_ago, long_ago))
    store.tidy()
    assert list(store.folder.iterdir()) == []


def test_what_a_killed_process_left_goes_once_no_other_keeps_anything(store: Downloads) -> None:
    def left() -> list[Path]:
        return list(store.folder.glob(".*"))

    def beside_another() -> Iterator[bytes]:
        given(store)
        store.tidy()
        seen.append(len(left()))
        yield from tar_of((f"arrived/{NAME}", CONTENT))

    keep(store)
    (store.folder / ".killed").mkdir()
    (store.folder / ".killed/part").touch()
    seen: list[int] = []
    assert store.keep(beside_another(), {NAME}, sha256_of) == 1
    assert (seen, left()) == ([2], [])
    (store.folder / ".killed").mkdir()
    assert given(store) == {"var/a.deb": CONTENT}
    assert left() == []


def test_all_of_it_can_be_removed(store: Downloads) -> None:
    store.clear()
    keep(store, (f"arrived/{NAME}", CONTENT))
    assert store.size() == len(CONTENT)
    store.clear()
    assert (store.size(), store.folder.exists()) == (0, False)


def test_of_what_a_machine_wants_only_digests_and_paths_count() -> None:
    said = f"{NAME} /var/a.deb\n../../{NAME} /x\n{NAME[1:]}0 /var/../../x\n.git /x\n{NAME} x\n"
    assert _wanted(said.encode()) == {NAME: "/var/a.deb"}
    many = "".join(f"{n:064} /{n}\n" for n in range(10_000))
    assert len(_wanted(many.encode())) == 5_000


def test_apk_knows_a_package_by_its_control_data_and_that_by_the_files(tmp_path: Path) -> None:
    """The format that apk itself reads: tests/integration/images/test_downloads_real.py."""
    files = gzip.compress(b"files")
    info = f"pkgname = a\ndatahash = {hashlib.sha256(files).hexdigest()}\n".encode()
    control = gzip.compress(tar_of((".PKGINFO", info))[0])
    said = "Q1" + base64.urlsafe_b64encode(hashlib.sha1(control).digest()).decode()
    signature = gzip.compress(tar_of((".SIGN.RSA.a.pub", b"x"))[0])

    def digest(package: bytes) -> str:
        (tmp_path / "a.apk").write_bytes(package)
        with (tmp_path / "a.apk").open("rb") as file:
            return MANAGERS["apk"].digest(file)

    for package in (control + files, signature + control + files):
        assert digest(package) == said
        assert digest(package[:-1] + b"x") == ""
    bomb = gzip.compress(bytes(32 << 20))
    for broken in (b"", b"no package", control[:40], files + control, bomb + control + files):
        assert digest(broken) == ""
