"""What is remembered of cases: in which runs they failed, and what that says of a failure now."""

from pathlib import Path

import pytest
from test_history import MATRIX, path, result, rows

from distromatrix.model import Case, CaseStatus
from distromatrix.record import history
from distromatrix.record.history import History, Outcomes, RunStamp
from distromatrix.record.past import Past, Seen, grown, outcome_of

__all__ = ["path"]

# --- cases -------------------------------------------------------------------------------------

ONE = ("a/unit", "t::one")


def note(*cases: Case, repeated: bool = False) -> Outcomes:
    found = Outcomes(repeated)
    for case in cases:
        found.note("a/unit", case)
    return found


def run_with(path: Path, number: int, status: CaseStatus, seconds: float = 1.0) -> History:
    one = History(path, MATRIX)
    stamp = RunStamp(f"r{number}", 1_700_000_000.0 + number, f"{number:040x}")
    case = Case(name="t::one", status=status, seconds=seconds)
    assert one.add(stamp, [result("a/unit", 1.0)], note(case)) == ""
    return one


def test_the_outcomes_of_a_case_come_back_in_order_and_of_earlier_runs_alone(path: Path) -> None:
    for number, status in enumerate(("passed", "failed", "failed", "passed")):
        one = run_with(path, number, status)
    seen = one.earlier([ONE, ("a/unit", ""), ("b/unit", "t::one")])
    assert one.untold == ""
    assert [(s.run, s.status) for s in seen[ONE]] == [
        *(("r0", "passed"), ("r1", "failed"), ("r2", "failed"), ("r3", "passed"))
    ]
    assert [s.status for s in seen["a/unit", ""]] == ["passed"] * 4
    assert seen["b/unit", "t::one"] == ()
    assert [s.run for s in one.earlier([ONE], "r2")[ONE]] == ["r0", "r1"]


def test_a_name_that_several_cases_have_is_red_where_one_is_and_flaky_over_repetitions() -> None:
    good, bad = Case(name="t", status="passed"), Case(name="t", status="failed")
    assert note(good, bad, good).of == {("a/unit", "t"): ("failed", 0.0)}
    assert note(bad, good, repeated=True).of == {("a/unit", "t"): ("flaky", 0.0)}
    retried = Case(name="t", status="passed", flaky=True)
    assert note(retried).of == {("a/unit", "t"): ("flaky", 0.0)}


@pytest.mark.parametrize(
    ("before", "new", "again", "outcome"),
    [
        ("", "passed", True, "passed"),
        ("passed", "failed", False, "failed"),
        ("failed", "passed", False, "failed"),
        ("passed", "error", True, "flaky"),
        ("flaky", "failed", True, "flaky"),
        ("flaky", "failed", False, "failed"),
        ("skipped", "failed", True, "failed"),  # a run that skipped it says nothing of it
        ("skipped", "passed", False, "skipped"),
        ("passed", "xpassed", True, "xpassed"),
    ],
)
def test_what_cases_of_one_name_come_to(
    before: str, new: CaseStatus, again: bool, outcome: str
) -> None:
    assert outcome_of(before, Case(name="t", status=new), again=again) == outcome


def test_of_too_many_cases_the_green_ones_are_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(history, "MOST_CASES", 2)
    cases = [Case(name=f"t{n}", status="failed" if n == 3 else "passed") for n in range(5)]
    assert [name for _, name in note(*cases).of] == ["t0", "t1", "t3"]


def test_old_outcomes_go_and_with_them_cases_that_nobody_has_any_more(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(history, "KEPT_OUTCOMES", 2)
    for number in range(5):
        one = History(path, MATRIX)
        name = "old" if number == 0 else "t"
        found = note(Case(name=name, status="passed"))
        assert one.add(RunStamp(f"r{number}", 1.0), [result("a/unit", 1.0)], found) == ""
    assert rows(path, "SELECT run FROM outcomes ORDER BY run") == [(4,), (5,)]
    assert rows(path, "SELECT name FROM cases") == [("t",)]
    assert len(one.earlier([("a/unit", "")])["a/unit", ""]) == 5


def test_a_long_name_and_one_that_is_no_text_are_kept(path: Path) -> None:
    names = ["x" * 10_000, "x" * 9_999, "a\udcff\x00b"]
    one = History(path, MATRIX)
    found = note(*(Case(name=name, status="failed") for name in names))
    assert one.add(RunStamp("r", 1.0), [result("a/unit", 1.0)], found) == ""
    seen = one.earlier([("a/unit", name) for name in names])
    assert one.untold == ""
    assert [len(seen["a/unit", name]) for name in names] == [1, 1, 1]
    assert all(len(name) <= 1000 for (name,) in rows(path, "SELECT name FROM cases"))


# --- what that says ----------------------------------------------------------------------------


def past(statuses: str) -> Past:
    """Of a case: P passed, F failed, K flaky, s skipped."""
    of = {"P": "passed", "F": "failed", "K": "flaky", "s": "skipped"}
    day = 86_400.0
    return Past.of(
        [Seen(f"r{n}", n * day + day / 2, "c0ffee00", of[s], 1.0) for n, s in enumerate(statuses)]
    )


@pytest.mark.parametrize(
    ("statuses", "said"),
    [
        ("", ""),
        ("s", ""),
        ("PPP", "new: passed on 1970-01-03 {} (c0ffee0)"),
        ("PPPs", "new: passed on 1970-01-03 {} (c0ffee0)"),
        ("PFsF", "failing for 3 runs, since 1970-01-02 {} (c0ffee0)"),
        ("FF", "failing for 3 runs, since 1970-01-01 {} (c0ffee0)"),
        ("PFPPFP", "flaky: failed in 3 of the last 7 runs"),
        ("PKPK", "flaky: failed in 3 of the last 5 runs"),
        ("PFPFPF" + "P" * 20, "new: passed on 1970-01-26 {} (c0ffee0)"),
    ],
)
def test_what_is_said_of_one_that_fails_now(
    statuses: str, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("time.localtime", __import__("time").gmtime)
    assert past(statuses).describe(now=True) == said.format("12:00")


def test_what_is_said_of_one_by_its_runs_alone() -> None:
    assert past("PPP").describe(now=False) == ""
    assert past("PFF").describe(now=False).startswith("failing for 2 runs, since 1970-01-02")


def test_an_error_of_the_infrastructure_is_none_of_a_cells_failures() -> None:
    seen = [Seen("r", 0.0, "", status, 1.0) for status in ("failed", "error", "failed")]
    assert Past.of(seen, cell=True).red == 2


def test_a_time_and_a_commit_that_are_none_do_no_harm() -> None:
    assert Seen("r", 1e10, "\x1b[31m", "failed", 1.0).when.startswith("2286-11-20")


def test_what_grew_slower_is_told_by_its_medians() -> None:
    def seen(*seconds: float) -> list[Seen]:
        return [Seen("r", 0.0, "", "passed", s) for s in seconds]

    assert grown(seen(*[1.0] * 5, *[3.0] * 5)) == (1.0, 3.0)
    assert grown(seen(*[1.0] * 5, *[1.2] * 5)) is None
    assert grown(seen(*[0.01] * 5, *[0.1] * 5)) is None
    assert grown(seen(1.0, 9.0)) is None
