"""The answer as a user reads it."""

import io
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from report_samples import FACTS, failed, make_plan, result
from rich.console import Console

from distromatrix.model import (
    Case,
    CaseCounts,
    CellResult,
    CellRun,
    Fallback,
    Flaky,
    Kept,
    Phase,
    Plan,
    RunResult,
    Verdict,
)
from distromatrix.record.verdicts import run_verdict
from distromatrix.reports.commands import resume, run_again
from distromatrix.reports.terminal.summary import print_summary


def shown(
    *cells: CellResult,
    plan: Plan | None = None,
    width: int = 120,
    interrupted: str = "",
    encoding: str = "utf-8",
    folder: Path = Path("/p/.distromatrix/runs/r1"),
) -> str:
    plan = plan or make_plan(*(cell.id for cell in cells), root=Path.cwd())
    verdict, code = run_verdict(cells, interrupted)
    outcome = RunResult(
        run="r1",
        folder=folder,
        verdict=verdict,
        exit_code=code,
        cells=cells,
        seconds=65.0,
        interrupted=interrupted,
    )
    raw = io.BytesIO()
    file = io.TextIOWrapper(raw, encoding=encoding)
    console = Console(file=file, width=width, force_terminal=True, color_system=None)
    print_summary(console, plan, outcome, folder=folder)
    file.flush()
    return raw.getvalue().decode(encoding)


def block(text: str, title: str) -> str:
    """The paragraph that begins with `title`."""
    return next(part for part in text.split("\n\n") if title in part.split("\n")[0])


def test_a_grid_shows_every_cell_in_words() -> None:
    lines = shown(
        result("debian-11/unit/py311"),
        result("debian-11/shell", Verdict.XFAILED),
        failed("alpine-3.20/unit/py311"),
    ).split("\n")
    assert lines[1].split() == ["unit/py311", "shell"]
    assert lines[2].split() == ["debian-11", "✓", "passed", "x", "xfailed"]
    assert lines[3].split() == ["alpine-3.20", "✗", "failed"]


def test_a_grid_says_how_many_cases_passed_and_what_is_beneath_it_has_no_report() -> None:
    text = shown(
        result("debian-11/unit", cases=CaseCounts(passed=12)),
        result("debian-11/lint"),
        result("debian-11/mixed"),
        result("debian-12/unit", cases=CaseCounts(passed=1100, skipped=1)),
        result("debian-12/lint"),
        result("debian-12/mixed", cases=CaseCounts(passed=1)),
    )
    lines = text.split("\n")
    assert " ".join(lines[2].split()) == "debian-11 ✓ passed 12 ✓ passed ✓ passed"
    assert " ".join(lines[3].split()) == "debian-12 ✓ passed 1,100 ✓ passed ✓ passed 1"
    assert "  passed without a report of cases: lint, debian-11/mixed\n" in text


def test_a_grid_too_wide_for_the_screen_is_a_list() -> None:
    text = shown(*(result(f"debian-11/suite-{n}") for n in range(10)), width=60)
    assert "✓ passed   debian-11/suite-9\n" in text


def test_a_group_has_its_cases_the_end_of_the_output_and_the_command() -> None:
    text = shown(
        failed("debian-11/unit", "t::one", tail=("first", "the \x1b[2J end")),
        result("alpine-3.20/unit"),
        result("debian-12/unit"),
    )
    said = block(text, "fails only on debian-11")
    for part in ("unit  t::one", "why t::one", "│ the \\x1b[2J end", "run debian-11/unit"):
        assert part in said
    assert "\x1b[2J" not in text


def test_each_suite_of_a_group_has_its_own_end() -> None:
    text = shown(
        failed("debian-11/unit", "t::one", tail=("the end of unit's",)),
        failed("debian-11/lint", tail=("the end of lint's",)),
        result("debian-12/unit"),
        result("debian-12/lint"),
    )
    said = block(text, "fails only on debian-11")
    places = [said.index(part) for part in ("t::one", "end of unit's", "lint: exit", "end of lint")]
    assert places == sorted(places)
    assert said.count("again") == 1


def test_what_is_said_differently_is_told_with_where() -> None:
    said = block(
        shown(
            failed("debian-11/unit", reason="exit status 2"),
            failed("alpine-3.20/unit", reason="exit status 1"),
        ),
        "fails everywhere (2 of 2)",
    )
    for line in (
        "  unit:\n      exit status 2  in debian-11/unit\n",
        "      exit status 1  in alpine-3.20/unit\n",
    ):
        assert line in said


def test_many_wordings_are_counted() -> None:
    cells = (failed(f"{name}/unit", reason=f"exit status {n}") for n, name in enumerate(FACTS, 1))
    said = block(shown(*cells), "fails everywhere (6 of 6)")
    assert "exit status 3  in" in said and "exit status 4" not in said
    assert "… and in 3 other wordings" in said


def test_hints_of_a_suites_cells_follow_its_end_each_once() -> None:
    hint = "jq is not installed: packages: [jq]"
    text = shown(
        failed("debian-11/unit", tail=("sh: 1: jq: not found",), hints=(hint,)),
        failed("alpine-3.20/unit", tail=("sh: jq: not found",), hints=(hint, "\x1b[2J other")),
    )
    assert text.count(f"  hint    {hint}\n  hint    \\x1b[2J other\n") == 1


def test_a_hint_stands_where_the_case_is_that_it_is_about() -> None:
    """And where no case says whose it is, with all of its cell."""
    about_jq, about_bash = "jq is not installed: packages: [jq]", "[[ is bash's: shell: bash"
    elsewhere, both = "debian-11/unit", "alpine-3.20/unit"
    odd = Case(name="t::odd", status="failed", text="sh: 1: jq: not found")
    even = Case(name="t::even", status="failed", message="1 != 2")
    hints = (about_jq, about_bash)
    text = shown(
        result(elsewhere, Verdict.FAILED, failing=(even,), reason="exit status 1"),
        result(both, Verdict.FAILED, failing=(odd, even), reason="exit status 1", hints=hints),
    )
    of_even, of_odd = block(text, "fails everywhere (2 of 2)"), block(text, "fails only on")
    assert (about_jq in of_even, about_bash in of_even) == (False, True)
    assert (about_jq in of_odd, about_bash in of_odd) == (True, True)


def test_many_cases_are_cut_and_the_rest_is_counted() -> None:
    said = shown(failed("debian-11/unit", *(f"t{n}" for n in range(55))))
    assert "unit  t19\n" in said
    assert "t20" not in said
    assert "… and 35 more in cells/debian-11/unit/junit.xml" in said


def test_the_infrastructures_faults_stand_apart_from_the_products() -> None:
    reason = "no image:\npull: no registry\nbootstrap: mirror down"
    cells = [
        result(f"debian-12/s{n}", Verdict.ERROR, phase=Phase.IMAGE, reason=reason, attempts=2)
        for n in range(9)
    ]
    said = block(shown(*cells), "could not be tested")
    assert "debian-12/s5 and 3 more (image, tried 2 times)" in said
    assert said.count("pull: no registry") == 1
    assert "run --failed" in said


def test_what_the_matrix_asks_for_in_vain_is_told_apart_and_first() -> None:
    text = shown(
        result("debian-11/a", Verdict.ERROR, phase=Phase.IMAGE, reason="no registry"),
        result("debian-12/a", Verdict.ERROR, phase=Phase.PACKAGES, reason="no x", blame="matrix"),
    )
    asked = block(text, "could not be tested: the matrix asks for what does not exist")
    broke = block(text, "could not be tested: infrastructure failure, not a product failure")
    assert ("no x" in asked, "no registry" in asked) == (True, False)
    assert ("no x" in broke, "no registry" in broke) == (False, True)
    assert text.index(asked) < text.index(broke)


def test_reasons_stand_beside_what_did_not_count() -> None:
    text = shown(
        result("debian-11/a", Verdict.SKIPPED, reason="no kernel", unmet=True),
        result("debian-11/b", Verdict.XFAILED, reason="old libc (exit status 1)"),
        result("debian-11/c", Verdict.XPASSED, reason="passed, but was expected to fail: old"),
    )
    assert "no kernel\n      debian-11/a\n" in block(text, "skipped")
    assert "--allow-unmet" in block(text, "skipped")
    assert "old libc (exit status 1)" in block(text, "failed, as expected")
    assert "expected to fail: old" in block(text, "a rule expects a failure")


def test_kept_machines_can_be_entered_and_removed() -> None:
    kept = Kept(name="n", enter="distromatrix shell debian-11/a", remove="docker rm -f n")
    said = block(shown(failed("debian-11/a", kept=kept)), "kept machines")
    assert "enter   distromatrix shell debian-11/a" in said
    assert "remove  docker rm -f n" in said


def test_the_last_lines_say_verdict_counts_seconds_and_where_the_files_are() -> None:
    *_, line, files, _ = shown(result("debian-11/a"), failed("debian-11/b")).split("\n")
    assert line == "failed  2 cells in 1 min 05 s: ✓ 1 passed  ✗ 1 failed"
    assert files.split() == ["files", "/p/.distromatrix/runs/r1"]


def test_an_interrupted_run_says_how_to_go_on() -> None:
    assert "interrupted (SIGINT); continue with: distromatrix run --resume r1" in shown(
        result("debian-11/a"), interrupted="SIGINT"
    )


def test_what_a_product_prints_is_no_markup_and_fits_any_encoding() -> None:
    cells = (failed("debian-11/unit", "t[/red][bold]:smile:", tail=("é [/] ✗",)),)
    assert "t[/red][bold]:smile:" in shown(*cells)
    text = shown(*cells, encoding="ascii")
    assert "F failed" in text
    assert "\\xe9 [/] \\u2717" in text


def test_a_plan_of_many_cells_ends_in_a_bounded_report() -> None:
    cells = [failed(f"debian-{n}/unit", "t", tail=("x",) * 100) for n in range(500)]
    assert len(shown(*cells).split("\n")) < 500 + 40


def test_the_command_names_the_project_where_it_is_not_the_default(tmp_path: Path) -> None:
    plan = make_plan("debian-11/unit", root=tmp_path)
    assert run_again(plan, ["debian-11/unit"], cwd=tmp_path) == "distromatrix run debian-11/unit"
    other = Plan(
        matrix=tmp_path / "matrix/my own.yaml", root=tmp_path, product=plan.product, cells=()
    )
    command = run_again(other, ["a/b"], cwd=Path("/"))
    assert command == f"distromatrix run -C {str(tmp_path)[1:]} -m 'matrix/my own.yaml' a/b"


def test_debug_output_stands_under_the_cell_that_failed() -> None:
    cell = failed("debian-11/unit", tail=("the end",), debug=("free: 0 \x1b[2J", "done"))
    said = block(shown(cell), "fails on debian-11")
    assert said.index("the end of debian-11/unit:") < said.index("debug output of debian-11/unit:")
    assert "  │ free: 0 \\x1b[2J\n  │ done\n" in said
    silent = block(shown(failed("debian-11/unit", debug=("only",))), "fails on debian-11")
    assert "the end of" not in silent
    assert "│ only" in silent


def test_what_went_wrong_beside_a_verdict_is_a_warning() -> None:
    cell = result("debian-11/unit", warnings=("restore ended with exit status 9",))
    assert "debian-11/unit: restore ended with exit status 9" in block(shown(cell), "warnings")


def flaky_cell(cell: str, passed: int, failures: int, case: str = "t::race") -> CellResult:
    runs = tuple(
        CellRun(repeat=n, verdict=Verdict.FAILED if n > passed else Verdict.PASSED)
        for n in range(1, passed + failures + 1)
    )
    one = Flaky(case=case, passed=passed, failed=failures, first=passed + 1, message="too late")
    return failed(cell, tail=("the end",), runs=runs, flaky=(one,), reason="in some runs")


def test_what_ran_on_podman_is_run_again_on_podman(tmp_path: Path) -> None:
    plan = make_plan("debian-11/unit", root=tmp_path)
    on_podman = replace(plan, cells=tuple(replace(c, engine="podman") for c in plan.cells))
    command = run_again(on_podman, ["debian-11/unit"], cwd=tmp_path)
    assert command == "distromatrix run --engine podman debian-11/unit"
    # A resumed run keeps to its plan, and refuses the option.
    assert resume(on_podman, "r1", cwd=tmp_path) == "distromatrix run --resume r1"


def test_what_is_flaky_stands_apart_with_its_counts_and_how_to_run_it_again() -> None:
    cells = (flaky_cell("debian-11/unit", 7, 3), flaky_cell("rocky-9/unit", 9, 1))
    plan = make_plan(*(cell.id for cell in cells), root=Path.cwd())
    text = shown(*cells, plan=replace(plan, repeat=10, seed=42))
    said = block(text, "flaky")
    assert said.count("t::race") == 1
    assert said.count("too late") == 1
    assert "debian-11/unit: passed 7, failed 3 of 10 runs, first in repeat-8" in said
    assert "rocky-9/unit: passed 9, failed 1 of 10 runs, first in repeat-10" in said
    assert "the end of debian-11/unit/repeat-8:" in said
    assert "distromatrix run --repeat 10 --shuffle 42 debian-11/unit rocky-9/unit" in said
    assert "fails everywhere" not in text and "fails only" not in text
    assert "✗ failed 3/10" in text
    assert "2 cells x 10 runs" in text
    assert "seed    42" in text


def test_a_suite_without_cases_is_flaky_as_a_whole() -> None:
    said = block(shown(flaky_cell("debian-11/shell", 1, 1, case="")), "flaky")
    assert "shell  (the suite as a whole)" in said


def test_many_flaky_cases_are_cut_and_the_rest_is_counted() -> None:
    many = tuple(Flaky(case=f"t{n:02}", passed=1, failed=1, first=1) for n in range(55))
    said = block(shown(replace(flaky_cell("debian-11/unit", 1, 1), flaky=many)), "flaky")
    assert "unit  t19\n" in said
    assert "t20" not in said
    assert "… and 35 more in results.json" in said


def test_what_always_fails_is_told_beside_what_is_flaky() -> None:
    mixed = replace(flaky_cell("debian-11/unit", 1, 1), failing=failed("x", "t::always").failing)
    text = shown(mixed, flaky_cell("rocky-9/unit", 1, 1))
    assert "t::always" in block(text, "fails only on debian-11")
    assert "t::always" not in block(text, "flaky")


def fallback(engine: str = "qemu", **other: Any) -> Fallback:
    values: dict[str, Any] = {"why": "needs reboot", "how": "pytest", "tests": ("a", "b")}
    return Fallback(engine=engine, verdict=Verdict.PASSED, **(values | other))


def test_what_ran_in_guests_is_told_with_its_reason() -> None:
    plan = make_plan("debian-11/unit", "debian-11/kernel", root=Path.cwd())
    kernel = replace(plan.cells[1], engine="qemu", reason="needs kernel-modules")
    text = shown(
        result("debian-11/unit", fallback=(fallback(),)),
        replace(result("debian-11/kernel"), engine="qemu"),
        plan=replace(plan, cells=(plan.cells[0], kernel)),
    )
    assert text.split("\n")[2].split() == [
        *("debian-11", "✓", "passed", "(+qemu)", "✓", "passed", "(qemu)")
    ]
    assert block(text, "in guests").split("\n") == [
        "in guests",
        "  qemu: needs reboot",
        "      2 cases of debian-11/unit",
        "  qemu: needs kernel-modules",
        "      debian-11/kernel",
    ]


def test_a_case_that_failed_in_a_guest_says_so() -> None:
    bad = failed("debian-11/unit", "a", "b")
    first, second = bad.failing
    text = shown(replace(bad, failing=(first, replace(second, engine="qemu"))))
    assert "unit  a\n" in text
    assert "unit  b (in qemu)\n" in text


def test_machines_of_guests_that_stay_are_told_each_once() -> None:
    mine = Kept(name="c", enter="enter c", remove="remove c")
    its = Kept(name="g", enter="enter g", remove="remove g")
    both = result("debian-11/unit", kept=mine, fallback=(fallback(kept=its),))
    only = result("debian-12/unit", kept=its, fallback=(fallback(kept=its),))
    text = block(shown(both, only), "kept machines")
    assert [line for line in text.split("\n") if line.startswith("  d")] == [
        "  debian-11/unit",
        "  debian-11/unit (in qemu)",
        "  debian-12/unit (in qemu)",
    ]
    assert text.count("enter g") == 2


def test_a_grid_in_a_log_is_as_wide_as_it_takes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("COLUMNS", raising=False)
    cells = [result(f"debian-11/suite-number-{n}", fallback=(fallback(),)) for n in range(5)]
    plan = make_plan(*(cell.id for cell in cells), root=Path.cwd())
    outcome = RunResult(
        run="r1", folder=Path(), verdict=Verdict.PASSED, exit_code=0, cells=tuple(cells)
    )
    file = io.StringIO()
    print_summary(Console(file=file), plan, outcome, folder=Path())
    row = next(line for line in file.getvalue().split("\n") if line.startswith("debian-11"))
    assert row.count("✓ passed (+qemu)") == 5
