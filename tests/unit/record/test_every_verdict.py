"""A verdict that is added is met in every place that must know it."""

from __future__ import annotations

from pathlib import Path

import pytest

import distromatrix
from distromatrix.model import BAD, GREEN, RAN, RED, Verdict
from distromatrix.record.repetitions import WORST_RUN_FIRST
from distromatrix.reports.style import SIGNS, WORST_FIRST, Look, style

CSS = (Path(distromatrix.__file__).parent / "reports/html/page.css").read_text()


@pytest.mark.parametrize("verdict", Verdict)
def test_it_has_a_look_of_its_own_and_a_rank(verdict: Verdict) -> None:
    for unicode in (True, False):
        symbols = [Look(width=80, unicode=unicode).symbol(one) for one in Verdict]
        assert symbols.count(Look(width=80, unicode=unicode).symbol(verdict)) == 1
    assert style(verdict)
    assert list(SIGNS.values()).count(SIGNS[verdict]) == 1
    assert f".{verdict} {{ --v:" in CSS or f".{verdict}, " in CSS
    assert f"  --{verdict}: light-dark(" in CSS
    assert verdict in WORST_FIRST
    assert verdict in WORST_RUN_FIRST


def test_the_suite_of_a_cell_that_ran_to_its_end_has_passed_or_failed() -> None:
    assert {*GREEN, *RED} == set(RAN)
    assert not {*GREEN} & {*RED}
    assert set(BAD) - set(RAN) == {Verdict.ERROR}
