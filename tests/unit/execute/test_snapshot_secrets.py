"""What CI and programs leave in a `.git` that is secret does not go into the cells with it."""

from __future__ import annotations

import subprocess
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from checkouts import git

from distromatrix.execute.product.git_config import without_passwords, without_secrets
from distromatrix.execute.product.snapshot import take
from distromatrix.model import Product

TOKEN = "ghs_0123456789abcdef"
SETTINGS = {
    "http.https://github.com/.extraheader": f"AUTHORIZATION: basic {TOKEN}",
    "http.proxy": f"http://user:{TOKEN}@proxy:8080",
    "credential.helper": f"!f() {{ echo password={TOKEN}; }}; f",
    f"url.https://x-access-token:{TOKEN}@github.com/.insteadOf": "https://github.com/",
    "remote.origin.url": f"https://x-access-token:{TOKEN}@github.com/o/r",
    "remote.origin.pushurl": f"https://{TOKEN}@github.com/o/r",
    "remote.origin.proxy": f"http://user:{TOKEN}@proxy",
    "remote.backup.url": f"ssh://git:{TOKEN}@example.org/r",
    "submodule.sub.url": f"HTTPS://a:{TOKEN}@w@example.org/sub",
    "branch.main.remote": f"https://oauth2:{TOKEN}@gitlab.com/o/r",
    "core.sshCommand": f"sshpass -p {TOKEN} ssh",
    "sendemail.smtpPass": TOKEN,
    "some.tool.token": TOKEN,
}


@pytest.fixture
def product(tmp_path: Path) -> Path:
    sub, folder = tmp_path / "sub", tmp_path / "product"
    for one in (sub, folder):
        one.mkdir()
        git(one, "init", "-q")
        (one / "f").write_text("f")
        git(one, "add", ".")
        git(one, "commit", "-qm", "x")
    git(folder, "submodule", "add", "-q", str(sub), "sub")
    for one in (folder, folder / "sub"):
        for key, value in SETTINGS.items():
            git(one, "config", key, value)
        git(one, "config", "extensions.worktreeConfig", "true")
        git(one, "config", "--worktree", "http.extraheader", TOKEN)
    (folder / ".git/FETCH_HEAD").write_text(f"1 branch 'm' of https://a:{TOKEN}@example.org/r\n")
    (folder / ".git/remotes").mkdir(exist_ok=True)
    (folder / ".git/remotes/old").write_text(f"URL: https://a:{TOKEN}@example.org/r\n")
    (folder / ".git/credentials").write_text(f"https://a:{TOKEN}@example.org\n")
    with (folder / ".git/logs/HEAD").open("a") as log:
        log.write(f"0 0 a <a> 1 +0000\tclone: from https://a:{TOKEN}@example.org/r\n")
    return folder


def contents(path: Path) -> Iterator[tuple[str, bytes]]:
    with tarfile.open(path) as tar:
        for member in tar:
            file = tar.extractfile(member) if member.isreg() else None
            if file is not None:
                yield member.name, file.read()


def test_no_token_goes_into_the_cells(product: Path, tmp_path: Path) -> None:
    take(Product(path=product, git=True), tmp_path / "s.tar")
    found = dict(contents(tmp_path / "s.tar"))
    assert "product/.git/config" in found
    assert "product/sub/.git/config" in found
    assert [name for name, content in found.items() if TOKEN.encode() in content] == []


def test_git_works_in_the_copy_and_knows_where_it_came_from(product: Path, tmp_path: Path) -> None:
    git(product, "config", "user.name", 'A "quoted" \\ name\twith\nall; #of it')
    git(product, "config", 'filter.a b]"c\\.d.clean', "cat")
    git(product, "config", "--add", "remote.origin.fetch", "+refs/heads/*:refs/remotes/origin/*")
    git(product, "config", "--add", "remote.origin.fetch", "+refs/tags/*:refs/tags/*")
    with (product / ".git/config").open("a") as file:
        file.write("[core]\n\tpreferSymlinkRefs\n")
    git(product, "branch", "config")
    take(Product(path=product, git=True), tmp_path / "s.tar")
    copy = tmp_path / "copy"
    copy.mkdir()
    subprocess.run(["tar", "-xf", tmp_path / "s.tar", "-C", copy], check=True)

    def said(folder: str, *args: str) -> bytes:
        command = ["git", "-c", "safe.directory=*", "-C", str(copy / folder), *args]
        return subprocess.run(command, check=True, capture_output=True).stdout

    def get(name: str) -> bytes:
        return said("product", "config", "--local", "--null", "--get-all", name)

    assert get("remote.origin.url") == b"https://github.com/o/r\0"
    assert get("remote.backup.url") == b"ssh://git@example.org/r\0"
    assert get("submodule.sub.url") == b"HTTPS://example.org/sub\0"
    assert get("remote.origin.fetch").count(b"\0") == 2
    assert get("user.name") == b'A "quoted" \\ name\twith\nall; #of it\0'
    assert get('filter.a b]"c\\.d.clean') == b"cat\0"
    assert said("product", "config", "--type=bool", "core.preferSymlinkRefs") == b"true\n"
    assert b"config" in said("product", "branch", "--list")
    for folder in ("product", "product/sub"):
        assert said(folder, "log", "--format=%s") == b"x\n"
        assert said(folder, "fsck") == b""


def test_a_repository_in_a_folder_that_git_does_not_know_is_no_part_of_it(tmp_path: Path) -> None:
    product = tmp_path / "product"
    inner = product / "vendor/inner"
    inner.mkdir(parents=True)
    (product / "a").write_text("a")
    git(inner, "init", "-q")
    git(inner, "config", "http.extraheader", TOKEN)
    (inner / "b").write_text("b")
    take(Product(path=product), tmp_path / "s.tar")
    assert [name for name, _ in contents(tmp_path / "s.tar")] == [
        "product/a",
        "product/vendor/inner/b",
    ]


def test_no_link_in_a_repository_leads_to_what_is_no_repositorys(tmp_path: Path) -> None:
    product, keys = tmp_path / "product", tmp_path / "keys"
    product.mkdir()
    git(product, "init", "-q")
    (keys / "deep").mkdir(parents=True)
    (keys / "deep/id").write_text(TOKEN)
    for link, target in (("hooks/x", "deep/id"), ("svn", ""), ("FETCH_HEAD", "deep/id")):
        (product / ".git" / link).symlink_to(keys / target)
    take(Product(path=product, git=True), tmp_path / "s.tar")
    found = dict(contents(tmp_path / "s.tar"))
    assert [name for name, content in found.items() if TOKEN.encode() in content] == []


@pytest.mark.parametrize(
    ("text", "clean"),
    [
        ("https://github.com/o/r", "https://github.com/o/r"),
        ("https://u:p@h/r", "https://h/r"),
        ("https://t@h/r", "https://h/r"),
        ("https://u:p@w@h/r", "https://h/r"),
        ("ssh://git@h/r", "ssh://git@h/r"),
        ("ssh://git:p@h:22/r", "ssh://git@h:22/r"),
        ("git@github.com:o/r", "git@github.com:o/r"),
        ("ftp://h:21/a@b", "ftp://h:21/a@b"),
    ],
)
def test_urls_lose_their_passwords_alone(text: str, clean: str) -> None:
    assert without_passwords(text.encode()) == clean.encode()


@pytest.mark.parametrize("worst", [b"https://", b"://", b"a:", b"http://a:", b"x", b"@"])
def test_passwords_are_looked_for_in_linear_time(worst: bytes) -> None:
    without_passwords(worst * (1_000_000 // len(worst)))


def test_a_configuration_that_includes_another_leads_nowhere(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("[core]\n\tsecret = x\n")
    (tmp_path / "config").write_text("[include]\n\tpath = secret\n[core]\n\tbare = false\n")
    assert without_secrets(tmp_path / "config") == b'[core]\n\tbare = "false"\n'
