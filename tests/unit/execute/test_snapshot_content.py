"""What a snapshot knows of the product's content, and how the tar file is written."""

from __future__ import annotations

import hashlib
import json
import os
import tarfile
from pathlib import Path, PurePosixPath

import pytest
from checkouts import names

from distromatrix.execute.product import snapshot as module
from distromatrix.execute.product.entries import Listing
from distromatrix.execute.product.snapshot import Snapshot, stored, take
from distromatrix.execute.product.tar import packed
from distromatrix.model import Product

MIB = 1 << 20


@pytest.fixture
def product(tmp_path: Path) -> Path:
    """Holes, zeros that are none, names of many kinds, links of both kinds, all modes."""
    root = tmp_path / "p"
    (root / "d/empty").mkdir(parents=True)
    with (root / "sparse").open("wb") as file:
        for at in (4096, 5 * MIB - 3, 9 * MIB):
            file.seek(at)
            file.write(b"data")
        file.truncate(12 * MIB)
    (root / "zeros").write_bytes(bytes(2 * MIB) + b"x" + bytes(MIB))
    (root / ("n" * 200)).write_text("long")
    (root / "d/ü\n").write_text("letters")
    (root / os.fsdecode(b"d/\xff")).write_text("no letters")
    (root / "d/run").write_text("x")
    (root / "d/run").chmod(0o4755)
    (root / "d/twin").hardlink_to(root / "sparse")
    (root / "d/link").symlink_to("t" * 150)
    (root / "old").write_text("old")
    os.utime(root / "old", ns=(-1_500_000_000, -1_500_000_000))
    (root / "nothing").touch()
    return root


def digest_of_tar(path: Path) -> str:
    """As it was computed before there was an index, and is in files of plans and runs."""
    members: dict[str, tuple[str, ...]] = {}
    with tarfile.open(path, encoding="utf-8", errors="surrogateescape") as tar:
        for member in tar:
            if member.isdir() or ".git" in PurePosixPath(member.name).parts:
                continue
            content = tar.extractfile(member) if member.isreg() else None
            if content is None:
                found = members.get(member.linkname) if member.islnk() else None
                members[member.name] = found or ("link", member.linkname)
                continue
            digest, zeros = hashlib.sha256(), []
            for start in range(0, member.size, MIB):
                block = content.read(MIB)
                if block.strip(b"\0"):
                    digest.update(block)
                else:
                    zeros.append(f"{start}-{start + len(block)}")
            runs = "x" * bool(member.mode & 0o100)
            members[member.name] = (runs, digest.hexdigest(), *zeros)
    listed = json.dumps(sorted(members.items())).encode()
    return "sha256:" + hashlib.sha256(listed).hexdigest()


def test_its_digest_is_that_of_what_is_in_its_tar_file(product: Path, tmp_path: Path) -> None:
    snapshot = take(Product(path=product), tmp_path / "s.tar")
    assert snapshot.digest() == digest_of_tar(snapshot.path)
    assert snapshot.path.stat().st_size < 8 * MIB  # the holes are none of it


def test_the_tar_file_holds_what_lies_there(product: Path, tmp_path: Path) -> None:
    snapshot = take(Product(path=product), tmp_path / "s.tar")
    with tarfile.open(snapshot.path, encoding="utf-8", errors="surrogateescape") as tar:
        found = {member.name.removeprefix("product/"): member for member in tar}
        for name in ("n" * 200, "d/ü\n", os.fsdecode(b"d/\xff"), "old", "zeros", "sparse"):
            content = tar.extractfile(found[name])
            assert content is not None
            assert content.read() == (product / name).read_bytes()
            assert found[name].mtime == pytest.approx((product / name).stat().st_mtime)
    assert found["d/run"].mode == 0o4755
    assert found["d/link"].linkname == "t" * 150
    assert {found[n].linkname for n in ("sparse", "d/twin")} == {"", "product/d/twin"}


def test_a_run_that_goes_on_has_what_was_written_down(product: Path, tmp_path: Path) -> None:
    snapshot = take(Product(path=product), tmp_path / "s.tar")
    again = stored(Product(path=product), tmp_path / "s.tar")
    assert again.digest() == snapshot.digest()
    (product / "old").write_text("changed since")
    assert again.matching(("old",)) == snapshot.matching(("old",)) == (("old", b"old", 0o644),)


def test_what_changes_while_it_is_packed_is_as_it_is_found_then(tmp_path: Path) -> None:
    listing = Listing()
    for name in ("gone", "grown", "same"):
        (tmp_path / name).write_text(name)
        listing.add(tmp_path / name, name)
    (tmp_path / "gone").unlink()
    (tmp_path / "grown").write_text("longer than before")
    (tmp_path / "s.tar").write_bytes(b"".join(packed(listing.entries, str(tmp_path))))
    snapshot = Snapshot(tmp_path, tmp_path / "s.tar", listing.entries)
    assert names(snapshot) == {"grown", "same"}
    assert [e.name for e in listing.entries.values() if not e.content] == ["gone"]
    assert listing.entries["grown"].content == hashlib.sha256(b"longer than before").hexdigest()


def test_a_link_or_a_pipe_that_takes_a_files_place_is_not_followed(tmp_path: Path) -> None:
    listing = Listing()
    for name in ("a", "b"):
        (tmp_path / name).write_text(name)
        listing.add(tmp_path / name, name)
        (tmp_path / name).unlink()
    (tmp_path / "a").symlink_to("/etc/passwd")
    os.mkfifo(tmp_path / "b")
    with pytest.raises(OSError, match="symbolic links"):
        list(packed(listing.entries, str(tmp_path)))
    del listing.entries["a"]
    (tmp_path / "s.tar").write_bytes(b"".join(packed(listing.entries, str(tmp_path))))
    assert names(Snapshot(tmp_path, tmp_path / "s.tar", listing.entries)) == set()


def test_what_is_staged_is_told_where_it_is_big(
    product: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[str] = []
    take(Product(path=product), tmp_path / "s.tar", told.append)
    assert told == []
    monkeypatch.setattr(module, "BIG_BYTES", 1 * MIB)
    take(Product(path=product), tmp_path / "s.tar", told.append)
    assert told == ["staging the product: 9 files, 16 MB"]
