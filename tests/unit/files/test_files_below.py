"""What is opened, made, moved or removed below a folder stays there, by the kernel's resolving
and by our own."""

import errno
import os
import stat
from collections.abc import Callable
from pathlib import Path

import pytest

from distromatrix.files import below
from distromatrix.files.below import Folder


@pytest.fixture(params=["kernel", "walk"], autouse=True)
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    if request.param == "walk":
        monkeypatch.setattr(below, "_kernel_resolves", lambda: False)
    elif not below._kernel_resolves():
        pytest.skip("this kernel has no openat2")
    return str(request.param)


@pytest.fixture
def top(tmp_path: Path) -> Path:
    """A folder `top` beside a folder `outside` with a file `secret`."""
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside/secret").write_text("mine")
    (tmp_path / "top/sub").mkdir(parents=True)
    (tmp_path / "top/sub/file").write_text("here")
    return tmp_path / "top"


def outside(top: Path) -> list[tuple[str, str]]:
    return [(p.name, p.read_text()) for p in sorted((top.parent / "outside").iterdir())]


WAYS_OUT = ["../outside", "sub/../../outside", "ABSOLUTE", "link", "sub/link"]


@pytest.mark.parametrize("way_out", WAYS_OUT)
def test_nothing_leads_outside(top: Path, way_out: str) -> None:
    (top / "link").symlink_to("../outside")
    (top / "sub/link").symlink_to(top.parent / "outside")
    out = way_out.replace("ABSOLUTE", str(top.parent / "outside"))
    before = outside(top)
    with Folder.at(top) as folder:
        attempts: list[Callable[[], object]] = [
            lambda: folder.read(f"{out}/secret"),
            lambda: folder.open(f"{out}/secret", os.O_RDWR),
            lambda: folder.names(out),
            lambda: folder.folder(out),
            lambda: folder.stat(f"{out}/secret"),
            lambda: folder.make(f"{out}/new"),
            lambda: folder.create(f"{out}/secret"),
            lambda: folder.write(f"{out}/secret", b"theirs"),
            lambda: folder.point(f"{out}/secret", "x"),
            lambda: folder.rename(f"{out}/secret", "stolen"),
            lambda: folder.rename("sub/file", f"{out}/secret"),
            lambda: folder.remove(f"{out}/secret"),
        ]
        for attempt in attempts:
            with pytest.raises(OSError) as caught:
                attempt()
            assert caught.value.errno in (errno.EXDEV, errno.ELOOP, errno.ENOTDIR)
    assert outside(top) == before
    assert (top / "sub/file").read_text() == "here"


def test_a_link_that_leads_elsewhere_inside_is_not_followed_either(top: Path) -> None:
    (top / "inner").symlink_to("sub")
    with Folder.at(top) as folder:
        with pytest.raises(OSError, match="none is followed"):
            folder.read("inner/file")
        with pytest.raises(OSError, match="none is followed"):
            folder.folder("inner")


def test_a_link_itself_is_replaced_or_removed(top: Path) -> None:
    for name in ("a", "b", "c", "d", "e"):
        (top / name).symlink_to("../outside/secret")
    (top / "tree").symlink_to("../outside")
    with Folder.at(top) as folder:
        with folder.create("a") as file:
            file.write(b"new")
        folder.write("b", b"new")
        folder.point("c", "sub")
        folder.rename("d", "sub/d")
        folder.remove("e")
        folder.remove("tree")
        assert stat.S_ISLNK(folder.stat("sub/d").st_mode)
        assert folder.names() == ["a", "b", "c", "sub"]
        assert folder.read_bytes("a", 10) == folder.read_bytes("b", 10) == b"new"
    assert (top / "c").readlink() == Path("sub")
    assert outside(top) == [("secret", "mine")]


def test_as_a_root_links_lead_where_they_lead_a_process_in_it(top: Path) -> None:
    (top / "etc").mkdir()
    (top / "etc/passwd").write_text("inside")
    (top / "absolute").symlink_to("/etc/passwd")
    (top / "far").symlink_to("../../../../etc/passwd")
    (top / "sub/chain").symlink_to("../absolute")
    (top / "folder").symlink_to("/etc")
    (top / "sub/deep").mkdir()
    (top / "sub/deep/absolute").symlink_to("/etc/passwd")
    (top / "loop").symlink_to("loop")
    with Folder.at(top, links=True) as folder:
        for name in (
            "absolute",
            "far",
            "sub/chain",
            "sub/deep/absolute",
            "folder/passwd",
            "/etc/passwd",
            "../etc/passwd",
        ):
            assert folder.read_bytes(name, 100) == b"inside", name
        folder.write("folder/new", b"1")
        folder.make("/folder/made/here")
        assert folder.names("folder") == ["made", "new", "passwd"]
        with pytest.raises(OSError, match="ymbolic") as caught:
            folder.read("loop")
        assert caught.value.errno == errno.ELOOP
        with pytest.raises(FileNotFoundError):
            folder.read("/outside/secret")
    assert (top / "etc/new").read_bytes() == b"1"
    assert (top / "etc/made/here").is_dir()


def test_a_link_of_the_kernels_own_is_not_followed(top: Path) -> None:
    secret = os.open(top.parent / "outside/secret", os.O_RDONLY)
    try:
        with Folder.at(Path("/proc/self"), links=True) as folder, pytest.raises(OSError):
            folder.read(f"fd/{secret}")
    finally:
        os.close(secret)


def test_only_regular_files_are_read(top: Path) -> None:
    os.mkfifo(top / "pipe")
    with Folder.at(top) as folder:
        for name in ("pipe", "sub", "."):
            with pytest.raises(OSError, match="not a regular file") as caught:
                folder.read(name)
            assert caught.value.filename == str(top / name)
        with pytest.raises(FileNotFoundError):
            folder.read("nowhere/file")
        with pytest.raises(OSError, match="more than 3 bytes"):
            folder.read_bytes("sub/file", 3)
        assert folder.read_bytes("sub/file", 4) == b"here"
        with pytest.raises(OSError, match="Invalid"):
            folder.read("sub/file\0")


def test_folders_are_made_and_found(top: Path) -> None:
    with Folder.at(top) as folder:
        folder.make("a/b/c")
        folder.make("a/b/c")
        with folder.folder("x/y", make=True) as inner:
            inner.write("z", b"1", 0o600)
            assert inner.path == top / "x/y"
            with pytest.raises(OSError, match="leads outside"):
                inner.names("..")
        with pytest.raises(NotADirectoryError):
            folder.make("sub/file/x")
        assert folder.has("x/y/z")
        assert not folder.has("x/y/z/q")
        assert not folder.has("nowhere/z")
    assert (top / "a/b/c").is_dir()
    assert (top / "x/y/z").stat().st_mode & 0o777 == 0o600


def test_a_file_that_cannot_be_written_leaves_nothing(top: Path) -> None:
    with Folder.at(top) as folder:
        with pytest.raises(IsADirectoryError):
            folder.write("sub", b"1")
        assert folder.names() == ["sub"]


def test_trees_go_however_deep_and_links_in_them_stay_unfollowed(top: Path) -> None:
    here = os.open(top, os.O_RDONLY)
    for _ in range(1100):
        os.mkdir("d", dir_fd=here)
        os.symlink(top.parent / "outside", "link", dir_fd=here)
        below_it = os.open("d", os.O_RDONLY, dir_fd=here)
        os.close(here)
        here = below_it
    os.close(here)
    with Folder.at(top) as folder:
        folder.remove("d")
        folder.remove("d")
        folder.remove("nowhere/at/all")
        assert folder.names() == ["link", "sub"]
    assert outside(top) == [("secret", "mine")]


def test_a_tree_goes_whose_folders_are_closed(top: Path) -> None:
    (top / "sub/closed/inner").mkdir(parents=True)
    (top / "sub/closed/inner").chmod(0)
    (top / "sub/closed").chmod(0o500)
    with Folder.at(top) as folder:
        folder.remove("sub")
        assert folder.names() == []


@pytest.mark.skipif(os.geteuid() != 0, reason="gives files away")
def test_what_is_made_is_the_owners(top: Path) -> None:
    with Folder.at(top, owner=(4711, 4712)) as folder:
        folder.make("a/b")
        folder.write("a/b/file", b"")
        folder.point("a/link", "b")
        folder.folder("c/d", make=True).close()
        for name in ("a", "a/b", "a/b/file", "a/link", "c", "c/d"):
            found = folder.stat(name)
            assert (found.st_uid, found.st_gid) == (4711, 4712), name
        assert folder.stat("sub").st_uid == 0
