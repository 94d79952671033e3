"""What is left of a hostile tar stream that is handed on."""

import io
import tarfile
from collections.abc import Iterator

import pytest

from distromatrix.collect.errors import CollectError
from distromatrix.collect.plain_tar import plain_tar


def tar_of(*members: tarfile.TarInfo, content: bytes = b"x") -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for member in members:
            member.size = len(content) if member.isreg() else 0
            tar.addfile(member, io.BytesIO(content) if member.isreg() else None)
    return buffer.getvalue()


def member(name: str, kind: bytes = tarfile.REGTYPE, **more: object) -> tarfile.TarInfo:
    made = tarfile.TarInfo(name)
    made.type = kind
    for key, value in more.items():
        setattr(made, key, value)
    return made


def left(tar: bytes, limit: int = 1 << 20) -> list[tarfile.TarInfo]:
    out = b"".join(plain_tar(pieces(tar), limit))
    with tarfile.open(fileobj=io.BytesIO(out)) as found:
        for one in found.getmembers():
            assert not one.isreg() or found.extractfile(one).read() == b"x"  # type: ignore[union-attr]
        return found.getmembers()


def pieces(data: bytes) -> Iterator[bytes]:
    yield from (data[at : at + 700] for at in range(0, len(data), 700))


def test_files_folders_and_links_stay_with_their_owners() -> None:
    long = "./" + "a/" * 100 + "f"
    given = (
        member(".", tarfile.DIRTYPE, mode=0o700, uid=7, gid=8),
        member(long, uid=7, gid=8, mtime=5),
        member("./link", tarfile.SYMTYPE, linkname="../x"),
        member("./hard", tarfile.LNKTYPE, linkname=long),
    )
    found = left(tar_of(*given))
    assert [(one.name, one.type) for one in found] == [
        (".", tarfile.DIRTYPE),
        (long, tarfile.REGTYPE),
        ("./link", tarfile.SYMTYPE),
        ("./hard", tarfile.LNKTYPE),
    ]
    assert [(one.mode, one.uid, one.gid) for one in found[:2]] == [(0o700, 7, 8), (0o644, 7, 8)]
    assert found[1].mtime == 5


@pytest.mark.parametrize(
    "hostile",
    [
        member("/etc/passwd"),
        member("a/../../b"),
        member("disk", tarfile.BLKTYPE, devmajor=8),
        member("pipe", tarfile.FIFOTYPE),
        member("hard", tarfile.LNKTYPE, linkname="/etc/passwd"),
        member("hard", tarfile.LNKTYPE, linkname="../x"),
    ],
    ids=lambda one: one.name + one.linkname,
)
def test_what_leads_outside_or_is_no_file_is_left_out(hostile: tarfile.TarInfo) -> None:
    assert [one.name for one in left(tar_of(member("a"), hostile, member("b")))] == ["a", "b"]


def test_no_file_stays_another_users_program() -> None:
    assert left(tar_of(member("a", mode=0o6755)))[0].mode == 0o755


@pytest.mark.parametrize(
    "tar", [b"", b"nonsense" * 200, tar_of(member("a"))[:600], tar_of(member("a"))[:1024]]
)
def test_what_is_cut_off_or_no_tar_is_told(tar: bytes) -> None:
    with pytest.raises(CollectError):
        left(tar)


def test_so_many_bytes_and_no_more() -> None:
    tar = tar_of(*(member(str(n)) for n in range(10)))
    assert len(left(tar, 10 * 513)) == 10
    with pytest.raises(CollectError, match="too big"):
        left(tar, 10 * 513 - 1)
    endless = member("a")
    endless.size = 1 << 40
    with pytest.raises(CollectError, match="too big"):
        left(endless.tobuf())
