"""Packages that are named by what they hold: what managers are asked, and what is made of it."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from images_fakes import World, cell, distro

from distromatrix.errors import ImageError
from distromatrix.images import Handed
from distromatrix.images.packages import MANAGERS
from distromatrix.images.packages.lookup import answers
from distromatrix.model import Pull
from distromatrix.plan.held import Held, held_in

HUB = Pull(ref="docker.io/library/debian:12")
ZLIB = Held("pkgconfig", "zlib", optional=False)
ONIG = Held("lib", "onig", optional=True)
LOOKUPS = {name: manager.lookup for name, manager in MANAGERS.items() if manager.lookup}


@pytest.mark.parametrize(
    ("package", "held"),
    [
        ("pkgconfig(zlib)", ZLIB),
        ("lib(onig)?", ONIG),
        ("header(sys/x_y.h)", Held("header", "sys/x_y.h", optional=False)),
        ("zlib1g-dev", None),
        ("pkgconfig(a b)", None),
        ("pkgconfig(-x)", None),
        ("header(../x)", None),
        ("header(/x)", None),
        ("perl(Foo)", None),
        ("pkgconfig(zlib)>=1.2", None),
    ],
)
def test_a_name_of_what_is_held(package: str, held: Held | None) -> None:
    assert held_in(package) == held


@pytest.mark.parametrize("lookup", LOOKUPS.values(), ids=LOOKUPS)
def test_scripts_are_valid_shell_whatever_is_looked_for(lookup) -> None:
    kinds = ("pkgconfig", "cmake", "lib", "header", "command")
    script = lookup.ask([Held(kind, "gtk+-3.0", optional=True) for kind in kinds])
    assert subprocess.run(["sh", "-n"], input=script.encode(), check=False).returncode == 0
    assert "{each}" not in script


@pytest.mark.parametrize(
    ("said", "package"),
    [
        ("0 zlib1g-dev\n", "zlib1g-dev"),
        ("0 libcurl4-openssl-dev,libcurl4-gnutls-dev\n", "libcurl4-gnutls-dev"),  # the shortest
        ("0 b\n0 a\n", "a"),
        ("0 pc:zlib\n", "pc:zlib"),
        ("0 -rf,$(reboot),;\n7 other\nx\n0\n", None),
        ("", None),
    ],
)
def test_one_package_is_taken_for_each_thing(said: str, package: str | None) -> None:
    assert answers(said, [ZLIB]).get(ZLIB) == package


def test_a_package_that_holds_two_things_is_taken_once() -> None:
    assert answers("0 abc\n1 x,abc\n", [ZLIB, ONIG]) == {ZLIB: "abc", ONIG: "abc"}


def told(
    tmp_path: Path, said: str, *packages: str, absent: tuple[str, ...] = ()
) -> tuple[str, str]:
    """The script that installs, and the one that looked up, where apt says that; the image says
    what is absent, when it is made and ever after."""
    world = World(tmp_path)
    scripts = []

    def reply(script: str) -> tuple[int, str]:
        scripts.append(script)
        return (0, said if "/tmp/held" in script else "")

    world.engine.images.answers[HUB.ref] = ["base-1"]
    world.engine.reply = reply
    for _ in range(2):  # made, and found
        made = world.images().prepared(distro(HUB), cell(packages=packages), lambda _: (), Handed())
        assert made.absent == absent
    return scripts[-1], next((s for s in scripts if "/tmp/held" in s), "")


def test_what_is_found_is_installed_and_what_is_optional_left_out(tmp_path: Path) -> None:
    wanted = ("git", "pkgconfig(zlib)", "lib(onig)?")
    installed, looked = told(tmp_path, "0 zlib1g-dev\n", *wanted, absent=("lib(onig)",))
    assert "-- git zlib1g-dev\n" in installed
    assert "libonig" in looked


def test_what_nobody_has_is_an_error_that_names_it(tmp_path: Path) -> None:
    with pytest.raises(ImageError, match=r"no package has pkgconfig\(zlib\) in .* \(apt\)") as e:
        told(tmp_path, "", "pkgconfig(zlib)")
    assert e.value.absent == ("pkgconfig(zlib)",)


def test_names_of_packages_alone_are_looked_up_nowhere(tmp_path: Path) -> None:
    assert told(tmp_path, "", "git")[1] == ""
