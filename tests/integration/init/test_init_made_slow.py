"""What init writes for a small product of each kind runs as it was written, on both distros that
it begins with, and reports the cases there are."""

from __future__ import annotations

from pathlib import Path

import pytest
from products import Outcome, begun

from made_products import PRODUCTS, make_product

pytestmark = [pytest.mark.engine, pytest.mark.slow]

# None: the tool has no way to tell single cases, and what is written does not promise any.
CASES = {
    "make": {"check": None},
    "cmake": {"ctest": (2, 0)},
    "meson": {"meson": (2, 0)},
    "autotools": {"check": (1, 1)},
    "go": {"go": (2, 1)},
    "cargo": {"cargo": (1, 1)},
    "node": {"npm": None},
    "debian": {"says": None},
    "pytest": {"unit": (1, 0)},
    "unittest": {"unit": (1, 0)},
    "tox": {"first": (1, 0), "second": (1, 0)},
    "nox": {"tests": None},
}


def test_every_kind_is_run() -> None:
    assert CASES.keys() == PRODUCTS.keys()


@pytest.mark.parametrize("kind", PRODUCTS)
def test_what_is_written_runs_as_it_is(tmp_path: Path, kind: str) -> None:
    outcomes = begun(make_product(tmp_path / kind, PRODUCTS[kind])).outcomes()
    expected = {
        f"{distro}/{suite}": Outcome(green=True, passed=cases[0], skipped=cases[1])
        if cases
        else Outcome(green=True)
        for distro in ("debian-12", "debian-13")
        for suite, cases in CASES[kind].items()
    }
    assert outcomes == expected
