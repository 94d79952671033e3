"""What several runs of a cell say together."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from report_samples import failed, result

from distromatrix.collect.tally import View, join
from distromatrix.collect.tally import tally as tally_views
from distromatrix.model import CaseCounts, CellResult, Flaky, Kept, Verdict
from distromatrix.record.repetitions import Runs, run_id, told_by

ID = "debian-12/unit"
P, F, E, S, XF, XP = (
    Verdict.PASSED,
    Verdict.FAILED,
    Verdict.ERROR,
    Verdict.SKIPPED,
    Verdict.XFAILED,
    Verdict.XPASSED,
)


def runs_of(*results: CellResult, wanted: int = 0) -> Runs:
    runs = Runs(ID, wanted or len(results))
    for number, one in reversed(list(enumerate(results, start=1))):  # they come in any order
        runs.add(number, one)
    return runs


def joined(*verdicts: Verdict, wanted: int = 0, rest: CellResult | None = None) -> CellResult:
    runs = runs_of(*(result(ID, v, reason=f"{v}!") for v in verdicts), wanted=wanted)
    return runs.joined({}, rest)


@pytest.mark.parametrize(
    ("verdicts", "verdict", "reason"),
    [
        ((P, P, P), P, "in all 3 runs: passed!"),
        ((P, F, P), F, "in 1 of 3 runs: failed!"),
        ((F, F), F, "in all 2 runs: failed!"),
        ((P, E, P), E, "in 1 of 3 runs: error!"),
        ((E, F, P), F, "in 1 of 3 runs: failed!"),
        ((XF, XP), XF, "in 1 of 2 runs: xfailed!"),
        ((XP, XP), XP, "in all 2 runs: xpassed!"),
    ],
)
def test_a_product_that_fails_sometimes_is_failing(
    verdicts: tuple[Verdict, ...], verdict: Verdict, reason: str
) -> None:
    got = joined(*verdicts)
    assert (got.verdict, got.reason) == (verdict, reason)
    assert [run.verdict for run in got.runs] == list(verdicts)
    assert [run.repeat for run in got.runs] == list(range(1, len(verdicts) + 1))


def test_a_cell_without_all_of_its_runs_is_never_green_and_says_so() -> None:
    rest = CellResult(id=ID, verdict=S, reason="interrupted")
    got = joined(P, P, wanted=10, rest=rest)
    assert (got.verdict, got.reason) == (S, "interrupted (2 of 10 runs were made)")
    got = joined(P, F, wanted=10, rest=rest)
    assert (got.verdict, got.reason) == (F, "in 1 of 10 runs: failed! (2 of 10 runs were made)")
    got = joined(P, wanted=2, rest=CellResult(id=ID, verdict=E, reason="no image"))
    assert (got.verdict, got.reason) == (E, "no image (1 of 2 runs were made)")
    assert joined(wanted=2, rest=rest).reason == "interrupted"


def test_a_run_that_is_given_up_says_why() -> None:
    runs = runs_of(result(ID), wanted=2)
    assert runs.left == {2}
    runs.give_up(2, CellResult(id=ID, verdict=S, reason="not run: --fail-fast"))
    assert not runs.left
    assert runs.joined({}).verdict is S


def test_times_and_cases_add_up_and_the_first_that_decided_speaks() -> None:
    kept = Kept(name="n", enter="e", remove="r")
    got = runs_of(
        result(ID, seconds=1.0, cases=CaseCounts(passed=3), tail=("green",)),
        failed(ID, "a", seconds=2.0, tail=("red",), attempts=2, debug=("why",), kept=kept),
        failed(ID, "a", "b", seconds=4.0, tail=("later",), warnings=("restore failed",)),
    ).joined({"a": Flaky(case="a", passed=1, failed=2, first=2, message="m")})
    assert (got.seconds, got.attempts, got.kept) == (7.0, 2, kept)
    assert (got.tail, got.debug, told_by(got)) == (("red",), ("why",), f"{ID}/repeat-2")
    assert got.cases == CaseCounts(passed=3 + 8 + 7, failed=3)
    assert got.warnings == ("restore failed (in run 3)",)


def test_flaky_cases_stand_apart_from_those_that_never_passed() -> None:
    tallies = {
        "rare": Flaky(case="rare", passed=2, failed=1, first=1, message="m"),
        "often": Flaky(case="often", passed=1, failed=2, first=2, message="n"),
        "always": Flaky(case="always", passed=0, failed=3, first=1),
    }
    got = runs_of(*(failed(ID, "rare", "often", "always") for _ in range(3))).joined(tallies)
    assert [case.name for case in got.failing] == ["always"]
    assert got.flaky == (
        Flaky(case="often", passed=1, failed=2, first=2, message="n"),
        Flaky(case="rare", passed=2, failed=1, first=1, message="m"),
    )


def test_a_cell_is_flaky_itself_where_no_case_says_why() -> None:
    (one,) = joined(P, F, P, F).flaky
    assert one == Flaky(case="", passed=2, failed=2, first=2, message="failed!")
    assert joined(F, F).flaky == ()
    assert joined(P, E).flaky == ()
    explained = runs_of(result(ID), failed(ID, "a")).joined({})
    assert explained.flaky == ()
    hung = runs_of(result(ID), failed(ID, "a"), result(ID, F, reason="timed out")).joined({})
    assert hung.flaky == (Flaky(case="", passed=1, failed=2, first=3, message="timed out"),)


def leave(folder: Path, number: int, **cases: str) -> Path:
    """A JUnit file; the cases' outcomes are words, a dot each for several of one name."""
    outcome = {"p": "", "f": '<failure message="m{}"/>', "e": "<error/>", "s": "<skipped/>"}
    body = "".join(
        f'<testcase name="{name}">{outcome[o].format(number)}</testcase>'
        for name, words in cases.items()
        for o in words
    )
    path = folder / "cells" / run_id(ID, number) / "junit.xml"
    path.parent.mkdir(parents=True)
    path.write_text(f"<testsuite>{body}</testsuite>")
    return path


def tally(reports: dict[int, Path], mask: Callable[[str], str] = str) -> dict[str, Flaky]:
    return tally_views({number: View(path.parent) for number, path in reports.items()}, mask)


def test_a_case_passed_only_in_runs_that_report_it_as_passed(tmp_path: Path) -> None:
    reports = {
        1: leave(tmp_path, 1, a="p", b="p", c="p", d="p", gone="s"),
        2: leave(tmp_path, 2, a="f", b="s", c="p", d="pf", gone="f"),
        3: leave(tmp_path, 3, a="e", b="f", c="p", d="pp"),
    }
    assert tally(reports) == {
        "a": Flaky(case="a", passed=1, failed=2, first=2, message="m2"),
        "b": Flaky(case="b", passed=1, failed=1, first=3, message="m3"),
        "d": Flaky(case="d", passed=2, failed=1, first=2, message="m2"),
        "gone": Flaky(case="gone", passed=0, failed=1, first=2, message="m2"),
    }


def test_a_report_that_cannot_be_read_says_nothing_of_any_case(tmp_path: Path) -> None:
    reports = {1: leave(tmp_path, 1, a="p"), 2: leave(tmp_path, 2, a="f", b="f"), 3: tmp_path / "x"}
    reports[4] = leave(tmp_path, 4, a="p")
    reports[4].write_text(reports[4].read_text()[:-8])
    assert tally(reports)["a"] == Flaky(case="a", passed=1, failed=1, first=2, message="m2")


def test_names_are_compared_as_they_are_shown(tmp_path: Path) -> None:
    reports = {1: leave(tmp_path, 1, hunter22="p"), 2: leave(tmp_path, 2, hunter22="f")}
    assert set(tally(reports, lambda text: text.replace("hunter22", "***"))) == {"***"}


@pytest.mark.slow
def test_memory_does_not_grow_with_the_cases_that_never_failed(tmp_path: Path) -> None:
    import tracemalloc

    def write(number: int, outcome: str) -> Path:
        path = leave(tmp_path, number, x=outcome)
        many = "".join(f'<testcase name="case-{n}"/>' for n in range(50_000))
        path.write_text(path.read_text().replace("</testsuite>", f"{many}</testsuite>"))
        return path

    reports = {1: write(1, "p"), 2: write(2, "f")}
    tracemalloc.start()
    try:
        assert list(tally(reports)) == ["x"]
        assert tracemalloc.get_traced_memory()[1] < 2_000_000
    finally:
        tracemalloc.stop()


def test_reports_are_looked_at_only_where_a_case_failed(tmp_path: Path) -> None:
    runs = Runs(ID, 2)
    runs.add(1, result(ID, cases=CaseCounts(passed=1)))
    runs.add(2, result(ID, F, reason="exit status 1", cases=CaseCounts(passed=1)))
    assert not runs.red
    leave(tmp_path, 1, a="p")
    leave(tmp_path, 2, a="f")
    runs.add(2, failed(ID, "a"))
    assert [one.case for one in join(runs, tmp_path).flaky] == ["a"]
