"""Archives from machines are unpacked without leaving the destination."""

import os
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from tars import archive, member

from distromatrix.collect.artifacts import Aside, extract
from distromatrix.collect.errors import CollectError

BOTH = ("junit.xml", "artifacts")


def pieces(data: bytes, size: int = 700) -> Iterator[bytes]:
    return (data[at : at + size] for at in range(0, len(data), size))


def files(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def test_what_the_suite_left_comes_back(tmp_path: Path) -> None:
    data = archive(
        member("out", type=tarfile.DIRTYPE),
        member("out/junit.xml", b"<testsuite/>"),
        member("out/artifacts", type=tarfile.DIRTYPE),
        member("out/artifacts/empty", type=tarfile.DIRTYPE),
        member("out/artifacts/a/b.txt", b"b" * 5000, mode=0o6777),
        member("out/artifacts/" + "long" * 60, b"pax"),
        member("out/artifacts/hard", type=tarfile.LNKTYPE, linkname="out/artifacts/a/b.txt"),
    )
    got = extract(pieces(data), tmp_path, only=BOTH)
    assert files(tmp_path) == {
        "junit.xml": b"<testsuite/>",
        "artifacts/a/b.txt": b"b" * 5000,
        "artifacts/" + "long" * 60: b"pax",
        "artifacts/hard": b"b" * 5000,
    }
    assert (tmp_path / "artifacts/empty").is_dir()
    assert (got.files, got.bytes, got.refused) == (4, 10_015, ())
    assert (tmp_path / "artifacts/a/b.txt").stat().st_mode & 0o7777 == 0o755
    assert (tmp_path / "artifacts/hard").stat().st_nlink == 1


@pytest.mark.parametrize(
    ("info", "reason"),
    [
        (member("out/artifacts/../../../evil", b"x"), "leads outside"),
        (member("../evil", b"x"), "leads outside"),
        (member("/evil", b"x"), "absolute"),
        (member("out/junit.xml", type=tarfile.SYMTYPE, linkname="artifacts/good"), "link"),
        (member("out/junit.xml", type=tarfile.FIFOTYPE), "pipe"),
        (member("out/artifacts", type=tarfile.SYMTYPE, linkname="/etc"), "link"),
        (member("out/artifacts/h", type=tarfile.LNKTYPE, linkname="/etc/passwd"), "absolute"),
        (member("out/artifacts/h", type=tarfile.LNKTYPE, linkname="out/log.txt"), "hard link"),
        (member("out/artifacts/h", type=tarfile.LNKTYPE, linkname="out/artifacts/no"), "No such"),
        (member("out/artifacts/dev", type=tarfile.CHRTYPE, devmajor=1, devminor=3), "device"),
        (member("out/artifacts/sda", type=tarfile.BLKTYPE), "device"),
        (member("out/artifacts/" + "d/" * 100 + "f", b"x"), "folders"),
        (member("out/artifacts/" + "n" * 300, b"x"), "too long"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_is_hostile_is_refused_and_reported(
    tmp_path: Path, info: tuple[tarfile.TarInfo, bytes], reason: str
) -> None:
    dest = tmp_path / "cell"
    data = archive(info, member("out/artifacts/good", b"good"))
    got = extract(pieces(data), dest, only=BOTH)
    (refused,) = got.refused
    assert reason in refused
    assert files(tmp_path) == {"cell/artifacts/good": b"good"}
    assert not any(p.is_symlink() for p in tmp_path.rglob("*"))


def test_our_own_files_beside_the_artifacts_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "log.txt").write_bytes(b"the log")
    data = archive(member("out/log.txt", b"forged"), member("other/junit.xml", b"forged"))
    extract(pieces(data), tmp_path)
    assert files(tmp_path) == {"log.txt": b"the log"}


def test_nothing_is_written_through_links_that_are_there(tmp_path: Path) -> None:
    outside, dest = tmp_path / "outside", tmp_path / "dest"
    (outside / "sub").mkdir(parents=True)
    (outside / "file").write_bytes(b"mine")
    (dest / "artifacts").mkdir(parents=True)
    (dest / "artifacts/file").symlink_to(outside / "file")
    (dest / "artifacts/sub").symlink_to(outside / "sub")
    data = archive(member("out/artifacts/file", b"new"), member("out/artifacts/sub/x", b"new"))
    got = extract(pieces(data), dest, only=BOTH)
    assert files(outside) == {"file": b"mine"}
    assert (dest / "artifacts/file").read_bytes() == b"new"
    assert not (dest / "artifacts/file").is_symlink()
    assert len(got.refused) == 1


@pytest.mark.parametrize(
    "target", ["lib.so.1", "/distromatrix/out/artifacts/x", "/etc/passwd", "../x"]
)
def test_a_link_among_the_artifacts_stays_behind_wherever_it_leads(
    tmp_path: Path, target: str
) -> None:
    dest = tmp_path / "dest"
    data = archive(
        member("out/artifacts/sub/l", type=tarfile.SYMTYPE, linkname=target),
        member("out/artifacts/good", b"good"),
    )
    got = extract(pieces(data), dest, only=BOTH)
    assert (got.refused, got.skipped) == ((), ("sub/l (a symbolic link)",))
    assert files(tmp_path) == {"dest/artifacts/good": b"good"}
    assert not any(p.is_symlink() for p in tmp_path.rglob("*"))


def test_a_pipe_among_the_artifacts_stays_behind(tmp_path: Path) -> None:
    pipe = member("out/artifacts/control", type=tarfile.FIFOTYPE)
    got = extract(pieces(archive(pipe)), tmp_path)
    assert (got.refused, got.skipped) == ((), ("control (a pipe)",))
    assert not (tmp_path / "artifacts/control").exists()


def test_a_link_cannot_lead_a_later_member_outside(tmp_path: Path) -> None:
    dest = tmp_path / "dest"
    data = archive(
        member("out/artifacts/up", type=tarfile.SYMTYPE, linkname="../.."),
        member("out/artifacts/up/evil", b"x"),
    )
    extract(pieces(data), dest)
    assert files(tmp_path) == {"dest/artifacts/up/evil": b"x"}


def test_too_many_bytes_end_the_extraction_and_say_so(tmp_path: Path) -> None:
    data = archive(*(member(f"out/artifacts/{n}", b"x" * 1000) for n in range(10)))
    got = extract(pieces(data), tmp_path, limit_bytes=3500)
    assert got.bytes <= 3500
    assert "the rest was left out" in got.refused[0]


def test_too_many_files_end_the_extraction_and_say_so(tmp_path: Path) -> None:
    data = archive(*(member(f"out/artifacts/{n}") for n in range(10)))
    got = extract(pieces(data), tmp_path, limit_files=5)
    assert got.files == 5
    assert "more than 5 files" in got.refused[0]


@pytest.mark.parametrize("cut", [0, 100, 512, 700, 2000, 3584, 3600, 4096])
def test_an_archive_that_is_cut_off_or_none_is_unreadable(tmp_path: Path, cut: int) -> None:
    data = archive(member("out/artifacts/a", b"x" * 3000), member("out/artifacts/b"))[:cut]
    with pytest.raises(CollectError, match="unreadable"):
        extract(pieces(data), tmp_path)
    with pytest.raises(CollectError, match="unreadable"):
        extract(pieces(b"no archive " * 500), tmp_path)


def test_a_header_that_claims_to_be_huge_is_not_read_into_memory(tmp_path: Path) -> None:
    header = tarfile.TarInfo("h")
    header.type, header.size = tarfile.XHDTYPE, 1024**3
    read = 0

    def endless() -> Iterator[bytes]:
        nonlocal read
        yield header.tobuf()
        while True:
            read += 65536
            yield b"x" * 65536

    with pytest.raises(CollectError, match="header of it is too big"):
        extract(endless(), tmp_path)
    assert read < 16 * 1024**2


def test_a_fault_of_the_source_is_not_blamed_on_the_archive(tmp_path: Path) -> None:
    def breaking() -> Iterator[bytes]:
        yield archive(member("out/artifacts/a", b"x" * 100_000))[:5000]
        raise ConnectionResetError("the engine went away")

    with pytest.raises(ConnectionResetError):
        extract(breaking(), tmp_path)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files to another user")
def test_under_sudo_the_files_belong_to_the_caller(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SUDO_UID", "1234")
    monkeypatch.setenv("SUDO_GID", "2345")
    extract(pieces(archive(member("out/artifacts/d/f", b"x", uid=0))), tmp_path)
    for path in (tmp_path / "artifacts", tmp_path / "artifacts/d/f"):
        assert (path.stat().st_uid, path.stat().st_gid) == (1234, 2345)


def test_names_that_are_no_utf8_and_control_characters_survive(tmp_path: Path) -> None:
    data = archive(member("out/artifacts/\udcff\x1b", b"x"), member("out/artifacts/\x1b/../x"))
    got = extract(pieces(data), tmp_path, only=BOTH)
    assert [p.name for p in (tmp_path / "artifacts").iterdir()] == ["\udcff\x1b"]
    assert "\x1b" not in got.refused[0]


def test_a_full_disk_is_the_infrastructures_fault(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from distromatrix.errors import InfrastructureError

    def full(*_: object) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "write", full)
    with pytest.raises(InfrastructureError, match="disk full"):
        extract(pieces(archive(member("out/artifacts/f", b"x"))), tmp_path)


def test_what_is_to_go_aside_is_never_below_the_rest(tmp_path: Path) -> None:
    (aside := tmp_path / "aside").mkdir()
    data = archive(
        member("out/artifacts/a", b"a"),
        member("out/junit.xml", type=tarfile.LNKTYPE, linkname="out/artifacts/a"),
        member("out/junit/deep/b.xml", b"b"),
        member("out/junit/link.xml", type=tarfile.SYMTYPE, linkname="deep/b.xml"),
        member("out/junit/pipe", type=tarfile.FIFOTYPE),
        member("out/other", b"o"),
    )
    names = ("junit.xml", "junit")
    got = extract(
        pieces(data), tmp_path / "dest", aside=Aside(names=names, dest=aside, limit_bytes=2)
    )
    assert files(tmp_path / "dest") == {"artifacts/a": b"a"}
    assert files(aside) == {"junit.xml": b"a", "junit/deep/b.xml": b"b"}
    assert got.refused == ("out/junit/link.xml: a symbolic link", "out/junit/pipe: a pipe")
    extracted = extract(
        pieces(data), tmp_path / "again", aside=Aside(names=names, dest=aside, limit_bytes=1)
    )
    assert extracted.refused == ("the reports are bigger than 0 MiB: the rest was left out",)
