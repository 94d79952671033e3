"""What goes into a product's snapshot, and what does not."""

from __future__ import annotations

import os
import subprocess
import tarfile
from pathlib import Path

import pytest
from checkouts import git, names

from distromatrix.errors import InputError
from distromatrix.execute.product.snapshot import take
from distromatrix.model import Product


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    product = tmp_path / "product"
    product.mkdir()
    git(product, "init", "-q")
    (product / "kept.txt").write_text("committed")
    (product / "gone.txt").write_text("x")
    (product / ".gitignore").write_text("*.log\n.distromatrix/\n")
    git(product, "add", ".")
    git(product, "commit", "-qm", "x")
    return product


def test_a_work_tree_gives_tracked_files_as_they_are_now_and_untracked_ones(
    repository: Path, tmp_path: Path
) -> None:
    (repository / "kept.txt").write_text("edited")
    (repository / "gone.txt").unlink()
    (repository / "new.txt").write_text("n")
    (repository / "noise.log").write_text("l")
    snapshot = take(Product(path=repository), tmp_path / "s.tar")
    assert names(snapshot) == {"kept.txt", ".gitignore", "new.txt"}
    assert snapshot.matching(("kept*",)) == (("kept.txt", b"edited", 0o644),)


def test_git_comes_along_only_when_asked(repository: Path, tmp_path: Path) -> None:
    assert not any(
        n.startswith(".git/") for n in names(take(Product(path=repository), tmp_path / "a.tar"))
    )
    assert ".git/HEAD" in names(take(Product(path=repository, git=True), tmp_path / "b.tar"))


def test_git_of_a_linked_work_tree_is_whole(repository: Path, tmp_path: Path) -> None:
    git(repository, "worktree", "add", "-q", "-b", "side", "../side")
    snapshot = take(Product(path=tmp_path / "side", git=True), tmp_path / "s.tar")
    out = tmp_path / "out"
    out.mkdir()
    subprocess.run(["tar", "-xf", snapshot.path, "-C", out], check=True)
    shown = subprocess.run(
        ["git", "-c", "safe.directory=*", "status", "--short", "--branch"],
        cwd=out / "product",
        capture_output=True,
        text=True,
        check=True,
    )
    assert shown.stdout == "## side\n"


def test_submodules_come_along(repository: Path, tmp_path: Path) -> None:
    inner = tmp_path / "inner"
    inner.mkdir()
    git(inner, "init", "-q")
    (inner / "f").write_text("f")
    git(inner, "add", ".")
    git(inner, "commit", "-qm", "x")
    git(repository, "submodule", "add", "-q", str(inner), "sub")
    assert "sub/f" in names(take(Product(path=repository), tmp_path / "s.tar"))


def test_elsewhere_the_whole_folder_is_taken_without_our_own(tmp_path: Path) -> None:
    product = tmp_path / "p"
    (product / "empty").mkdir(parents=True)
    (product / "a").write_text("a")
    (product / ".distromatrix/runs").mkdir(parents=True)
    (product / ".distromatrix/runs/x").write_text("x")
    snapshot = take(Product(path=product), tmp_path / "s.tar")
    assert names(snapshot) == {"a"}
    with tarfile.open(snapshot.path) as tar:
        assert "product/empty" in tar.getnames()


def test_everything_in_it_is_roots_and_keeps_its_mode(tmp_path: Path) -> None:
    product = tmp_path / "p"
    product.mkdir()
    script = product / "run.sh"
    script.write_text("x")
    script.chmod(0o755)
    with tarfile.open(take(Product(path=product), tmp_path / "s.tar").path) as tar:
        member = tar.getmember("product/run.sh")
    assert (member.uid, member.gid, member.mode) == (0, 0, 0o755)


def test_a_link_out_of_the_tree_is_kept_as_a_link_and_said(tmp_path: Path) -> None:
    product = tmp_path / "p"
    product.mkdir()
    (product / "out").symlink_to("../secret")
    (product / "in").symlink_to("out")
    snapshot = take(Product(path=product), tmp_path / "s.tar")
    assert len(snapshot.warnings) == 1
    assert "out points outside the product" in snapshot.warnings[0]
    with tarfile.open(snapshot.path) as tar:
        assert tar.getmember("product/out").issym()


def test_sockets_and_pipes_are_left_out_and_said(tmp_path: Path) -> None:
    product = tmp_path / "p"
    product.mkdir()
    os.mkfifo(product / "pipe")
    snapshot = take(Product(path=product), tmp_path / "s.tar")
    assert names(snapshot) == set()
    assert "pipe is not a file" in snapshot.warnings[0]


def test_git_true_where_there_is_no_git_is_wrong_input(tmp_path: Path) -> None:
    product = tmp_path / "p"
    product.mkdir()
    with pytest.raises(InputError, match=r"there is no \.git"):
        take(Product(path=product, git=True), tmp_path / "s.tar")


@pytest.mark.parametrize(
    ("glob", "hits"),
    [
        ("*.txt", {"a.txt"}),
        ("**/*.txt", {"a.txt", "d/b.txt", "d/e/c.txt"}),
        ("d/**", {"d/b.txt", "d/e/c.txt"}),
        ("d/?.txt", {"d/b.txt"}),
        ("** !d/**", {"a.txt"}),
    ],
)
def test_globs_go_by_segment(tmp_path: Path, glob: str, hits: set[str]) -> None:
    product = tmp_path / "p"
    (product / "d/e").mkdir(parents=True)
    for name in ("a.txt", "d/b.txt", "d/e/c.txt"):
        (product / name).write_text(name)
    snapshot = take(Product(path=product), tmp_path / "s.tar")
    assert {name for name, _, _ in snapshot.matching(tuple(glob.split()))} == hits


def test_its_digest_is_of_what_is_tested_wherever_that_lies(tmp_path: Path) -> None:
    def digest(name: str, *, content: str = "a", executable: bool = False, more: str = "") -> str:
        root = tmp_path / name
        (root / ".git").mkdir(parents=True)
        (root / ".git/HEAD").write_text(name)
        (root / "src").mkdir()
        (root / "src/a.py").write_text(content)
        (root / "src/a.py").chmod(0o755 if executable else 0o644)
        if more:
            (root / more).symlink_to("src")
        return take(Product(path=root, git=False), tmp_path / f"{name}.tar").digest()

    first = digest("one")
    assert digest("two") == first
    others = (digest("b", content="b"), digest("x", executable=True), digest("l", more="link"))
    assert len({first, *others}) == 4
