"""`distromatrix init` as a user meets it: what it prints, writes, refuses."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from cli_world import Said
from init_world import FILE, Init
from loading import TODAY

from distromatrix.load import load_matrix
from made_products import PRODUCTS, PYTEST, make_product


def test_it_says_what_it_found_where_it_wrote_and_what_comes_next(init: Init) -> None:
    make_product(Path(), PYTEST)
    said = init("--minimal")
    assert said == Said(
        0,
        "pyproject.toml: pytest → suite unit\n"
        "note: for Python >=3.9: where a distro has an older one, skip it by a rule\n"
        "distros: debian-12, debian-13: two releases of one distribution, to begin with\n"
        "wrote matrix/default.yaml\n"
        "next: distromatrix plan, distromatrix run\n"
        "the first run will ask whether cells may use this machine's package indexes\n",
        "",
    )
    matrix = load_matrix(FILE, today=TODAY)
    assert [d.name for d in matrix.distros] == ["debian-12", "debian-13"]


def test_for_another_folder_the_next_commands_name_it(init: Init) -> None:
    make_product(Path("a product"), PRODUCTS["make"])
    said = init("-C", "a product")
    assert said.code == 0
    assert "wrote a product/matrix/default.yaml\n" in said.out
    assert "next: distromatrix plan -C 'a product', distromatrix run -C 'a product'\n" in said.out
    assert (Path("a product") / FILE).is_file()


def test_a_note_says_its_source_once(init: Init) -> None:
    tox = "[tox]\nenvlist = py311, pypy3\n[testenv]\ndeps = pytest\ncommands = pytest\n"
    make_product(Path(), {**PYTEST, "tox.ini": tox})
    notes = [line for line in init().out.splitlines() if "pypy3" in line]
    assert notes == ["note: tox.ini: left out pypy3 (for a Python that is no distribution's own)"]


def test_what_is_there_is_never_overwritten(init: Init) -> None:
    make_product(Path(), {**PYTEST, str(FILE): "mine\n"})
    said = init()
    assert (said.code, said.out) == (2, "")
    assert said.err == (
        "matrix/default.yaml: already exists; init overwrites nothing (see --print)\n"
    )
    assert FILE.read_text() == "mine\n"


def test_a_dangling_link_is_something_there(init: Init, tmp_path: Path) -> None:
    FILE.parent.mkdir()
    FILE.symlink_to(tmp_path / "elsewhere")
    said = init()
    assert (said.code, said.out) == (2, "")
    assert "already exists" in said.err
    assert not (tmp_path / "elsewhere").exists()


def test_print_writes_nothing_and_has_the_file_alone_on_stdout(init: Init) -> None:
    make_product(Path(), {**PYTEST, str(FILE): "mine\n"})
    said = init("--print")
    assert said.code == 0
    assert FILE.read_text() == "mine\n"
    assert said.err.startswith("pyproject.toml: pytest → suite unit\n")
    Path("other.yaml").write_text(said.out)
    assert load_matrix(Path("other.yaml"), today=TODAY).suites[0].name == "unit"


def test_nothing_found_is_said_and_leaves_a_file_to_edit(init: Init) -> None:
    said = init("--distros", "debian-12")
    assert said.code == 0
    assert said.out.splitlines()[:2] == [
        "found no tests of this product",
        "wrote matrix/default.yaml; add your test command to it",
    ]
    assert load_matrix(FILE, today=TODAY).warnings == ()


def test_a_broken_file_is_a_warning(init: Init) -> None:
    make_product(Path(), {**PRODUCTS["make"], "pyproject.toml": "[[[\x1b"})
    said = init()
    assert said.code == 0
    assert said.err.startswith("warning: pyproject.toml: not valid TOML, not looked at: ")
    assert said.err.count("\n") == 1
    assert "Makefile: make check → suite check\n" in said.out


@pytest.mark.parametrize(
    ("wanted", "names"),
    [
        ("debian-12", ["debian-12"]),
        ("alpine-3.20,debian-1[12]", ["alpine-3.20", "debian-11", "debian-12"]),
        ("debian-13 , alpine-3.20", ["debian-13", "alpine-3.20"]),
    ],
)
def test_distros_are_names_or_globs(init: Init, wanted: str, names: list[str]) -> None:
    assert init("--distros", wanted).code == 0
    assert [d.name for d in load_matrix(FILE, today=TODAY).distros] == names


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (["--distros", "debain-12"], "no distro matches `debain-12`; did you mean `debian-12`?"),
        (
            ["--distros", "nixos-*"],
            "no distro matches `nixos-*` (`distromatrix distros` lists all)",
        ),
        (["--distros", " , "], "no distro is named"),
        (["--suites", "chek"], "no suite matches `chek`; did you mean `check`?"),
        (["--suites", "x,check"], "no suite matches `x`; found: check"),
        (["--suites", ","], "no suite is named"),
        (["--distros", "debian-12", "--wide"], "--distros cannot be combined with --wide"),
        (["--distros", "debian-12", "--minimal"], "--distros cannot be combined with --minimal"),
        (["--minimal", "--wide"], "--minimal cannot be combined with --wide"),
        (["-C", "nowhere"], "nowhere: is not a folder"),
        (["-C", "file"], "file: is not a folder"),
    ],
)
def test_mistakes_are_one_line_and_exit_2(init: Init, args: list[str], words: str) -> None:
    Path("file").touch()
    make_product(Path(), PRODUCTS["make"])
    said = init(*args)
    assert (said.code, said.out, said.err.count("\n")) == (2, "", 1)
    assert words in said.err
    assert not FILE.exists()


def test_a_folder_that_cannot_be_written_to_is_one_line(init: Init) -> None:
    Path("matrix").touch()
    said = init()
    assert (said.code, said.err) == (2, "matrix/default.yaml: cannot be written: Not a directory\n")


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files to another user")
def test_under_sudo_the_file_belongs_to_the_caller(
    init: Init, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SUDO_UID", "1234")
    monkeypatch.setenv("SUDO_GID", "2345")
    assert init().code == 0
    assert {p.stat().st_uid for p in (FILE, FILE.parent)} == {1234}
