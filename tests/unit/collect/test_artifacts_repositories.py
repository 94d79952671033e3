"""Artifacts may hold a repository whose settings are commands: where they come home to, asking
for its state runs none of them."""

from __future__ import annotations

import io
import os
import subprocess
import tarfile
from pathlib import Path

import pytest

from distromatrix.collect.artifacts import COMMANDS, Extracted, disarmed, extract
from distromatrix.merge.untrusted import take_over


def config(ran: Path, tree: str) -> str:
    monitor = f'fsmonitor = "touch {ran}; false"'
    lines = ("repositoryformatversion = 0", "bare = false", f"worktree = {tree}", monitor)
    return "\n\t".join(("[core]", *lines, ""))


def repository(folder: Path, ran: Path, kind: str) -> None:
    """One that git takes for such in that folder, and that has it run something."""
    there = {"bare": folder, "file": folder / "elsewhere"}.get(kind, folder / ".git")
    common = folder / "common" if kind == "common" else there
    for at in (there, common / "objects", common / "refs"):
        at.mkdir(parents=True)
    for name in ("objects", "refs"):
        (common / name / ".keep").touch()
    (there / "HEAD").write_text("ref: refs/heads/main\n")
    (common / "config").write_text(config(ran, "." if kind == "bare" else str(folder)))
    if kind == "common":
        (there / "commondir").write_text("../common\n")
    if kind == "file":
        (folder / ".git").write_text("gitdir: elsewhere\n")


def asked(folder: Path) -> None:
    """What a prompt asks in that folder and those below, wherever a work tree is said to be."""
    for place, _, _ in os.walk(folder):
        for command in (["status"], ["ls-files"], ["diff"]):
            subprocess.run(
                ["git", "-c", "safe.bareRepository=all", "-c", "safe.directory=*", *command],
                cwd=place,
                check=False,
                capture_output=True,
                env={**os.environ, "GIT_CEILING_DIRECTORIES": str(folder.parent)},
            )


def brought(source: Path, home: Path) -> Extracted:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as tar:
        tar.add(source, "out/artifacts")
    return extract([packed.getvalue()], home)


KINDS = ["usual", "bare", "common", "file"]


@pytest.mark.parametrize("below", ["", "a/b"])
@pytest.mark.parametrize("kind", KINDS)
def test_nothing_of_a_repository_that_comes_home_is_run(
    tmp_path: Path, kind: str, below: str
) -> None:
    ran = tmp_path / "ran"
    repository(tmp_path / "left" / below, ran, kind)
    asked(tmp_path / "left")
    assert ran.exists()  # so it is one
    ran.unlink()
    came = brought(tmp_path / "left", tmp_path / "home")
    assert came.refused == came.skipped == ()
    first = Path(below, "HEAD" if kind == "bare" else ".git")
    assert str(first) in came.renamed
    asked(tmp_path / "home")
    assert not ran.exists()


@pytest.mark.parametrize("kind", KINDS)
def test_nor_of_one_in_a_shards_folder(tmp_path: Path, kind: str) -> None:
    ran = tmp_path / "ran"
    repository(tmp_path / "shard/a", ran, kind)
    (tmp_path / "merged").mkdir()
    assert take_over(tmp_path, "shard", lambda: tmp_path / "merged") == 0
    asked(tmp_path / "merged")
    assert not ran.exists()
    assert list((tmp_path / "merged").rglob("_HEAD"))


def test_a_repository_is_renamed_and_told_of_once(tmp_path: Path) -> None:
    for name in (".git", ".GIT", ".hg", "_darcs", ".gitignore", "HEADER", "git", ".github"):
        (tmp_path / f"left/{name}").mkdir(parents=True)
        (tmp_path / f"left/{name}/hgrc").write_text("x")
        (tmp_path / f"left/{name}/link").hardlink_to(tmp_path / f"left/{name}/hgrc")
    came = brought(tmp_path / "left", tmp_path / "home")
    assert set(came.renamed) == {".git", ".GIT", ".hg", "_darcs"}
    assert sorted(p.name for p in (tmp_path / "home/artifacts").iterdir()) == sorted(
        ("_.git", "_.GIT", "_.hg", "__darcs", ".gitignore", "HEADER", "git", ".github")
    )
    assert (tmp_path / "home/artifacts/_.hg/link").read_text() == "x"
    assert came.files == 16


@pytest.mark.parametrize("name", sorted(COMMANDS))
def test_what_is_renamed_is_none_any_more(name: str) -> None:
    for spelt in (name, name.upper(), name.title()):
        assert disarmed(spelt) == f"_{spelt}"
        assert disarmed(disarmed(spelt)) == disarmed(spelt)
