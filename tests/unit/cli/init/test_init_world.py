"""`distromatrix init`: what it proposes of the world, and what it asks on a terminal."""

from __future__ import annotations

import os
import pty
import select
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from init_world import FILE, Init, written
from loading import TODAY

from distromatrix.doctor import reach
from distromatrix.load import load_matrix
from made_products import PRODUCTS, PYTEST, make_product
from quick_python import quick_python

ASKED = b"]: "
CTRL_C = "\x03"
REACHED = {
    "docker.io": "wants a login",
    "registry.fedoraproject.org": "",
    "registry.opensuse.org": "",
}


def test_where_registries_answer_it_is_one_release_of_each_family(
    init: Init, servers: dict[str, str]
) -> None:
    servers |= REACHED
    make_product(Path(), PRODUCTS["make"])
    said = init()
    names = [
        *("debian-13", "ubuntu-26.04", "fedora-45", "almalinux-10", "opensuse-leap-16.1"),
        *("alpine-3.24", "archlinux"),
    ]
    why = "the newest release of each family"
    assert f"distros: {', '.join(names)}: {why}\n" in said.out
    assert f"# T{why[1:]}.\ndistros: [{', '.join(names)}]\n" in FILE.read_text()
    assert written() == names


def test_what_a_registry_does_not_have_gives_way_to_what_it_has(
    init: Init, servers: dict[str, str]
) -> None:
    servers |= REACHED
    for release in ("45", "44"):
        servers[f"https://registry.fedoraproject.org/v2/fedora/manifests/{release}"] = "answers 404"
    assert init().code == 0
    assert "fedora-43" in written()


def test_where_no_registry_answers_it_is_what_can_be_made_here(
    init: Init, servers: dict[str, str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    servers.clear()
    servers["mirror.test"] = ""
    monkeypatch.setattr(reach, "own_mirrors", lambda: ("http://mirror.test/debian",))
    monkeypatch.setattr(reach, "missing_programs", lambda _: {})
    monkeypatch.setattr(reach, "KEYRING", tmp_path)
    monkeypatch.setattr("shutil.which", lambda name: f"/{name}")
    said = init()
    why = "what is in reach here (docker.io: off, registry.fedoraproject.org: off, "
    assert f"distros: debian-12, debian-13: {why}" in said.out
    assert "# What is in reach here (docker.io: off, " in FILE.read_text()
    assert written() == ["debian-12", "debian-13"]


def test_what_the_engines_store_has_is_in_reach(
    init: Init, command: Init, servers: dict[str, str]
) -> None:
    servers |= REACHED
    assert init("--root", "--distros", "archlinux,alpine-3.23,fedora-43").code == 0
    assert command("images", "build").code == 0
    FILE.unlink()
    servers.clear()
    assert init().code == 0
    assert written() == ["fedora-43", "alpine-3.23", "archlinux"]


def test_offline_nothing_is_asked(
    init: Init, monkeypatch: pytest.MonkeyPatch, servers: dict[str, str]
) -> None:
    servers |= REACHED
    monkeypatch.setenv("DISTROMATRIX_OFFLINE", "1")
    said = init()
    assert "debian-12, debian-13: no image is in reach here now (offline is set" in said.out
    assert said.code == 0


def test_without_an_engine_it_says_so_and_proposes_what_is_in_reach(
    init: Init, monkeypatch: pytest.MonkeyPatch, servers: dict[str, str]
) -> None:
    servers |= REACHED
    monkeypatch.delenv("DISTROMATRIX_FAKE")
    monkeypatch.setenv("DOCKER_HOST", "unix:///nowhere")
    said = init()
    assert said.code == 0
    assert said.err == "note: no container engine answers: `distromatrix doctor` says more\n"
    assert len(written()) == 7


def test_wide_is_all_and_marks_what_is_out_of_reach(init: Init, servers: dict[str, str]) -> None:
    servers["docker.io"] = "wants a login"
    said = init("--wide")
    text = FILE.read_text()
    assert "# All that are supported upstream, in reach or not.\ndistros:\n" in text
    assert "  - fedora-45 # registry.fedoraproject.org: off\n" in text
    assert "  - ubuntu-26.04\n" in text
    assert "not in reach here: centos-stream-9, " in said.out
    assert {"debian-sid", "fedora-45"} < set(written())


def test_suites_and_root_are_options(init: Init) -> None:
    make_product(Path(), {**PYTEST, **PRODUCTS["cmake"]})
    assert init("--distros", "debian-12", "--suites", "un*", "--root").code == 0
    matrix = load_matrix(FILE, today=TODAY)
    assert [(suite.name, suite.user) for suite in matrix.suites] == [("unit", "root")]
    assert "ctest" not in FILE.read_text()


@pytest.mark.parametrize("home", ["HOME", "/"])
def test_a_home_folder_is_no_product_unless_it_is_named(
    init: Init, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, home: str
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path if home == "HOME" else "/")
    said = init()
    assert (said.code, said.out, said.err.count("\n")) == (2, "", 1)
    assert "not a product's: go to the product's, or name it with -C" in said.err
    if home == "HOME":
        assert init("-C", str(tmp_path), "--distros", "debian-12").code == 0


# --- on a terminal --------------------------------------------------------------------------

Typed = Callable[..., tuple[int, str]]


@pytest.fixture
def typed(command: Init, monkeypatch: pytest.MonkeyPatch) -> Typed:
    """`init` on a terminal, where at each question the next answer is typed. Offline, so that what
    it proposes is the same everywhere."""
    make_product(Path(), {**PYTEST, **PRODUCTS["cmake"]})
    monkeypatch.setenv("DISTROMATRIX_OFFLINE", "1")
    monkeypatch.delenv("CI", raising=False)

    def call(
        answers: tuple[str, ...], *args: str, program: tuple[str, ...] = ()
    ) -> tuple[int, str]:
        ours, theirs = pty.openpty()
        words = [*(program or (quick_python(),)), "-m", "distromatrix", "init", *args]
        with subprocess.Popen(words, stdin=theirs, stderr=theirs, stdout=theirs) as process:
            os.close(theirs)
            left, said, answered = [*answers], b"", 0
            try:
                while True:
                    if select.select([ours], [], [], 1)[0]:
                        said += os.read(ours, 4096)
                    elif answers[-1:] == (CTRL_C,) and not left:
                        os.write(ours, CTRL_C.encode())  # the first came just before it listened
                    if left and said.count(ASKED) > answered:
                        answered += 1
                        os.write(ours, left.pop(0).encode())
            except OSError:  # the other end is closed
                pass
        os.close(ours)
        return process.returncode, said.decode()

    return call


def suites() -> list[tuple[str, str]]:
    return [(suite.name, suite.user) for suite in load_matrix(FILE, today=TODAY).suites]


def test_enter_takes_what_is_proposed(typed: Typed) -> None:
    code, said = typed(("\n", "\n", "\n"))
    assert code == 0, said
    for question in (
        "Test on: names or globs, `minimal` or `wide` [debian-12, debian-13]: ",
        "Suites to keep: names or globs [unit, ctest]: ",
        "Run them as `user` or as `root` [user]: ",
    ):
        assert question in said
    assert written() == ["debian-12", "debian-13"]
    assert suites() == [("unit", "tester"), ("ctest", "tester")]


def test_answers_count_and_wrong_ones_are_asked_again(typed: Typed) -> None:
    answers = ("alpin-3.24", "alpine-3.24", "none", "ctest", "admin", "root")
    code, said = typed(tuple(f"{answer}\n" for answer in answers))
    assert code == 0, said
    assert "no distro matches `alpin-3.24`; did you mean `alpine-3.24`?" in said
    assert "no suite matches `none`; found: unit, ctest" in said
    assert "expected `user` or `root`" in said
    assert (written(), suites()) == (["alpine-3.24"], [("ctest", "root")])


def test_what_an_option_says_is_not_asked(typed: Typed) -> None:
    code, said = typed((), "--distros", "debian-12", "--suites", "unit", "--user")
    assert (code, "]: " in said) == (0, False)
    assert (written(), suites()) == (["debian-12"], [("unit", "tester")])


def test_in_ci_nothing_is_asked(typed: Typed, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CI", "true")
    code, said = typed(())
    assert (code, "]: " in said) == (0, False)


@pytest.mark.parametrize("end", [CTRL_C, "\x04"], ids=["Ctrl-C", "Ctrl-D"])
@pytest.mark.parametrize("answers", [(), ("\n", "\n")], ids=["at once", "in the end"])
def test_who_goes_away_leaves_nothing_written(
    typed: Typed, answers: tuple[str, ...], end: str
) -> None:
    # With the terminal as its own, without which there is no Ctrl-C.
    code, said = typed((*answers, end), program=("setsid", "--ctty", sys.executable))
    assert code == 130, said
    assert not FILE.parent.exists()
