"""Releases from PyPI that no one here touched: init, run, green. Two here, the others in
`test_init_sdists_slow.py`; all were chosen before their outcomes were known."""

from __future__ import annotations

from pathlib import Path

import pytest
from products import begun, sdist, unpacked

pytestmark = pytest.mark.engine


@pytest.mark.parametrize(
    ("requirement", "passed"),
    [
        ("findpython==0.9.0", 49),  # PDM's backend, pytest with a dependency group
        # tox.ini with factors, setuptools_scm
        pytest.param("pluggy==1.7.0", 200, marks=pytest.mark.slow),
    ],
)
def test_a_release_runs_green_as_it_is(tmp_path: Path, requirement: str, passed: int) -> None:
    outcomes = begun(unpacked(tmp_path, sdist(requirement))).outcomes()
    assert set(outcomes) == {"debian-12/unit", "debian-13/unit"}
    assert all(o.green and o.passed >= passed for o in outcomes.values())
