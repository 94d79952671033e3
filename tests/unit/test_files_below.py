"""What is opened below a folder lies there, whoever filled it: with openat2(2) and without."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from distromatrix.files import below


@pytest.fixture(params=["kernel", "walk"])
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    if request.param == "walk":

        def absent(*_: object) -> int:
            raise OSError(errno.ENOSYS, os.strerror(errno.ENOSYS))

        monkeypatch.setattr(below, "_openat2", absent)


@pytest.fixture
def folder(tmp_path: Path, way: None) -> Iterator[int]:
    """One with links of all kinds; beside it lies a file that is not to be reached."""
    (tmp_path / "secret").write_text("secret")
    inside = tmp_path / "inside"
    (inside / "etc/deep").mkdir(parents=True)
    (inside / "etc/passwd").write_text("ours")
    (inside / "secret").write_text("inner")
    (inside / "absolute").symlink_to("/etc/passwd")
    (inside / "etc/up").symlink_to("../../../../secret")
    (inside / "etc/deep/usr").symlink_to("../..")
    (inside / "out").symlink_to(tmp_path)
    (inside / "loop").symlink_to("loop")
    (inside / "magic").symlink_to("/proc/self/root/etc/passwd")
    with below.held(inside) as descriptor:
        yield descriptor


def read(descriptor: int) -> str:
    with os.fdopen(descriptor) as file:
        return file.read()


def test_what_lies_below_is_opened(folder: int) -> None:
    assert read(below.open_below(folder, "etc/passwd")) == "ours"
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL
    with os.fdopen(below.open_below(folder, "etc/new", flags, 0o600), "w") as file:
        file.write("new")
    assert read(below.open_below(folder, "etc/new")) == "new"


@pytest.mark.parametrize(
    "path",
    ["absolute", "etc/up", "out/secret", "../secret", "/etc/passwd", "etc/../../secret", "loop"],
)
@pytest.mark.parametrize("flags", [os.O_RDONLY, os.O_WRONLY | os.O_CREAT | os.O_TRUNC])
def test_nothing_else_is_opened_or_written(
    folder: int, tmp_path: Path, path: str, flags: int
) -> None:
    with pytest.raises(OSError):
        below.open_below(folder, path, flags)
    assert (tmp_path / "secret").read_text() == "secret"


@pytest.mark.parametrize(
    ("path", "said"),
    [
        ("absolute", "ours"),
        ("/etc/passwd", "ours"),
        ("../../etc/passwd", "ours"),
        ("etc/up", "inner"),
        ("etc/deep/usr/etc/passwd", "ours"),
    ],
)
def test_links_lead_where_they_lead_in_that_root(folder: int, path: str, said: str) -> None:
    assert read(below.open_in_root(folder, path)) == said


@pytest.mark.parametrize("path", ["out/secret", "loop", "magic", "nothing"])
def test_no_link_leads_out_of_its_root(folder: int, path: str) -> None:
    with pytest.raises(OSError):
        below.open_in_root(folder, path)


def test_a_folder_that_is_a_link_is_not_held(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(tmp_path)
    with pytest.raises(OSError), below.held(tmp_path / "link"):
        pass


def test_a_folder_is_made_or_taken_but_no_link(folder: int, tmp_path: Path) -> None:
    for _ in range(2):
        os.close(below.make_folder(folder, "made"))
    with pytest.raises(OSError):
        below.make_folder(folder, "out")


def test_links_are_removed_and_not_what_they_lead_to(folder: int, tmp_path: Path) -> None:
    for name in ("out", "etc", "secret", "nothing"):
        below.remove_below(folder, name)
    assert (tmp_path / "secret").read_text() == "secret"
    assert sorted(p.name for p in (tmp_path / "inside").iterdir()) == ["absolute", "loop", "magic"]
