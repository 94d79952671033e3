"""Ten more products that no one here touched, chosen before anything of them was run: five from
PyPI, and five that are not Python (autotools, CMake, Meson, a Makefile, npm), most of which need a
library or two. init, run, green.

Two stand in for others that could not be had where these were first run: libslirp for json-glib,
whose source the mirror lacked, minimist for qs, whose linters come from git forges. cffi is not
among the tests: its 1,974 cases, which compile, pass on both distros, and take half an hour."""

from __future__ import annotations

from pathlib import Path

import pytest
from products import Project, begun, debian_source, npm_package, sdist, simple_sdist, unpacked

pytestmark = [pytest.mark.engine, pytest.mark.slow]

PYTHON = {
    "pycairo==1.29.2": "meson",  # meson-python, a C extension: cairo by dependency()
    "packaging==26.4": "unit",  # flit, pure Python
    "h11==0.16.0": "unit",  # setuptools, pure Python, tests inside the package
    "pyyaml==6.0.4": "unit",  # setuptools, Cython: libyaml, if it is there
}
SOURCES = {
    "jq": ("debian-13", "check"),  # autotools: oniguruma by AC_CHECK_LIB, beside a submodule
    "uriparser": ("debian-13", "ctest"),  # CMake: GTest and Doxygen by find_package
    "libslirp": ("debian-12", "meson"),  # Meson: glib by dependency()
    "pigz": ("debian-13", "test"),  # a Makefile: zlib by -lz alone
}
# Of a distro: any image of it.
ANY = "product: product\ndistros: [debian-12, debian-13]\nsuites: {any: {run: 'true'}}\n"


def green(project: Project, suite: str) -> None:
    outcomes = project.outcomes()
    assert set(outcomes) == {f"debian-12/{suite}", f"debian-13/{suite}"}
    assert all(o.green for o in outcomes.values()), outcomes


@pytest.mark.parametrize("requirement", PYTHON)
def test_a_release_from_pypi_runs_green_as_it_is(tmp_path: Path, requirement: str) -> None:
    # To download pycairo with pip is to build it.
    fetched = simple_sdist if requirement.startswith("pycairo") else sdist
    green(begun(unpacked(tmp_path, fetched(requirement))), PYTHON[requirement])


@pytest.mark.parametrize("package", SOURCES)
def test_what_is_built_runs_green_as_it_is(tmp_path: Path, package: str) -> None:
    release, suite = SOURCES[package]
    empty = Project(root=tmp_path / "any")
    (empty.root / "matrix").mkdir(parents=True)
    (empty.root / "product").mkdir()
    (empty.root / "matrix/default.yaml").write_text(ANY)
    archive = debian_source(package, empty.images()[f"{release}/any"])
    green(begun(unpacked(tmp_path / package, archive)), suite)


def test_a_package_of_npms_runs_green_as_it_is(tmp_path: Path) -> None:
    green(begun(unpacked(tmp_path, npm_package("minimist@1.2.8"))), "npm")
