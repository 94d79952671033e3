"""Repositories beside those of images: what a matrix and a distro's file may say of them."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import pytest
from repository_keys import FINGERPRINT, KEY, PEM

from distromatrix.errors import InputError
from distromatrix.load import load_matrix
from distromatrix.load.openpgp import fingerprints
from distromatrix.model import Matrix, Repository

MATRIX = """\
distros: [debian-12, almalinux-9]
suites:
  unit:
    run: "true"
    repositories: REPOSITORIES
"""


def load(root: Path, repositories: str, *, rule: str = "") -> Matrix:
    for name, text in (("keys/example.asc", KEY), ("keys/example.rsa.pub", PEM)):
        (root / name).parent.mkdir(exist_ok=True)
        (root / name).write_text(text)
    file = root / "matrix/default.yaml"
    file.parent.mkdir()
    file.write_text(MATRIX.replace("REPOSITORIES", repositories) + rule)
    return load_matrix(file, today=date(2026, 1, 1))


def test_names_and_own_ones_are_taken_as_written(tmp_path: Path) -> None:
    own = "{url: https://mirror.example/deb, paths: [stable main], key: keys/example.asc}"
    matrix = load(tmp_path, f"[epel, {own}]", rule="rules: [{distro: alma*, repositories: [crb]}]")
    wanted = Repository(
        url="https://mirror.example/deb", paths=("stable main",), key=KEY, key_file="example.asc"
    )
    assert matrix.suites[0].repositories == ("epel", wanted)
    assert matrix.rules[0].repositories == ("crb",)


@pytest.mark.parametrize(
    ("repositories", "told"),
    [
        ("[epl]", "no distro of the matrix knows the repository `epl` (did you mean `epel`?)"),
        ("[testing]", "no distro of the matrix knows the repository `testing` (they know "),
        ("[{url: http://mirror.example/deb}]", "`http://mirror.example/deb` has no key, so that "),
        ("[{url: mirror.example}]", "expected a URL such as `https://packages.example/debian`"),
        ('[{url: "http://:80/deb", signed: false}]', "expected a URL such as"),
        ("[{url: https://m.example, key: no.asc}]", "no file `no.asc`"),
        ("[{url: https://m.example, key: ../outside}]", "`../outside` leads out of the project"),
        ("[{url: https://m.example, key: matrix/default.yaml}]", "holds no public key as text"),
        (
            "[{url: https://m.example, key: keys/example.asc, signed: false}]",
            "`signed: false` goes without a `key`",
        ),
        (
            f"[{{url: https://m.example, key: keys/example.asc, fingerprint: {'0' * 40}}}]",
            f"the key's file is of `{FINGERPRINT}`",
        ),
        (
            f"[{{url: https://m.example, key: keys/example.rsa.pub, fingerprint: {'0' * 40}}}]",
            "the key's file is of no OpenPGP key",
        ),
        ("[{url: https://m.example, paths: ['$(x)'], signed: false}]", "expected a repository bel"),
        ("{url: https://m.example}", "expected a list"),
    ],
)
def test_a_fault_is_told_at_its_place(tmp_path: Path, repositories: str, told: str) -> None:
    (tmp_path.parent / "outside").write_text(KEY)
    with pytest.raises(InputError) as caught:
        load(tmp_path, repositories)
    (fault,) = caught.value.faults
    assert told in str(fault)
    assert (fault.line, fault.file.endswith("default.yaml")) == (5, True)


def test_a_link_to_a_key_outside_is_refused(tmp_path: Path) -> None:
    root = tmp_path / "project"
    root.mkdir()
    (tmp_path / "id").write_text(KEY)
    (root / "mine.asc").symlink_to(tmp_path / "id")
    with pytest.raises(InputError, match="leads out of the project"):
        load(root, "[{url: https://m.example, key: mine.asc}]")


def test_the_fingerprint_may_be_written_in_groups(tmp_path: Path) -> None:
    groups = " ".join(FINGERPRINT[i : i + 4] for i in range(0, 40, 4)).lower()
    key = f"key: keys/example.asc, fingerprint: {groups}"
    matrix = load(tmp_path, f"[{{url: https://m.example, {key}}}]")
    assert isinstance(matrix.suites[0].repositories[0], Repository)


def test_fingerprints_are_read_or_there_are_none() -> None:
    assert fingerprints(KEY) == (FINGERPRINT,)
    assert fingerprints(f"a word\n{KEY}\n{KEY}") == (FINGERPRINT, FINGERPRINT)
    assert fingerprints(KEY.replace("\n", "\r\n")) == (FINGERPRINT,)
    for text in ("", PEM, KEY[:200], KEY.replace("mDMEawvx", "????????"), KEY[:60] + KEY[90:]):
        assert FINGERPRINT not in fingerprints(text)
