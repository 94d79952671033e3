"""A product's copy holds what its checkout holds, however git, links and disks were used there."""

from __future__ import annotations

import os
import subprocess
import sys
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest
from checkouts import git, names

from distromatrix.errors import InputError
from distromatrix.execute.product.snapshot import Snapshot, take
from distromatrix.execute.product.tar import in_tar
from distromatrix.model import Product


@pytest.fixture
def made(tmp_path: Path) -> Callable[..., Path]:
    """Makes a repository with these files, committed."""

    def make(name: str, **files: str) -> Path:
        folder = tmp_path / name
        folder.mkdir()
        git(folder, "init", "-q")
        for file, content in (files or {"f": "f"}).items():
            (folder / file).write_text(content)
        git(folder, "add", ".")
        git(folder, "commit", "-qm", name)
        git(folder, "tag", "v1.2")
        return folder

    return make


def in_copy(snapshot: Snapshot, out: Path, *command: str) -> str:
    """What git prints in the unpacked copy."""
    out.mkdir()
    subprocess.run(["tar", "-xf", snapshot.path, "-C", out], check=True)
    (out / "home").mkdir()
    done = subprocess.run(
        ["git", "-c", "safe.directory=*", *command],
        cwd=out / "product",
        check=False,
        capture_output=True,
        text=True,
        env={
            "PATH": os.environ["PATH"],
            "HOME": str(out / "home"),
            "GIT_CEILING_DIRECTORIES": str(out),
        },
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize(
    "variables",
    [
        {"GIT_DIR": "{other}/.git", "GIT_INDEX_FILE": "{other}/.git/index"},
        {"GIT_INDEX_FILE": "{other}/.git/index"},
        {"GIT_DIR": "{other}/.git", "GIT_WORK_TREE": "{other}"},
        {"GIT_COMMON_DIR": "{other}/.git", "GIT_PREFIX": "sub/"},
        {
            "GIT_CONFIG_COUNT": "1",
            "GIT_CONFIG_KEY_0": "core.excludesFile",
            "GIT_CONFIG_VALUE_0": "{other}/all",
        },
        {"GIT_CONFIG_PARAMETERS": "'core.excludesFile'='{other}/all'"},
    ],
    ids="+".join,
)
def test_variables_of_a_git_that_called_us_lead_to_no_other_repository(
    made: Callable[..., Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    variables: dict[str, str],
) -> None:
    product, other = (
        made("product", kept="tracked, though ignored"),
        made("other", b="b", all="*\n"),
    )
    (product / ".gitignore").write_text("ignored\nkept\n")
    (product / "ignored").write_text("i")
    (product / "new").write_text("n")
    for name, value in variables.items():
        monkeypatch.setenv(name, value.format(other=other))
    found = names(take(Product(path=product), tmp_path / "s.tar"))
    assert found == {"kept", "new", ".gitignore"}


def test_what_a_repository_names_is_not_run(made: Callable[..., Path], tmp_path: Path) -> None:
    product = made("product")
    git(product, "config", "core.fsmonitor", f"touch {tmp_path}/ran; false")
    take(Product(path=product, git=True), tmp_path / "s.tar")
    assert not (tmp_path / "ran").exists()


def test_a_repository_that_git_cannot_read_is_wrong_input(
    made: Callable[..., Path], tmp_path: Path
) -> None:
    product = made("product")
    (product / ".git/index").write_bytes(b"DIRC nonsense")
    with pytest.raises(InputError, match=r"product: git ls-files: .*index"):
        take(Product(path=product), tmp_path / "s.tar")


def test_borrowed_objects_come_along_from_lender_to_lender(
    made: Callable[..., Path], tmp_path: Path
) -> None:
    origin = made("origin")
    git(tmp_path, "clone", "-q", "--shared", str(origin), "mirror")
    git(tmp_path / "mirror", "commit", "-q", "--allow-empty", "-m", "second")
    git(tmp_path, "clone", "-q", "--shared", str(tmp_path / "mirror"), "product")
    git(tmp_path / "product", "commit", "-q", "--allow-empty", "-m", "third")
    snapshot = take(Product(path=tmp_path / "product", git=True), tmp_path / "s.tar")
    assert snapshot.warnings == ()
    assert not any("alternates" in name for name in names(snapshot))
    origin.rename(tmp_path / "gone")
    (tmp_path / "mirror").rename(tmp_path / "gone too")
    assert in_copy(snapshot, tmp_path / "out", "log", "--format=%s") == "third\nsecond\norigin\n"


def test_objects_that_are_not_there_are_said(made: Callable[..., Path], tmp_path: Path) -> None:
    origin = made("origin")
    git(tmp_path, "clone", "-q", "--shared", str(origin), "product")
    origin.rename(tmp_path / "gone")
    snapshot = take(Product(path=tmp_path / "product", git=True), tmp_path / "s.tar")
    (said,) = snapshot.warnings
    assert str(tmp_path / "origin/.git/objects") in said


def test_a_product_that_is_a_submodule_is_a_repository_of_its_own(
    made: Callable[..., Path], tmp_path: Path
) -> None:
    library, above = made("library"), made("above")
    git(above, "submodule", "add", "-q", str(library), "lib")
    git(above, "commit", "-qm", "lib")
    snapshot = take(Product(path=above / "lib", git=True), tmp_path / "s.tar")
    assert in_copy(snapshot, tmp_path / "out", "describe", "--tags") == "v1.2\n"
    assert in_copy(snapshot, tmp_path / "out2", "status", "--short") == ""


@pytest.mark.parametrize("linked", [False, True])
def test_submodules_keep_their_git(made: Callable[..., Path], tmp_path: Path, linked: bool) -> None:
    library, product = made("library"), made("product")
    git(product, "submodule", "add", "-q", str(library), "sub dir/lib")
    git(product, "commit", "-qm", "lib")
    if linked:
        git(product, "worktree", "add", "-q", "-b", "side", "../side")
        product = tmp_path / "side"
        git(product, "submodule", "--quiet", "update", "--init")
    nested = made("nested")
    nested.rename(product / "nested")
    snapshot = take(Product(path=product, git=True), tmp_path / "s.tar")
    assert in_copy(snapshot, tmp_path / "a", "-C", "sub dir/lib", "describe", "--tags") == "v1.2\n"
    assert in_copy(snapshot, tmp_path / "b", "-C", "nested", "log", "--format=%s") == "nested\n"
    assert in_copy(snapshot, tmp_path / "c", "status", "--short") == "?? nested/\n"
    said = in_copy(snapshot, tmp_path / "d", "submodule", "status")
    assert said.startswith(" ")
    assert not any(name.endswith(".lock") for name in names(snapshot))


def test_a_work_tree_of_a_bare_repository_is_whole(
    made: Callable[..., Path], tmp_path: Path
) -> None:
    git(tmp_path, "clone", "-q", "--bare", str(made("origin")), "bare.git")
    git(tmp_path / "bare.git", "worktree", "add", "-q", "../product")
    (tmp_path / "bare.git/worktrees/product/index.lock").touch()  # as in a hook
    snapshot = take(Product(path=tmp_path / "product", git=True), tmp_path / "s.tar")
    assert in_copy(snapshot, tmp_path / "out", "status", "--short", "--branch") == "## product\n"
    assert ".git/index.lock" not in names(snapshot)


def test_a_git_folder_made_of_links_is_whole(made: Callable[..., Path], tmp_path: Path) -> None:
    origin = made("origin")
    product = tmp_path / "product"
    (product / ".git").mkdir(parents=True)
    for name in ("config", "refs", "objects", "packed-refs", "info"):
        (product / ".git" / name).symlink_to(origin / ".git" / name)
    (product / ".git/HEAD").write_text((origin / ".git/HEAD").read_text())
    git(product, "reset", "-q", "--hard")
    snapshot = take(Product(path=product, git=True), tmp_path / "s.tar")
    origin.rename(tmp_path / "gone")
    assert in_copy(snapshot, tmp_path / "out", "status", "--short") == ""


def test_the_same_commit_is_the_same_copy_under_any_umask(
    made: Callable[..., Path], tmp_path: Path
) -> None:
    origin = made("origin", plain="p", script="s")
    (origin / "sub").mkdir()
    (origin / "sub/deep").write_text("d")
    (origin / "script").chmod(0o755)
    git(origin, "add", ".")
    git(origin, "commit", "-qm", "modes")
    seen = []
    for mask in (0o022, 0o077, 0o002):
        before = os.umask(mask)
        try:
            git(tmp_path, "clone", "-q", str(origin), f"clone{mask}")
            snapshot = take(Product(path=tmp_path / f"clone{mask}"), tmp_path / f"{mask}.tar")
        finally:
            os.umask(before)
        with tarfile.open(snapshot.path) as tar:
            seen.append(({m.name: m.mode for m in tar}, snapshot.digest()))
    assert seen[1:] == seen[:1] * 2
    assert seen[0][0] == {
        "product": 0o755,
        "product/plain": 0o644,
        "product/script": 0o755,
        "product/sub": 0o755,
        "product/sub/deep": 0o644,
    }


def test_where_the_disk_keeps_no_modes_the_index_says_who_may_execute(
    made: Callable[..., Path], tmp_path: Path
) -> None:
    product = made("product", plain="p", script="s")
    git(product, "update-index", "--chmod=+x", "script")
    git(product, "config", "core.fileMode", "false")
    (product / "plain").chmod(0o777)
    (product / "new").write_text("n")
    with tarfile.open(take(Product(path=product), tmp_path / "s.tar").path) as tar:
        modes = {m.name.removeprefix("product/"): m.mode for m in tar if m.isreg()}
    assert modes == {"plain": 0o644, "script": 0o755, "new": 0o644}


def test_a_folder_that_became_a_link_is_a_link_and_nothing_of_what_it_leads_to(
    made: Callable[..., Path], tmp_path: Path
) -> None:
    product = made("product")
    (product / "folder").mkdir()
    (product / "folder/inner").write_text("i")
    git(product, "add", ".")
    git(product, "commit", "-qm", "folder")
    outside = tmp_path / "outside"
    (product / "folder").rename(outside)
    (product / "folder").symlink_to(outside)
    (product / "f").unlink()
    (product / "f").mkdir()  # and a file that became a folder
    (product / "f/new").write_text("n")
    snapshot = take(Product(path=product), tmp_path / "s.tar")
    assert names(snapshot) == {"folder", "f/new"}
    with tarfile.open(snapshot.path) as tar:
        assert tar.getmember("product/folder").issym()


def test_a_folder_of_which_only_deleted_files_are_tracked_is_none_of_the_product(
    made: Callable[..., Path], tmp_path: Path
) -> None:
    product = made("product")
    for name in ("left/inner", "file"):
        (product / name).mkdir(parents=True)
        (product / name / "gone").write_text("g")
    git(product, "add", ".")
    (product / "left/inner/gone").unlink()
    (product / "file/gone").unlink()
    (product / "file").rmdir()
    (product / "file").write_text("now")
    with tarfile.open(take(Product(path=product), tmp_path / "s.tar").path) as tar:
        assert {*tar.getnames()} == {"product", "product/f", "product/file"}


def test_what_stands_in_a_submodules_place_is_as_it_is(
    made: Callable[..., Path], tmp_path: Path
) -> None:
    product = made("product")
    for name in ("link", "file", "folder", "nothing"):
        git(product, "update-index", "--add", "--cacheinfo", f"160000,{'1' * 40},{name}")
    (product / "link").symlink_to("f")
    (product / "file").write_text("x")
    (product / "folder").mkdir()
    snapshot = take(Product(path=product), tmp_path / "s.tar")
    assert names(snapshot) == {"f", "link", "file"}
    (warning,) = snapshot.warnings
    assert warning == (
        "product: folder is a submodule that is not here: `submodule update --init` of git brings "
        "it"
    )
    (product / "folder/own").touch()
    assert not take(Product(path=product), tmp_path / "t.tar").warnings
    with tarfile.open(snapshot.path) as tar:
        assert tar.getmember("product/folder").isdir()
        assert "product/nothing" not in tar.getnames()


def test_both_names_of_a_hard_link_are_files_of_the_product(
    made: Callable[..., Path], tmp_path: Path
) -> None:
    product, copied = made("product", first="same"), made("copied", first="same", second="same")
    (product / "second").hardlink_to(product / "first")
    snapshot = take(Product(path=product), tmp_path / "s.tar")
    found = (("first", b"same", 0o644), ("second", b"same", 0o644))
    assert snapshot.matching(("*",)) == found
    with tarfile.open(snapshot.path) as tar:
        assert tar.getmember("product/second").islnk()
    assert take(Product(path=copied), tmp_path / "t.tar").digest() == snapshot.digest()


def test_a_file_with_holes_takes_no_more_than_it_has(tmp_path: Path) -> None:
    product, dense = tmp_path / "product", tmp_path / "dense"
    product.mkdir()
    for odd in ("ü", "\udce9", "x" * 200):
        with (product / odd).open("wb") as image:
            image.truncate(3 << 20)
    with (product / "disk.img").open("wb") as image:
        image.truncate(3 << 20)
        image.seek(1 << 20)
        image.write(b"data")
        image.truncate(64 << 20)
    snapshot = take(Product(path=product), tmp_path / "s.tar")
    assert snapshot.path.stat().st_size < 1 << 20
    out = tmp_path / "out"
    out.mkdir()
    subprocess.run(["tar", "-xf", snapshot.path, "-C", out], check=True)
    content = (product / "disk.img").read_bytes()
    assert (out / "product/disk.img").read_bytes() == content
    assert names(snapshot) == {p.name for p in (out / "product").iterdir()}
    assert snapshot.matching(("disk.img",)) == (("disk.img", content, 0o644),)
    dense.mkdir()
    (dense / "disk.img").write_bytes(content)
    for odd in ("ü", "\udce9", "x" * 200):
        (dense / odd).write_bytes(bytes(3 << 20))
    filled = take(Product(path=dense), tmp_path / "t.tar")
    assert filled.path.stat().st_size > 64 << 20
    assert filled.digest() == snapshot.digest()
    (dense / "disk.img").write_bytes(content[:-1])
    assert take(Product(path=dense), tmp_path / "u.tar").digest() != snapshot.digest()


def test_names_are_bytes_in_any_locale(made: Callable[..., Path], tmp_path: Path) -> None:
    product = made("product")
    odd = (
        b"new\nline",
        b"latin-\xe9",
        "é".encode(),
        b" trailing ",
        b"-rf",
        b".wh.gone",
        b"x" * 255,
    )
    for name in odd:
        Path(os.fsdecode(os.fsencode(product) + b"/" + name)).write_text("x")
    code = (
        "import sys, pathlib, distromatrix.execute.product.snapshot as s, distromatrix.model as m;"
        "s.take(m.Product(path=pathlib.Path(sys.argv[1])), pathlib.Path(sys.argv[2]))"
    )
    env = {
        **os.environ,
        "LC_ALL": "en_US.ISO-8859-1",
        "PYTHONCOERCECLOCALE": "0",
        "PYTHONUTF8": "0",
    }
    command = [sys.executable, "-c", code, product, tmp_path / "s.tar"]
    subprocess.run(command, check=True, env=env)
    out = tmp_path / "out"
    out.mkdir()
    subprocess.run(["tar", "-xf", tmp_path / "s.tar", "-C", out], check=True)
    assert {os.fsencode(path.name) for path in (out / "product").iterdir()} == {*odd, b"f"}


def test_a_name_is_its_bytes_where_the_locale_is_not_utf8(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "fsencode", lambda name: name.encode("latin-1"))
    assert in_tar("\xc3\xa9").decode() == "\xe9"  # two letters there, one in UTF-8


def test_what_was_built_comes_along_though_git_ignores_it(made: Callable[..., Path]) -> None:
    root = made("p", f="f", **{".gitignore": "dist\n"})
    (root / "dist").mkdir()
    (root / "dist/a.deb").write_text("a")
    (root / "dist/b.rpm").write_text("b")
    snapshot = take(Product(path=root, built=("dist/*.deb",)), root.parent / "p.tar")
    assert names(snapshot) == {".gitignore", "dist/a.deb", "f"}


def test_what_was_not_built_or_is_a_link_is_told(made: Callable[..., Path]) -> None:
    root = made("p", f="f")
    outside = root.parent / "outside"
    outside.mkdir()
    (outside / "a.deb").write_text("a")
    with pytest.raises(InputError, match=r"no file \./dist/\*\.deb, .* build it first"):
        take(Product(path=root, built=("dist/*.deb",)), root.parent / "p.tar")
    (root / "dist").symlink_to(outside)
    with pytest.raises(InputError, match="links are not followed"):
        take(Product(path=root, built=("dist/*.deb",)), root.parent / "p.tar")
    (root / "dist").unlink()
    (root / "dist").mkdir()
    (root / "dist/a.deb").symlink_to(outside / "a.deb")
    with pytest.raises(InputError, match="links are not followed"):
        take(Product(path=root, built=("dist/*.deb",)), root.parent / "p.tar")
