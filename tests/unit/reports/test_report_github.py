"""What failed, as GitHub shows it: a summary that is always whole, and few annotations."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from github_reading import command, summary_read
from report_samples import failed, make_plan, result

from distromatrix.collect.masking import Masker
from distromatrix.model import (
    Case,
    CaseCounts,
    CellResult,
    CellRun,
    Flaky,
    Phase,
    Plan,
    RunResult,
    Verdict,
)
from distromatrix.record.verdicts import run_verdict
from distromatrix.reports.commands import run_elsewhere
from distromatrix.reports.github.annotations import Annotation, make_annotations
from distromatrix.reports.github.summary import LIMIT, github_summary

DISTROS = ("debian-11", "debian-12", "rocky-9", "fedora-41", "alpine-3.20")
NAMES = (
    "quote \" and ' and `tick`",
    "pipe | and \\ backslash",
    "${{ secrets.TOKEN }}",
    "<script>alert(1)</script>",
    "</code></pre></details><h1>big",
    "<!-- never ended",
    "&lt; &amp; &#10; &nope;",
    "🎉 :tada: @someone #1 https://mirror.example/",
    "\x1b[31mred\x1b[0m \x1b]0;title\x07",
    "::error::not an error",
    "::add-mask::everything",
    "##[add-mask]everything",
    "100% %0A %25 a:b,c=d",
    "- a list\n\n# a title",
    "\u202eright to left",
    "|---|---|",
    "```",
)


def made(*cells: CellResult, plan: Plan | None = None, **fields: object) -> tuple[Plan, RunResult]:
    plan = plan or make_plan(*(cell.id for cell in cells), root=Path("/p/product"))
    verdict, exit_code = run_verdict(cells)
    given = {"run": "r1", "folder": Path("/f"), "verdict": verdict, "exit_code": exit_code}
    return plan, RunResult(**{**given, "seconds": 72.0, "cells": cells, **fields})  # type: ignore[arg-type]


def everywhere(*cells: CellResult, suite: str = "unit") -> tuple[CellResult, ...]:
    """Those, and the other distros' cells of the suite, passed."""
    given = {cell.id: cell for cell in cells}
    return tuple(given.get(f"{d}/{suite}") or result(f"{d}/{suite}", seconds=1.0) for d in DISTROS)


def told(*cells: CellResult, **fields: object) -> tuple[Annotation, ...]:
    return make_annotations(*made(*cells, **fields))


def summary(*cells: CellResult, before: int = 0, **fields: object) -> str:
    return github_summary(*made(*cells, **fields), before=before)


# --- annotations ---------------------------------------------------------------------------


def test_what_fails_only_on_alpine_reads_as_just_that() -> None:
    cells = everywhere(failed("alpine-3.20/unit", "t::all", "t::libc"))
    cells = tuple(
        c if c.id == "alpine-3.20/unit" else failed(c.id, "t::all", reason="x") for c in cells
    )
    first, second = told(*cells)
    assert first.title == "t::libc fails only on alpine-3.20 (musl)"
    assert first.message.splitlines() == [
        "t::libc fails only on alpine-3.20 (musl)",
        "why t::libc",
        "in alpine-3.20/unit",
        "again: distromatrix run alpine-3.20/unit",
    ]
    assert second.title == "t::all fails everywhere (5 of 5)"
    assert second.message.splitlines()[2].startswith("in debian-11/unit, debian-12/unit, ")


def test_the_fewest_distros_come_first_then_all_of_them_then_what_broke() -> None:
    fails = {
        "debian-11": ("t::all", "t::two"),
        "debian-12": ("t::all", "t::two"),
        "rocky-9": ("t::all", "t::one"),
        "fedora-41": ("t::all",),
    }
    cells = [failed(f"{distro}/unit", *cases) for distro, cases in fails.items()]
    broken = result("alpine-3.20/unit", Verdict.ERROR, reason="no image", phase=Phase.IMAGE)
    assert [one.title for one in told(*cells, broken)] == [
        "t::one fails only on rocky-9",
        "t::two fails only on debian family (debian-11, debian-12)",
        "t::all fails everywhere (4 of 4)",
        "alpine-3.20/unit could not be tested (image): no image",
    ]


def test_many_cells_are_run_again_by_what_they_share() -> None:
    one_suite = make_plan(*(f"d{n}/unit" for n in range(12)), root=Path("/p"))
    assert run_elsewhere(one_suite, [c.id for c in one_suite.cells]) == (
        "distromatrix run '*/unit'"
    )
    one_distro = make_plan(*(f"debian-12/s{n}" for n in range(12)), root=Path("/p"))
    assert run_elsewhere(one_distro, [c.id for c in one_distro.cells]) == (
        "distromatrix run debian-12"
    )


def test_a_case_is_told_once_for_all_its_distros() -> None:
    (one,) = told(*everywhere(*(failed(f"{d}/unit", "t::a") for d in DISTROS)))
    assert one.title == "t::a fails everywhere (5 of 5)"


def test_one_failure_in_two_wordings_is_one_annotation_and_one_entry() -> None:
    plan, outcome = made(
        failed("debian-12/unit", reason="exit status 2", tail=("no such folder",)),
        failed("alpine-3.20/unit", reason="exit status 1"),
    )
    (one,) = make_annotations(plan, outcome)
    assert one.title == "unit fails everywhere (2 of 2)"
    assert one.message.splitlines()[1:3] == [
        "debian-12/unit: exit status 2",
        "alpine-3.20/unit: exit status 1",
    ]
    text = github_summary(plan, outcome)
    assert text.count("<h3>") == 1
    assert "<code>exit status 2</code> in <code>debian-12/unit</code>" in text
    assert "<code>exit status 1</code> in <code>alpine-3.20/unit</code>" in text


def test_each_suite_that_fails_on_one_distro_has_its_end_in_the_summary() -> None:
    cells = (failed(f"debian-12/s{n}", tail=(f"the end {n}",)) for n in range(3))
    text = github_summary(*made(*cells, *everywhere()))
    assert all(f"the end {n}" in text for n in range(3))


def test_hints_are_in_the_summary_and_the_annotation() -> None:
    hint = "jq is not installed: packages: [jq] <b>"
    plan, outcome = made(*(failed(f"{d}/unit", hints=(hint,)) for d in DISTROS[:2]))
    (one,) = make_annotations(plan, outcome)
    assert one.message.splitlines().count(f"hint: {hint}") == 1
    text = github_summary(plan, outcome)
    assert (
        text.count("<p>hint: <code>jq is not installed: packages: [jq] &lt;b&gt;</code></p>") == 1
    )


def test_a_package_that_does_not_exist_is_told_as_the_matrixs_fault() -> None:
    plan, outcome = made(
        result("debian-12/a", Verdict.ERROR, phase=Phase.PACKAGES, reason="no x", blame="matrix")
    )
    (one,) = make_annotations(plan, outcome)
    assert "the matrix asks for what does not exist" in one.message
    text = github_summary(plan, outcome)
    assert "<h3>💥 could not be tested: the matrix asks for what does not exist</h3>" in text
    assert "infrastructure" not in one.message + text


def test_ten_errors_are_told_and_one_notice_counts_the_rest() -> None:
    many = tuple(f"t::{n:02}" for n in range(40))
    cells = everywhere(failed("alpine-3.20/unit", *many), failed("debian-11/unit", "t::old"))
    *errors, notice = told(*cells)
    assert [one.level for one in errors] == ["error"] * 10
    assert notice.level == "notice"
    assert notice.message.endswith("for 31 more failures; GitHub shows 10 per step")
    # of each group one is told before any has its second
    assert errors[-1].title == "t::old fails only on debian-11"
    assert errors[0].message.splitlines()[3] == "and 39 more with it"
    assert errors[8].title == "t::08 fails only on alpine-3.20 (musl)"


def test_nothing_is_told_of_what_is_as_it_should_be() -> None:
    expected = result("rocky-9/unit", Verdict.XFAILED, reason="known")
    assert told(*everywhere(expected, result("fedora-41/unit", Verdict.SKIPPED))) == ()


def test_flaky_unexpected_and_unmet_are_told() -> None:
    runs = tuple(CellRun(repeat=n, verdict=Verdict.PASSED) for n in (1, 2, 3))
    flaky = result(
        "debian-11/unit",
        Verdict.FAILED,
        runs=runs,
        flaky=(Flaky(case="t::a", passed=2, failed=1, first=3, message="boom"),),
    )
    against = result("debian-12/unit", Verdict.XPASSED, reason="passed, but")
    unmet = replace(result("rocky-9/unit", Verdict.SKIPPED, reason="no gpu"), unmet=True)
    titles = [one.title for one in told(flaky, against, unmet)]
    assert titles == [
        "t::a is flaky in debian-11/unit",
        "debian-12/unit passed, though a rule expects a failure",
        "rocky-9/unit has unmet needs",
    ]
    assert [one.title for one in told(unmet, exit_code=0, verdict=Verdict.PASSED)] == []


def test_a_run_that_was_cut_off_says_so() -> None:
    (one,) = told(result("debian-11/unit"), verdict=Verdict.ERROR, interrupted="SIGTERM")
    assert one.title == "the run was interrupted (SIGTERM)"


@pytest.mark.parametrize("name", NAMES)
def test_an_annotation_is_one_command_and_says_what_it_was_given(name: str) -> None:
    cell = failed("alpine-3.20/unit", "x")
    case = Case(name=name, status="failed", message=name, text=f"{name}\n{name}")
    for one in told(*everywhere(replace(cell, failing=(case,)))):
        line = str(one)
        assert len(line.splitlines()) == 1
        got = command(line)
        assert got is not None
        assert got.name == "error"
        assert got.properties == {"title": one.title}
        assert got.data == one.message
        assert "\x1b" not in line
        assert "\u202e" not in line


def test_a_place_with_odd_characters_is_escaped() -> None:
    got = command(str(Annotation(level="error", title="t", message="m", file="a,b:c%.py", line=3)))
    assert got is not None
    assert got.properties == {"file": "a,b:c%.py", "line": "3", "title": "t"}


def test_an_annotation_is_never_longer_than_a_runner_keeps() -> None:
    case = Case(name="🎉" * 5000, status="failed", message="🎉" * 5000)
    cells = tuple(
        replace(failed(f"d{n}/unit", "x"), failing=(case,), reason="x") for n in range(500)
    )
    for one in told(*cells):
        assert len(one.message.encode("utf-16-le")) // 2 <= 4096
        assert len(one.title) <= 255


# --- the summary ---------------------------------------------------------------------------


def test_the_summary_says_first_what_fails_only_where() -> None:
    cells = everywhere(
        failed("alpine-3.20/unit", "t::libc", tail=("one", "", "  two"), seconds=9.0)
    )
    read = summary_read(summary(*cells))
    assert read.by_tag["h2"] == ["❌ product: of 5 cells 1 failed"]
    assert read.by_tag["h3"] == ["❌ t::libc fails only on alpine-3.20 (musl)"]
    assert "distromatrix run alpine-3.20/unit" in read.by_tag["pre"]
    assert "one\n\n  two" in read.by_tag["pre"]
    assert read.by_tag["tr"][0] == "unit"
    assert set(read.by_tag["tr"][1:6]) == {
        *(f"{distro}✅" for distro in DISTROS if distro != "alpine-3.20"),
        "alpine-3.20❌",
    }
    assert "alpine-3.20/unit9.0 s" in read.by_tag["tr"]


def test_all_green_is_said_in_one_line() -> None:
    read = summary_read(summary(*everywhere()))
    assert read.by_tag["h2"] == ["✅ product: all of 5 cells as expected"]
    assert "h3" not in read.by_tag


def test_lost_shards_are_told_with_their_cells() -> None:
    lost = [
        result(f"{d}/unit", Verdict.ERROR, reason="shard 2/3 is lost: its job left no run")
        for d in DISTROS[:2]
    ]
    read = summary_read(summary(*everywhere(*lost)))
    assert read.by_tag["h2"] == ["💥 product: of 5 cells 2 could not be tested"]
    assert (
        "shard 2/3 is lost: its job left no rundebian-11/unit, debian-12/unit" in read.by_tag["p"]
    )


def test_every_verdict_has_its_place() -> None:
    flaky = replace(
        result("debian-11/unit", Verdict.FAILED),
        runs=tuple(
            CellRun(repeat=n, verdict=v)
            for n, v in ((1, Verdict.FAILED), (2, Verdict.PASSED), (3, Verdict.PASSED))
        ),
        flaky=(Flaky(case="t::a", passed=2, failed=1, first=1, message="boom"),),
    )
    cells = (
        flaky,
        result("debian-12/unit", Verdict.XPASSED, reason="passed, but was expected to fail"),
        result("rocky-9/unit", Verdict.XFAILED, reason="old glibc"),
        replace(result("fedora-41/unit", Verdict.SKIPPED, reason="no gpu"), unmet=True),
        result("alpine-3.20/unit", Verdict.SKIPPED, reason="glibc only"),
    )
    read = summary_read(summary(*cells))
    for said in ("boom", "passed 2, failed 1 of 3", "old glibc", "no gpu", "glibc only"):
        assert said in read.text
    assert "debian-11❌ 1/3" in read.by_tag["tr"]


@pytest.mark.parametrize("name", NAMES)
def test_what_products_say_is_text_and_nothing_else(name: str) -> None:
    case = Case(name=name, status="failed", message=name)
    cell = replace(
        failed("alpine-3.20/unit", "x", tail=(name, "", *name.split("\n"))), failing=(case,)
    )
    broken = result("rocky-9/unit", Verdict.ERROR, reason=name, tail=(name,))
    skipped = result("fedora-41/unit", Verdict.SKIPPED, reason=name)
    cells = everywhere(cell, broken, skipped)
    plan = make_plan(*(c.id for c in cells), root=Path("/p") / name.replace("/", "∕"))
    text = github_summary(*made(*cells, plan=plan))
    read = summary_read(text)
    shown = name.partition("\n")[0]
    if "\x1b" in name:
        assert "\x1b" not in text
        shown = "red"
    if "\u202e" in name:
        shown = "\\u202e"
    assert any(shown in code for code in read.by_tag["code"])
    assert any(shown in pre for pre in read.by_tag["pre"])


def test_a_big_grid_shows_first_what_is_not_as_expected() -> None:
    ids = [f"d{n}/s{m}" for n in range(30) for m in range(20)]
    cells = [failed(i, "t::x") if i == "d7/s3" else result(i) for i in ids]
    text = summary(*cells)
    read = summary_read(text)
    assert read.by_tag["table"][0] == "s3d7❌"
    assert "29 distros and 19 suites as expected" in read.text
    assert read.by_tag["table"][1].count("✅") == 599


def test_two_thousand_cells_with_ten_thousand_failures_fit_and_are_whole() -> None:
    cells = []
    for n in range(2000):
        distro, suite = n % 40, n // 40
        names = tuple(f"t::{'<&' * 60}{(n * 7 + k) % 10_000}" for k in range(5))
        cell = failed(f"d{distro}/s{suite}", *names, tail=("&" * 400,) * 40, seconds=float(n))
        cells.append(cell)
    plan, outcome = made(*cells)
    text = github_summary(plan, outcome)
    assert len(text.encode()) < LIMIT
    read = summary_read(text)
    assert read.by_tag["h2"] == ["❌ product: of 2,000 cells 2,000 failed"]
    assert "This summary was cut" in read.text
    assert read.by_tag["table"]  # the grid is there
    assert len(make_annotations(plan, outcome)) == 11


@pytest.mark.parametrize("left", [0, 10, 200, 900, 2_000, 10_000])
def test_where_there_is_little_room_it_is_cut_between_its_parts(left: int) -> None:
    cells = everywhere(failed("alpine-3.20/unit", "t::libc", tail=("x" * 200,) * 20))
    text = summary(*cells, before=LIMIT - left)
    assert len(text.encode()) <= left
    if text:
        read = summary_read(text)
        assert read.by_tag["h2"]
    else:
        assert left < 2000


def test_secrets_are_masked_before_they_are_cut_or_escaped() -> None:
    secret = "p<ss&w0rd" * 5
    cell = failed("alpine-3.20/unit", "x", tail=(f"token={secret}",))
    case = Case(name=f"t[{secret}]", status="failed", message="m" * 260 + (secret + "m" * 280) * 3)
    cells = everywhere(
        replace(cell, failing=(case,)), result("rocky-9/unit", Verdict.ERROR, reason=secret)
    )
    plan, outcome = made(*cells)
    mask = Masker((secret,)).mask
    said = github_summary(plan, outcome, mask=mask) + "".join(
        map(str, make_annotations(plan, outcome, mask=mask))
    )
    assert "***" in said
    assert "p<ss" not in said
    assert "p&lt;ss" not in said


def test_the_counts_of_cells_are_not_those_of_cases() -> None:
    cell = result("debian-11/unit", cases=CaseCounts(passed=9))
    assert "1 passed" in summary_read(summary(cell)).text


@pytest.mark.parametrize("name", NAMES)
def test_warnings_of_the_run_are_told_as_text(name: str) -> None:
    plan, outcome = made(*everywhere())
    text = github_summary(plan, outcome, warnings=["shards differ", f"odd: {name}"])
    summary_read(text)
    assert "2 warnings" in text and "<li><code>shards differ</code></li>" in text


def test_of_many_warnings_some_are_told_and_the_rest_counted() -> None:
    text = github_summary(*made(*everywhere()), warnings=[f"w{n}" for n in range(250)])
    assert "250 warnings" in text and "<li>150 more</li>" in text and "w100" not in text
