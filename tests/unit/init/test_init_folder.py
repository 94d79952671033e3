"""What `init` looks at of a folder, however many files there are."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from distromatrix.init import folder as folders
from distromatrix.init.folder import ScannedFolder
from made_products import make_product


@pytest.fixture(autouse=True)
def few(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(folders, "MAX_FILES", 20)
    monkeypatch.setattr(folders, "MAX_IN_FOLDER", 8)


def test_a_folder_of_very_many_files_hides_none_beside_it(tmp_path: Path) -> None:
    many = {f"data/{number}": "" for number in range(50)}
    make_product(tmp_path, {**many, "Makefile": "check:\n\ttrue\n", "tests/test_a.py": ""})
    found = ScannedFolder(tmp_path)
    assert {"Makefile", "tests/test_a.py"} < set(found.files)
    assert len([path for path in found.files if path.startswith("data/")]) == 8
    assert found.warnings == ["too many files, in data and perhaps others: not all were looked at"]


def test_what_lies_near_the_top_is_seen_first_and_no_more_than_the_most(tmp_path: Path) -> None:
    deep = {f"{at}/{sub}/{name}": "" for at in "abc" for sub in "de" for name in "fgh"}
    make_product(tmp_path, {**deep, "z/test_z.py": ""})
    found = ScannedFolder(tmp_path)
    assert "z/test_z.py" in found.files
    assert len(found.files) < 20
    assert len(found.warnings) == 1


def test_very_many_folders_are_not_all_entered(tmp_path: Path) -> None:
    for number in range(50):
        (tmp_path / f"{number}/folder").mkdir(parents=True)
    found = ScannedFolder(tmp_path)
    assert found.files == ()
    assert found.warnings == [
        "too many files, in this folder and perhaps others: not all were looked at"
    ]


def test_as_many_as_there_may_be_is_not_too_many(tmp_path: Path) -> None:
    files = {f"{at}/{name}": "" for at in "ab" for name in "cdefghij"} | {"k": "", "l": ""}
    make_product(tmp_path, files)
    found = ScannedFolder(tmp_path)
    assert (len(found.files), found.warnings) == (18, [])


@contextmanager
def nobody() -> Iterator[None]:
    """Root may read everything, and is another user meanwhile."""
    root = os.geteuid() == 0
    if root:
        os.seteuid(65534)
    try:
        yield
    finally:
        if root:
            os.seteuid(0)


@pytest.fixture
def seen_by_all() -> Iterator[Path]:
    """A folder below one that everyone may enter, which pytest's own is not."""
    with tempfile.TemporaryDirectory(dir="/tmp") as name:
        Path(name).chmod(0o755)
        yield Path(name)


def test_folders_that_may_not_be_read_are_one_warning(seen_by_all: Path) -> None:
    make_product(seen_by_all, {"Makefile": ""})
    for name in "abcde":
        (seen_by_all / name).mkdir(0o000)
    with nobody():
        found = ScannedFolder(seen_by_all)
        assert found.files == ("Makefile",)
    denied = "Permission denied"
    assert found.warnings == [
        f"cannot be read: a ({denied}), b ({denied}), c ({denied}) and 2 more"
    ]


def test_links_lead_nowhere(tmp_path: Path) -> None:
    make_product(tmp_path / "outside", {"tests/test_a.py": ""})
    root = make_product(tmp_path / "product", {"a": ""})
    (root / "out").symlink_to(tmp_path / "outside")
    (root / "loop").symlink_to(root)
    assert ScannedFolder(root).files == ("a", "loop", "out")
