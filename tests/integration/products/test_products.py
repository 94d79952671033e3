"""A product that no one here wrote, whose release fails on an old distribution: the verdicts
and the numbers of cases are those of the same suite by hand."""

from pathlib import Path

import pytest
from products import Outcome, project, pytest_counts, sdist

pytestmark = [pytest.mark.engine, pytest.mark.slow]

# Its tests write `Container[Any] | None` where Python 3.9 of Debian 11 evaluates it.
REQUIREMENT = "cachetools==8.0.1"
MATRIX = """
product: product
distros: [debian-11, debian-12]
env: {LC_ALL: C.UTF-8, PYTHONPATH: src}
suites:
  unit:
    packages: [pytest]
    run: python3 -m pytest -q --junitxml="$DISTROMATRIX_JUNIT"
    network: false
"""


def test_a_release_that_an_old_distro_cannot_run_fails_there_only(tmp_path: Path) -> None:
    cachetools = project(tmp_path, sdist(REQUIREMENT), MATRIX)
    through_us = cachetools.outcomes()
    by_hand = {
        cell: cachetools.by_hand(image, "python3 -m pytest -q", pytest_counts, PYTHONPATH="src")
        for cell, image in cachetools.images().items()
    }
    assert through_us == by_hand
    old, new = through_us["debian-11/unit"], through_us["debian-12/unit"]
    assert not old.green
    assert old.failed > 0 == old.passed
    assert new == Outcome(green=True, passed=new.passed, skipped=new.skipped)
    assert new.passed > 200
