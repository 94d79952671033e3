"""What build files ask for becomes packages by what they hold, all of them optional."""

from __future__ import annotations

from pathlib import Path

import pytest

from distromatrix.init import look
from distromatrix.init.folder import ScannedFolder
from distromatrix.init.libraries import MOST, built_with
from made_products import Files, make_product

AUTOCONF = """\
AC_INIT([mine], [1.0])
dnl PKG_CHECK_MODULES([OLD], [gone])
# AC_CHECK_LIB([gone], [x])
PKG_CHECK_MODULES([GLIB], [glib-2.0 >= 2.30 gio-2.0])
PKG_CHECK_MODULES(MINE, mine)
PKG_CHECK_MODULES(CAIRO, "cairo>=1.2", [have_cairo=yes], [:])
AC_CHECK_LIB([m], [sin])
AC_CHECK_LIB(onig, onig_version)
AC_SEARCH_LIBS([tgetent], [tinfo ncurses])
AC_CHECK_HEADER("oniguruma.h",
  AC_CHECK_LIB([z], [deflate]))
AC_CHECK_HEADER([sys/cygwin.h])
AC_CHECK_HEADER([stdint.h])
AC_PROG_YACC
AM_PROG_LEX
"""
CMAKE = """\
project(mine C)
find_package(Threads REQUIRED)
find_package( ZLIB 1.2 REQUIRED )
find_package(fmt)
find_package(Own REQUIRED)
# find_package(Gone)
find_package(Doxygen)
find_package(mine)
pkg_check_modules(DEPS REQUIRED IMPORTED_TARGET libffi>=3 $<X>)
enable_testing()
"""
MESON = """\
project('mine', 'c')
dependency('zlib', version: '>=1.2')
dependency('threads')
cc.find_library('m', required: false)
cc.find_library('lzma')
find_program('gperf')
find_program('xmllint', required: false)
find_program('tool.py')
find_program('mine')
test('x', x)
"""


@pytest.mark.parametrize(
    ("files", "names", "packages"),
    [
        (
            {"configure.ac": AUTOCONF, "mine.pc.in": ""},
            ("configure.ac",),
            "bison flex header(oniguruma.h)? lib(onig)? pkgconfig(cairo)? pkgconfig(gio-2.0)? "
            "pkgconfig(glib-2.0)? pkgconfig(ncurses)? pkgconfig(zlib)? pkg-config",
        ),
        (
            {
                "CMakeLists.txt": CMAKE,
                "cmake/FindOwn.cmake": "find_path(A NAMES own.h)\nfind_library(B NAMES own own2)\n",
                "cmake/mine-config.cmake.in": "",
            },
            ("CMakeLists.txt", "*.cmake"),
            "cmake(fmt)? header(own.h)? lib(own)? pkgconfig(libffi)? pkgconfig(zlib)? pkg-config",
        ),
        (
            {"meson.build": MESON, "tools/mine": ""},
            ("meson.build",),
            "command(gperf)? pkgconfig(liblzma)? pkgconfig(zlib)? pkg-config",
        ),
        (
            {"Makefile": "LIBS = -lm -lz -lown\nX = `pkg-config --cflags cairo`\n# -lgone\n"},
            ("Makefile",),
            "lib(own)? pkgconfig(cairo)? pkgconfig(zlib)? pkg-config",
        ),
        (
            {"setup.py": "Extension('x', ['x.c'], libraries=['yaml', 'm'])\n"},
            ("setup.py",),
            "pkgconfig(yaml-0.1)? pkg-config",
        ),
        ({"Makefile": "check:\n\ttrue\n"}, ("Makefile",), ""),
    ],
    ids=["autoconf", "cmake", "meson", "make", "setup.py", "nothing"],
)
def test_what_build_files_ask_for(
    tmp_path: Path, files: Files, names: tuple[str, ...], packages: str
) -> None:
    folder = ScannedFolder(make_product(tmp_path, files))
    assert built_with(folder, *names) == tuple(packages.split())


def test_what_is_no_name_is_left_out_and_there_is_an_end(tmp_path: Path) -> None:
    odd = "PKG_CHECK_MODULES(A, $x `reboot` a;b ../etc -x)\nAC_CHECK_HEADER([../../etc/passwd])\n"
    many = "".join(f"AC_CHECK_LIB([many{n}], [x])\n" for n in range(200))
    folder = ScannedFolder(make_product(tmp_path, {"configure.ac": odd + many}))
    found = built_with(folder, "configure.ac")
    assert len(found) == MOST
    assert all(package.startswith("lib(many") for package in found)


def test_a_configure_script_of_another_kind_is_none_of_autoconfs(tmp_path: Path) -> None:
    files = {"configure": "#!/bin/sh\n", "CMakeLists.txt": "enable_testing()\n"}
    found = look(make_product(tmp_path, files))
    assert [name for name, _ in found.suites] == ["ctest"]


def test_the_suite_has_them_and_says_what_they_are(tmp_path: Path) -> None:
    found = look(make_product(tmp_path, {"meson.build": MESON}))
    text = found.text(["debian-12"])
    assert "'pkgconfig(zlib)?'" in text
    assert "has what its build files ask for" in " ".join(text.replace("#", "").split())


def test_tests_that_meson_names_are_mesons_also_where_python_is_built_with_it(
    tmp_path: Path,
) -> None:
    files = {
        "pyproject.toml": '[build-system]\nrequires = ["meson-python"]\nbuild-backend = "mesonpy"\n'
        '\n[project]\nname = "mine"\n',
        "meson.build": "py = import('python').find_installation()\ntest('pytest', py)\n",
        "tests/test_it.py": "import pytest\n",
    }
    found = look(make_product(tmp_path, files))
    assert [name for name, _ in found.suites] == ["meson"]
    assert "python-dev, pytest]" in found.text(["debian-12"])
    (tmp_path / "meson.build").write_text("project('mine', 'c')\n")
    assert [name for name, _ in look(tmp_path).suites] == ["unit"]


@pytest.mark.parametrize("needed", [True, False])
def test_setuptools_is_there_where_more_than_the_build_takes_it(
    tmp_path: Path, needed: bool
) -> None:
    files = {
        "setup.py": "from setuptools import Extension\nExtension('x', ['x.c'])\n",
        "x.c": "",
        "mine/build.py": "import setuptools\n" if needed else "import os\n",
        "tests/test_it.py": "import pytest\n",
    }
    text = look(make_product(tmp_path, files)).text(["debian-12"])
    assert (" setuptools\n" in text) == needed


def test_a_submodule_that_is_not_there_is_said(tmp_path: Path) -> None:
    modules = "".join(
        f'[submodule "{name}"]\n\tpath = {name}\n\turl = https://git.example/x\n'
        for name in ("there", "tests/data", "../outside")
    )
    files = {".gitmodules": modules, "there/a": "", "Makefile": "check:\n\ttrue\n"}
    root = make_product(tmp_path / "product", files)
    (tmp_path / "outside").mkdir()
    text = " ".join(look(root).text(["debian-12"]).replace("#", "").split())
    assert "not here (`submodule update --init` of git): tests/data" in text
    assert "outside" not in text
