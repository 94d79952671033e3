"""What is not gating, in every report: shown with its verdict, apart from what counts."""

from __future__ import annotations

import io
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree

from report_samples import failed, result
from rich.console import Console
from test_report_github import made, summary, told
from test_report_summary import block, shown

from distromatrix.model import CellResult, Verdict
from distromatrix.record.events import CellFinished, RunStarted
from distromatrix.reports.files import results_json, write_junit
from distromatrix.reports.grouping import group_faults
from distromatrix.reports.terminal.live import live_report

WHY = "a young distribution"
CELLS = (
    result("debian-12/unit"),
    replace(failed("fedora-41/unit", "t::a"), not_gating=WHY),
    replace(failed("void-musl/unit", "t::a"), not_gating=WHY),
    result("alpine-3.20/unit", Verdict.ERROR, reason="no image", not_gating="rare"),
    replace(result("rocky-9/unit", Verdict.SKIPPED, reason="needs reboot"), unmet=True),
)
GREEN = (*CELLS[:4], replace(CELLS[4], not_gating="rare"))
RED = (failed("debian-12/unit", "t::a"), *GREEN[1:])


def test_the_last_line_keeps_it_apart() -> None:
    line = shown(*GREEN).splitlines()[-2]
    assert line == (
        "passed  5 cells in 1 min 05 s: ✓ 1 passed  ✗ 2 failed, not gating"
        "  ! 1 error, not gating  – 1 skipped, not gating"
    )
    assert "✗ 1 failed  ✗ 2 failed, not gating" in shown(*RED)


def test_the_grid_marks_it() -> None:
    rows = {line.split()[0]: line for line in shown(*GREEN).splitlines()[:8] if line.split()}
    assert rows["fedora-41"].rstrip().endswith("✗ failed (not gating)")
    assert rows["alpine-3.20"].rstrip().endswith("! error (not gating)")
    assert rows["rocky-9"].rstrip().endswith("– skipped (not gating)")
    assert rows["debian-12"].rstrip().endswith("✓ passed")


def test_the_summary_says_why_it_does_not_count_and_how_to_run_it_again() -> None:
    text = shown(*GREEN)
    assert block(text, "not gating: shown").splitlines() == [
        "not gating: shown, but not counted",
        f"  {WHY}",
        "      fedora-41/unit, void-musl/unit",
        "  rare",
        "      alpine-3.20/unit, rocky-9/unit",
    ]
    group = block(text, "fails on fedora-41, void-musl (2 of 3), not gating")
    assert "distromatrix run fedora-41/unit void-musl/unit" in group
    assert block(text, "could not be tested: infrastructure failure, not a product failure, not")
    assert "--allow-unmet" not in text


def test_what_counts_is_told_first_and_a_failure_on_both_kinds_counts() -> None:
    other = failed("debian-12/docs", "t::b")
    cells = (*RED, other, replace(failed("fedora-41/docs", "t::c"), not_gating=WHY))
    text = shown(*cells)
    titles = [line for line in text.splitlines() if line.startswith("✗ fails")]
    assert titles == [
        "✗ fails everywhere (3 of 3)",
        "✗ fails only on debian-12",
        "✗ fails only on fedora-41, not gating",
    ]


def test_passing_unexpectedly_is_kept_apart_too() -> None:
    cells = (
        result("debian-12/unit", Verdict.XPASSED, reason="a"),
        result("fedora-41/unit", Verdict.XPASSED, reason="b", not_gating=WHY),
    )
    text = shown(*cells)
    counts = block(text, "passed, though a rule expects a failure")
    assert "debian-12/unit" in counts and "fedora-41/unit" not in counts
    assert "fedora-41/unit: b" in block(text, "expects a failure, not gating")


def test_faults_that_count_are_told_first() -> None:
    cells = (
        result("a/s", Verdict.ERROR, reason="x", blame="matrix", not_gating=WHY),
        result("b/s", Verdict.ERROR, reason="y"),
        result("c/s", Verdict.ERROR, reason="z", not_gating=WHY),
        result("d/s", Verdict.ERROR, reason="z"),
    )
    faults = [(fault.reason, fault.gating) for fault in group_faults(cells)]
    assert faults == [("y", True), ("z", True), ("x", False)]


def test_github_is_warned_of_it_and_told_no_error() -> None:
    assert {one.level for one in told(*GREEN)} == {"warning"}
    titles = [(one.level, one.title) for one in told(*RED)]
    assert titles[0] == ("error", "t::a fails everywhere (3 of 3)")
    assert titles[1:] == [
        ("warning", "alpine-3.20/unit could not be tested, not gating: no image"),
        ("warning", "rocky-9/unit has unmet needs, not gating"),
    ]


def test_many_warnings_take_no_errors_place() -> None:
    noise = tuple(
        result(f"n{n}/unit", Verdict.ERROR, reason=str(n), not_gating=WHY) for n in range(20)
    )
    levels = [one.level for one in told(*noise, failed("debian-12/unit", "t::a"))]
    assert levels == ["error", *["warning"] * 10, "notice"]


def test_the_title_of_githubs_summary_keeps_it_apart() -> None:
    title = summary(*GREEN).splitlines()[0]
    assert title == (
        "<h2>✅ <code>product</code>: all of 5 cells as expected "
        "(2 failed, 1 could not be tested, 1 skipped, not gating)</h2>"
    )
    title = summary(*RED).splitlines()[0]
    assert "❌ <code>product</code>: of 5 cells 1 failed (2 failed, 1 could" in title
    only = summary(replace(failed("debian-12/unit"), not_gating=WHY)).splitlines()[0]
    assert "nothing that counts was run (1 failed, not gating)" in only


def test_githubs_summary_says_why_and_has_no_red_sign_for_it() -> None:
    text = summary(*GREEN)
    assert f"<summary>⚪ 4 cells not gating</summary><p><code>{WHY}</code>" in text
    assert "❌" not in text and "💥" not in text
    assert "⚪ 2 failed, not gating" in text
    assert "<sub>not gating</sub>" in text


def test_programs_are_told_which_cells_do_not_count_and_why() -> None:
    cells = results_json(*made(*GREEN))["cells"]
    assert [(c["verdict"], c["gating"], c["gating_reason"]) for c in cells[:2]] == [
        ("passed", True, None),
        ("failed", False, WHY),
    ]


def junit(tmp_path: Path, *cells: CellResult) -> ElementTree.Element:
    for cell in cells:
        (tmp_path / "cells" / cell.id).mkdir(parents=True)
    report = (
        '<testsuite><testcase classname="t" name="ok"/>'
        '<testcase classname="t" name="a"><failure message="why a">x</failure></testcase>'
        "</testsuite>"
    )
    (tmp_path / "cells/fedora-41/unit/junit.xml").write_text(report)
    write_junit(tmp_path, *made(*cells))
    return ElementTree.parse(tmp_path / "junit.xml").getroot()


def test_in_junit_nothing_of_it_is_red(tmp_path: Path) -> None:
    root = junit(tmp_path, *GREEN)
    assert (root.get("failures"), root.get("errors")) == ("0", "0")
    messages = {
        case.get("name"): skipped.get("message")
        for case in root.iter("testcase")
        if (skipped := case.find("skipped")) is not None
    }
    assert messages == {
        "a": f"not gating ({WHY}): why a",
        "fedora-41/unit": f"not gating ({WHY}): failed: 1 of 9 cases failed",
        "void-musl/unit": f"not gating ({WHY}): failed: 1 of 9 cases failed",
        "alpine-3.20/unit": "not gating (rare): error: no image",
        "rocky-9/unit": "needs reboot",
    }


def test_in_junit_what_counts_is_as_red_as_ever(tmp_path: Path) -> None:
    cells = tuple(replace(cell, not_gating="") for cell in GREEN)
    root = junit(tmp_path, *cells)
    assert (root.get("failures"), root.get("errors")) == ("2", "1")


def test_while_it_runs_it_is_marked() -> None:
    file = io.StringIO()
    console = Console(file=file, width=100)
    with live_report(console) as live:
        live(RunStarted(run="r", cells=("fedora-41/unit",), jobs=1, engine="e"))
        live(CellFinished(result=CELLS[1]))
    assert "1 of 9 cases failed (not gating)" in file.getvalue()
