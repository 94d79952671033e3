"""What is said of cells and runs."""

from itertools import product

import pytest

from distromatrix.model import CaseCounts, CellResult, Phase, Verdict
from distromatrix.verdicts import cell_verdict, run_verdict

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
        ({"status": 1, "expect_fail": "old libc"}, XF, Phase.RUN, "old libc (exit status 1)"),
        ({"status": 0, "counts": BAD, "expect_fail": "old"}, XF, Phase.RUN, "old (2 of 40"),
        ({"status": 0, "expect_fail": "old libc"}, XP, Phase.RUN, "expected to fail: old libc"),
        ({"status": 1, "collect_fault": "hostile", "expect_fail": "o"}, F, Phase.RUN, "hostile"),
        ({"status": 0, "collect_fault": "hostile", "expect_fail": "o"}, F, Phase.COLLECT, "hosti"),
    ],
)
def test_the_verdict_of_a_cell(
    facts: dict[str, object], verdict: Verdict, phase: Phase | None, reason: str
) -> None:
    said = cell_verdict(**facts)  # type: ignore[arg-type]
    assert said[:2] == (verdict, phase)
    assert reason in said[2]
    assert bool(said[2]) == (verdict is not P)


def test_a_file_that_is_refused_is_not_said_to_be_missing() -> None:
    said = cell_verdict(status=0, names_junit=True, collect_fault="the JUnit file is cut off")
    assert said == (F, Phase.COLLECT, "the JUnit file is cut off")
