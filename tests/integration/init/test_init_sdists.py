"""Releases from PyPI that no one here touched: init, run, green. Two here, of which `make test`
runs one, on one distro; the others in `test_init_sdists_slow.py`. All were chosen before their
outcomes were known."""

from __future__ import annotations

from pathlib import Path

import pytest
from products import begun, sdist, unpacked

pytestmark = pytest.mark.engine


@pytest.mark.parametrize(
    ("requirement", "passed", "distros"),
    [
        ("findpython==0.9.0", 49, "debian-12"),  # PDM's backend, pytest with a dependency group
        pytest.param("findpython==0.9.0", 49, "debian-13", marks=pytest.mark.slow),
        # tox.ini with factors, setuptools_scm
        pytest.param("pluggy==1.7.0", 200, "debian-12,debian-13", marks=pytest.mark.slow),
    ],
)
def test_a_release_runs_green_as_it_is(
    tmp_path: Path, requirement: str, passed: int, distros: str
) -> None:
    outcomes = begun(unpacked(tmp_path, sdist(requirement)), distros).outcomes()
    assert set(outcomes) == {f"{distro}/unit" for distro in distros.split(",")}
    assert all(o.green and o.passed >= passed for o in outcomes.values())
