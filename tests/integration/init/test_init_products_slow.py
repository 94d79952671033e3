"""Ten more products that no one here touched, chosen before anything of them was run: five from
PyPI, and five that are not Python (autotools, CMake, Meson, a Makefile, npm), most of which need a
library or two. init, run, green."""

from __future__ import annotations

from pathlib import Path

import pytest
from products import begun, sdist, unpacked

pytestmark = [pytest.mark.engine, pytest.mark.slow]

PYTHON = (
    "cffi==2.1.1",  # setuptools, a C extension: libffi by pkg-config
    "pycairo==1.29.2",  # meson-python, a C extension: cairo by dependency()
    "packaging==26.4",  # flit, pure Python
    "h11==0.16.0",  # setuptools, pure Python, tests inside the package
    "pyyaml==6.0.4",  # setuptools, Cython: libyaml, if it is there
)
SOURCES = {
    "jq": "check",  # autotools: oniguruma by AC_CHECK_LIB, which also is a submodule
    "uriparser": "ctest",  # CMake: GTest and Doxygen by find_package
    "json-glib": "meson",  # Meson: glib by dependency()
    "pigz": "test",  # a Makefile: zlib by -lz alone
}
NPM = "qs@6.17.1"


@pytest.mark.parametrize("requirement", PYTHON)
def test_a_release_from_pypi_runs_green_as_it_is(tmp_path: Path, requirement: str) -> None:
    outcomes = begun(unpacked(tmp_path, sdist(requirement))).outcomes()
    assert all(o.green for o in outcomes.values())
