"""Eight more releases from PyPI, with those of `test_init_sdists.py` ten, of different build
backends and test set-ups. The numbers of cases are those of their suites by hand."""

from __future__ import annotations

from pathlib import Path

import pytest
from products import begun, sdist, unpacked

pytestmark = [pytest.mark.engine, pytest.mark.slow]

GREEN = {
    "click==8.5.1": 2400,  # flit; tox in pyproject.toml with uv's lock file; calls `less`
    "markupsafe==3.0.4": 79,  # setuptools, a C extension; tox in pyproject.toml
    "more-itertools==11.2.1": 925,  # flit; tox that calls unittest
    "pycparser==3.12": 451,  # setuptools; unittest alone; calls `cpp`
    "simplejson==4.3.0": 250,  # setup.py, a C extension, unittest inside the package
    "tomlkit==0.15.2": 1203,  # Poetry's backend; pytest with the group dev
}


@pytest.mark.parametrize("requirement", GREEN)
def test_a_release_runs_green_as_it_is(tmp_path: Path, requirement: str) -> None:
    outcomes = begun(unpacked(tmp_path, sdist(requirement))).outcomes()
    assert set(outcomes) == {"debian-12/unit", "debian-13/unit"}
    assert all(o.green and o.passed >= GREEN[requirement] for o in outcomes.values())


def test_a_release_that_fails_with_one_python_fails_there_alone(tmp_path: Path) -> None:
    # tests/test_converters.py::TestPipe::test_wrapped_annotation fails with Python 3.11 in any
    # environment (by hand too); hatchling, tox.ini with uv's lock file.
    outcomes = begun(unpacked(tmp_path, sdist("attrs==26.1.0"))).outcomes()
    old, new = outcomes["debian-12/tests"], outcomes["debian-13/tests"]
    assert (old.green, old.failed) == (False, 1)
    assert new.green
    assert min(old.passed, new.passed) > 1300


def test_a_release_whose_tox_lints_with_the_newest_linters_is_told_apart(tmp_path: Path) -> None:
    # Its one environment runs ruff and mypy, unpinned, through pytest: new rules are failures of
    # newly released linters, on every distribution alike.
    outcomes = begun(unpacked(tmp_path, sdist("jaraco.text==4.3.0"))).outcomes()
    assert set(outcomes) == {"debian-12/unit", "debian-13/unit"}
    assert all(o.passed > 45 for o in outcomes.values())
