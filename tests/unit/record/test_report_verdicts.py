"""What is said of cells and runs."""

from itertools import product
from typing import Any

import pytest

from distromatrix.model import (
    Case,
    CaseCounts,
    CellResult,
    Expectation,
    FailureKind,
    Phase,
    Verdict,
)
from distromatrix.record.verdicts import SuiteEnd, cell_verdict, run_verdict

P, F, E, S, XF, XP = (
    Verdict.PASSED,
    Verdict.FAILED,
    Verdict.ERROR,
    Verdict.SKIPPED,
    Verdict.XFAILED,
    Verdict.XPASSED,
)


def cells(*verdicts: Verdict, unmet: bool = False) -> list[CellResult]:
    return [CellResult(id=f"d/{n}", verdict=v, unmet=unmet) for n, v in enumerate(verdicts)]


@pytest.mark.parametrize(
    ("verdicts", "interrupted", "expected"),
    [
        ((), "", (P, 0)),
        ((P, XF, S), "", (P, 0)),
        ((S, S), "", (S, 0)),
        ((P, F), "", (F, 1)),
        ((P, XP), "", (F, 1)),
        ((F, E, XP), "", (E, 69)),
        ((F, E), "SIGINT", (E, 130)),
        ((P,), "SIGINT", (E, 130)),
        ((P,), "SIGTERM", (E, 143)),
        ((P,), "SIGHUP", (E, 129)),
        ((P,), "killed", (E, 69)),
    ],
)
def test_the_exit_code_of_a_run(
    verdicts: tuple[Verdict, ...], interrupted: str, expected: tuple[Verdict, int]
) -> None:
    assert run_verdict(cells(*verdicts), interrupted) == expected


def test_every_mix_of_verdicts_has_the_exit_code_of_its_worst() -> None:
    for mix in product(Verdict, repeat=3):
        code = 69 if E in mix else 1 if {F, XP} & set(mix) else 0
        assert run_verdict(cells(*mix))[1] == code


def test_an_unmet_need_fails_the_run_unless_allowed() -> None:
    unmet = [*cells(P), *cells(S, unmet=True)]
    assert run_verdict(unmet) == (F, 1)
    assert run_verdict(unmet, allow_unmet=True) == (P, 0)


OK, BAD = CaseCounts(passed=3), CaseCounts(passed=38, failed=2)
KNOWN = CaseCounts(passed=38, xfailed=2)
WHOLE = (Expectation(reason="old"),)


@pytest.mark.parametrize(
    ("facts", "verdict", "phase", "reason"),
    [
        ({"status": 0}, P, None, ""),
        ({"status": 0, "counts": OK, "names_junit": True}, P, None, ""),
        ({"status": 2}, F, Phase.RUN, "exit status 2"),
        ({"status": 139}, F, Phase.RUN, "SIGSEGV"),
        ({"status": 1, "phase": Phase.SETUP}, F, Phase.SETUP, "setup: exit status 1"),
        ({"status": 1, "counts": BAD}, F, Phase.RUN, "2 of 40 cases failed"),
        ({"status": 0, "counts": BAD}, F, Phase.RUN, "though the command ended with exit status 0"),
        ({"status": 1, "counts": OK}, F, Phase.RUN, "exit status 1, though none of 3 cases failed"),
        (
            {"status": None, "timed_out_after": 600.0, "hung": "sleep 9"},
            F,
            Phase.RUN,
            "timed out after 600 s, running: sleep 9",
        ),
        ({"status": None, "timed_out_after": 1.0, "phase": Phase.SETUP}, F, Phase.SETUP, "setup:"),
        ({"status": None}, F, Phase.RUN, "timed out"),
        ({"status": 137, "oom_limit": 64 * 1024**2}, F, Phase.RUN, "limit of 64 MiB"),
        ({"status": 0, "names_junit": True}, F, Phase.COLLECT, "left no file"),
        ({"status": 127, "names_junit": True}, F, Phase.RUN, "exit status 127; it names"),
        ({"status": 0, "counts": CaseCounts()}, F, Phase.COLLECT, "holds no case"),
        ({"status": 0, "collect_fault": "too big"}, F, Phase.COLLECT, "too big"),
        ({"status": 3, "collect_fault": "too big"}, F, Phase.RUN, "exit status 3; too big"),
        (
            {"status": 1, "expected": (Expectation(reason="old libc"),)},
            XF,
            Phase.RUN,
            "old libc (exit status 1)",
        ),
        ({"status": 0, "counts": KNOWN, "expected": WHOLE}, XF, Phase.RUN, "old (2 of 40"),
        (
            {"status": 0, "expected": (Expectation(reason="old libc"),)},
            XP,
            Phase.RUN,
            "expected to fail: old libc",
        ),
        (
            {"status": 1, "collect_fault": "hostile", "expected": (Expectation(reason="o"),)},
            F,
            Phase.RUN,
            "hostile",
        ),
        (
            {"status": 0, "collect_fault": "hostile", "expected": (Expectation(reason="o"),)},
            F,
            Phase.COLLECT,
            "hosti",
        ),
    ],
)
def test_the_verdict_of_a_cell(
    facts: dict[str, Any], verdict: Verdict, phase: Phase | None, reason: str
) -> None:
    expected = facts.get("expected", ())
    said = cell_verdict(SuiteEnd(**{k: v for k, v in facts.items() if k != "expected"}), expected)
    assert said[:2] == (verdict, phase)
    assert reason in said[2]
    assert bool(said[2]) == (verdict is not P)


NAMED = Expectation(reason="no iconv", cases=("*iconv*",))
NARROW = Expectation(reason="no iconv", cases=("*iconv*",), statuses=(1, 139))
HANGS = Expectation(reason="hangs", kinds=("timeout",))
MIXED = CaseCounts(passed=7, failed=1, xfailed=2)
OUT = {"status": 137, "oom_limit": 64 * 1024**2}
SLOW = {"status": None, "timed_out_after": 60.0}


def whole(*kinds: FailureKind, statuses: tuple[int, ...] = ()) -> Expectation:
    return Expectation(reason="old", kinds=kinds or ("run",), statuses=statuses)


@pytest.mark.parametrize(
    ("facts", "rule", "verdict", "reason"),
    [
        ({"status": 1}, whole(), XF, "old (exit status 1)"),
        ({"status": 139}, whole(), XF, "old (exit status 139 (SIGSEGV))"),
        ({"status": 3}, whole(statuses=(1, 2)), F, "exit status 3, which no rule expects"),
        ({"status": 2}, whole(statuses=(1, 2)), XF, "old"),
        ({"status": 1, "phase": Phase.SETUP}, whole(), F, "setup: exit status 1, which no rule"),
        ({"status": 1, "phase": Phase.SETUP}, whole("setup"), XF, "old (setup: exit status 1)"),
        ({"status": 2, "phase": Phase.SETUP}, whole("setup", statuses=(1,)), F, "exit status 2"),
        ({"status": 1}, whole("setup"), F, "exit status 1, which no rule expects; expected is"),
        (SLOW, whole(), F, "timed out after 60 s, which no rule expects; expected is: old"),
        (SLOW, whole("run", "timeout"), XF, "old (timed out"),
        (SLOW | {"phase": Phase.SETUP}, whole("timeout"), F, "setup: timed out"),
        (SLOW | {"phase": Phase.SETUP}, whole("setup", "timeout"), XF, "setup: timed out"),
        (SLOW | {"counts": BAD}, whole("timeout"), F, "2 of 40 cases failed; timed out"),
        (SLOW | {"names_junit": True}, whole("timeout"), XF, "timed out"),
        (OUT, whole(), F, "out of memory"),
        (OUT, whole("memory"), XF, "old (out of memory"),
        ({"status": 0, "names_junit": True}, whole(), F, "left no file there, which no rule"),
        ({"status": 127, "names_junit": True}, whole(), F, "exit status 127; it names"),
        ({"status": 127, "names_junit": True}, whole("run", "report"), XF, "exit status 127"),
        ({"status": 0, "names_junit": True}, whole("report"), XF, "old (it names"),
        ({"status": 0, "counts": CaseCounts()}, whole("report"), XF, "holds no case"),
        ({"status": 0, "counts": OK}, whole("timeout"), XP, "passed, but was expected to fail"),
    ],
)
def test_a_rule_covers_a_failing_run_and_nothing_else_unless_it_says_so(
    facts: dict[str, Any], rule: Expectation, verdict: Verdict, reason: str
) -> None:
    said = cell_verdict(SuiteEnd(**facts), (rule,))
    assert said[0] is verdict
    assert reason in said[2]


PASSES = (Case(name="a::iconv", status="xpassed", expected="no iconv"),)


@pytest.mark.parametrize(
    ("facts", "rules", "verdict", "reason"),
    [
        ({"status": 1, "counts": KNOWN}, (NAMED,), XF, "no iconv (2 of 40 cases failed)"),
        ({"status": 0, "counts": KNOWN}, (NAMED,), XF, "no iconv (2 of 40 cases failed, though"),
        ({"status": 125, "counts": KNOWN}, (NAMED,), XF, "no iconv (2 of 40"),
        ({"status": 126, "counts": KNOWN}, (NAMED,), F, "126, which no rule expects"),
        ({"status": 139, "counts": KNOWN}, (NAMED,), F, "(SIGSEGV), which no rule expects"),
        ({"status": 139, "counts": KNOWN}, (NARROW,), XF, "no iconv"),
        ({"status": 3, "counts": KNOWN}, (NARROW,), F, "exit status 3, which no rule expects"),
        (SLOW | {"counts": KNOWN}, (NAMED,), F, "timed out"),
        (SLOW | {"counts": KNOWN}, (NAMED, HANGS), XF, "no iconv; hangs (2 of 40"),
        (OUT | {"counts": KNOWN}, (NAMED,), F, "out of memory"),
        ({"status": 1, "phase": Phase.SETUP}, (NAMED,), F, "setup"),
        ({"status": 1, "counts": MIXED}, (NAMED,), F, "3 of 10 cases failed, 2 of them as"),
        ({"status": 1, "counts": MIXED}, (NAMED, whole()), F, "3 of 10 cases failed, 2 of them"),
        ({"status": 139, "counts": KNOWN}, (NAMED, whole()), XF, "no iconv; old (2 of 40"),
        ({"status": 1, "counts": KNOWN}, (NAMED, HANGS), XP, "did not fail in `timeout`"),
        ({"status": 1, "counts": OK}, (NAMED,), F, "exit status 1, though none of 3"),
        ({"status": 0, "counts": OK}, (NAMED,), P, ""),
        ({"status": 1}, (NAMED,), F, "exit status 1"),
        ({"status": 0}, (NAMED,), P, ""),
        ({"status": 0, "names_junit": True}, (NAMED,), F, "left no file there"),
    ],
)
def test_named_cases_cover_themselves_and_the_status_that_they_bring(
    facts: dict[str, Any], rules: tuple[Expectation, ...], verdict: Verdict, reason: str
) -> None:
    met = (rules[0],) if facts.get("counts") in (KNOWN, MIXED) else ()
    said = cell_verdict(SuiteEnd(**facts), rules, met)
    assert said[0] is verdict
    assert reason in said[2]


@pytest.mark.parametrize(
    ("status", "counts", "verdict"),
    [
        (0, CaseCounts(passed=1, xpassed=1), XP),
        (1, CaseCounts(xfailed=1, xpassed=1), XP),
        (1, CaseCounts(xfailed=1, xpassed=1, failed=1), F),
        (1, CaseCounts(passed=1, xpassed=1), F),  # no case that failed explains the status
        (139, CaseCounts(xfailed=1, xpassed=1), F),
    ],
)
def test_a_named_case_that_passes_is_named_and_an_unexpected_failure_beats_it(
    status: int, counts: CaseCounts, verdict: Verdict
) -> None:
    met = (NAMED,) if counts.xfailed else ()
    said = cell_verdict(SuiteEnd(status=status, counts=counts), (NAMED,), met, PASSES)
    assert said[0] is verdict
    assert "passed, but was expected to fail: a::iconv (no iconv)" in said[2]


def test_a_file_that_is_refused_is_not_said_to_be_missing() -> None:
    end = SuiteEnd(status=0, names_junit=True, collect_fault="the JUnit file is cut off")
    said = cell_verdict(end)
    assert said == (F, Phase.COLLECT, "the JUnit file is cut off")
