"""What a cell made on another host is no more than plain files below its own folder."""

from __future__ import annotations

import gzip
import tarfile
import tracemalloc
from collections.abc import Iterator
from pathlib import Path

import pytest
from tars import archive, member

from distromatrix.collect.errors import CollectError
from distromatrix.merge.unpack import unpack
from distromatrix.record.folder import RunFolder

CELL = "d/s"
OWN = f"cells/{CELL}"


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[RunFolder]:
    (root := tmp_path / "p").mkdir()
    with RunFolder.create(root) as made:
        yield made


def packed(*members: tuple[tarfile.TarInfo, bytes]) -> bytes:
    return archive(*members, mode="w:gz")


GOOD = member(f"{OWN}/log.txt", b"good")


def files(folder: RunFolder) -> dict[str, bytes]:
    """All files of the run's cells; nothing but files and folders may lie anywhere."""
    found = {}
    for one in folder.path.rglob("*"):
        assert not one.is_symlink()
        assert one.is_dir() or one.is_file()
        if one.is_file() and one.is_relative_to(folder.path / "cells"):
            found[str(one.relative_to(folder.path))] = one.read_bytes()
    assert not list(folder.path.glob("coming-*"))
    return found


def test_its_files_come_in_any_pieces(folder: RunFolder) -> None:
    data = packed(GOOD, member(f"{OWN}/artifacts/a", bytes(300_000)))
    unpack((data[n : n + 7] for n in range(0, len(data), 7)), CELL, folder)
    assert files(folder) == {f"{OWN}/log.txt": b"good", f"{OWN}/artifacts/a": bytes(300_000)}


def test_nothing_comes_of_a_cell_that_left_nothing(folder: RunFolder) -> None:
    unpack([], CELL, folder)
    unpack([b""], CELL, folder)
    assert files(folder) == {}


@pytest.mark.parametrize(
    "bad",
    [
        member(f"{OWN}/up", type=tarfile.SYMTYPE, linkname="../../.."),
        member(f"{OWN}/etc", type=tarfile.SYMTYPE, linkname="/etc"),
        member(f"{OWN}/log2", type=tarfile.SYMTYPE, linkname="log.txt"),
        member(f"{OWN}/hard", type=tarfile.LNKTYPE, linkname="../../../outside"),
        member(f"{OWN}/hard", type=tarfile.LNKTYPE, linkname="/etc/passwd"),
        member(f"{OWN}/hard", type=tarfile.LNKTYPE, linkname="nowhere"),
        member(f"{OWN}/null", type=tarfile.CHRTYPE, devmajor=1, devminor=3),
        member(f"{OWN}/disk", type=tarfile.BLKTYPE, devmajor=8),
        member(f"{OWN}/pipe", type=tarfile.FIFOTYPE),
        member("../outside", b"x"),
        member(f"{OWN}/../../../outside", b"x"),
        member("/outside", b"x"),
        member("cells/d/other/log.txt", b"x"),
        member("journal.jsonl", b"x"),
    ],
    ids=lambda one: f"{one[0].type!r}-{one[0].name}-{one[0].linkname}",
)
def test_what_is_no_plain_file_of_its_own_stays_out(
    folder: RunFolder, bad: tuple[tarfile.TarInfo, bytes]
) -> None:
    before = {one: one.read_bytes() for one in folder.path.iterdir() if one.is_file()}
    try:
        unpack([packed(GOOD, bad, GOOD)], CELL, folder)
        expected = {f"{OWN}/log.txt": b"good"}
    except CollectError:
        expected = {}
    assert files(folder) == expected
    assert not (folder.path.parent / "outside").exists()
    assert {one: one.read_bytes() for one in before} == before


def test_a_link_leads_no_later_file_elsewhere(folder: RunFolder) -> None:
    away = folder.path.parent / "away"
    away.mkdir()
    link = member(f"{OWN}/a", type=tarfile.SYMTYPE, linkname=str(away))
    through = member(f"{OWN}/a/evil", b"x")
    unpack([packed(link, through)], CELL, folder)
    assert list(away.iterdir()) == []
    assert files(folder) == {f"{OWN}/a/evil": b"x"}


def test_programs_and_repositories_are_disarmed(folder: RunFolder) -> None:
    set_id = member(f"{OWN}/tool", b"x", mode=0o6777)
    unpack([packed(set_id, member(f"{OWN}/artifacts/.git/config", b"x"))], CELL, folder)
    assert f"{OWN}/artifacts/.git/config" not in files(folder)
    assert not (folder.cell(CELL) / "tool").stat().st_mode & 0o6000


def test_names_that_no_disk_takes_spoil_this_cell_alone(folder: RunFolder) -> None:
    for name in ("x" * 5000, "/".join(["y" * 200] * 40), "a\0b", "\udcff"):
        try:
            unpack([packed(member(f"{OWN}/{name}", b"x"))], CELL, folder)
        except CollectError as error:
            assert "\n" not in str(error)
    files(folder)


def test_a_bomb_is_stopped_and_takes_no_memory(
    folder: RunFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("distromatrix.merge.unpack.MOST_MADE", 8 << 20)
    head = member(f"{OWN}/zero")[0]
    head.size = 256 << 20
    bomb = gzip.compress(head.tobuf() + bytes(256 << 20))
    tracemalloc.start()
    with pytest.raises(CollectError, match="too big"):
        unpack([bomb], CELL, folder)
    assert tracemalloc.get_traced_memory()[1] < 32 << 20
    tracemalloc.stop()
    assert files(folder) == {}


def test_a_sparse_file_of_terabytes_stays_out(folder: RunFolder) -> None:
    sparse = member(f"{OWN}/holes", b"", type=tarfile.GNUTYPE_SPARSE)
    sparse[0].pax_headers = {"GNU.sparse.major": "1", "GNU.sparse.size": str(4 << 40)}
    with pytest.raises(CollectError):
        unpack([packed(sparse, GOOD)], CELL, folder)
    assert files(folder) == {}


@pytest.mark.parametrize(
    "data",
    [b"no gzip", gzip.compress(b"no tar" * 500), packed(GOOD)[:-30]],
    ids=["no-gzip", "no-tar", "cut-off"],
)
def test_what_is_no_archive_or_cut_off_is_said(folder: RunFolder, data: bytes) -> None:
    with pytest.raises(CollectError):
        unpack([data], CELL, folder)
    assert not list(folder.path.glob("coming-*"))
