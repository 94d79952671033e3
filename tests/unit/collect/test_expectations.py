"""Rules that name cases: exactly these may fail, in every report, and whatever else happens."""

from __future__ import annotations

import json
from glob import escape
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
from executing import World, cell

from distromatrix.collect.junit import read_cases
from distromatrix.model import Case, CaseCounts, CaseStatus, CellResult, Expectation, Verdict
from distromatrix.record.expectations import Marker, literal
from distromatrix.reports.files import write_reports

ICONV = Expectation(reason="musl's iconv has no //TRANSLIT", cases=("*iconv*",))
OTHER = Expectation(reason="no numfmt", cases=("gnu::numfmt", "gnu::cksum"))


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


def report(**cases: str) -> str:
    """A script that leaves a report: a name and how it ended, `__` for `::`."""
    ends = {"passed": "", "failed": "<failure message='no'/>", "skipped": "<skipped/>"}
    said = "".join(
        f"<testcase classname='{name.rpartition('__')[0]}' name='{name.rpartition('__')[2]}'>"
        f"{ends[how]}</testcase>"
        for name, how in cases.items()
    )
    return f'echo "<testsuite>{said}</testsuite>" >$DISTROMATRIX_JUNIT; '


KNOWN = report(libc__iconv_euro="failed", libc__plain="passed")
BESIDE = report(libc__iconv_euro="failed", libc__plain="failed")
MENDED = report(libc__iconv_euro="passed", libc__plain="passed")


def run(world: World, script: str, *rules: Expectation, **other: Any) -> CellResult:
    result = world.execute(cell("a/s", script, expect_fail=rules or (ICONV,), **other))
    write_reports(world.run, world.plan, result)
    return result.cells[0]


def junit(world: World) -> dict[str, tuple[str, ...]]:
    """The cases of the merged junit.xml: the outcome's tag, type and message."""
    root = ElementTree.parse(world.run / "junit.xml").getroot()
    return {
        f"{case.get('classname')}::{case.get('name')}": tuple(
            str(value) for one in case for value in (one.tag, one.get("type"), one.get("message"))
        )
        for case in root.iter("testcase")
    }


def cells_json(world: World) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((world.run / "results.json").read_text())["cells"][0]
    return found


def test_a_named_case_that_fails_is_expected_and_each_case_says_its_own(world: World) -> None:
    result = run(world, f"{KNOWN} exit 1")
    assert result.verdict is Verdict.XFAILED
    assert result.reason == "musl's iconv has no //TRANSLIT (1 of 2 cases failed)"
    assert result.cases == CaseCounts(passed=1, xfailed=1)
    assert (result.failing, [c.name for c in result.xfailed]) == ((), ["libc::iconv_euro"])
    assert junit(world) == {
        "libc::iconv_euro": ("skipped", "distromatrix.xfail", ICONV.reason),
        "libc::plain": (),
    }
    assert cells_json(world)["cases"] == {
        "passed": 1,
        "failed": 0,
        "skipped": 0,
        "xfailed": 1,
        "xpassed": 0,
    }


def test_a_failing_case_beside_an_expected_one_is_red(world: World) -> None:
    result = run(world, f"{BESIDE} exit 1")
    assert result.verdict is Verdict.FAILED
    assert result.reason == "2 of 2 cases failed, 1 of them as expected"
    assert [c.name for c in result.failing] == ["libc::plain"]
    assert junit(world) == {
        "libc::iconv_euro": ("skipped", "distromatrix.xfail", ICONV.reason),
        "libc::plain": ("failure", "None", "no"),
    }
    counts = ElementTree.parse(world.run / "junit.xml").getroot()
    assert (counts.get("failures"), counts.get("skipped")) == ("1", "1")


def test_a_named_case_that_passes_is_named(world: World) -> None:
    result = run(world, MENDED)
    assert result.verdict is Verdict.XPASSED
    assert "libc::iconv_euro (musl's iconv has no //TRANSLIT)" in result.reason
    assert junit(world) == {
        "libc::iconv_euro": (
            "failure",
            "distromatrix.xpass",
            "passed, though a rule expects it to fail: musl's iconv has no //TRANSLIT",
        ),
        "libc::plain": (),
    }
    assert cells_json(world)["xpassed"] == ["libc::iconv_euro"]


def test_a_crash_after_a_known_failure_is_red_and_told_in_junit(world: World) -> None:
    result = run(world, f"{KNOWN} exit 139")
    assert result.verdict is Verdict.FAILED
    whole = junit(world)["a/s::a/s"]
    assert whole[0] == "failure" and "exit status 139 (SIGSEGV), which no rule expects" in whole[2]


def test_each_rule_gives_its_own_reason_and_what_is_skipped_says_nothing(world: World) -> None:
    script = report(
        libc__iconv="failed", gnu__numfmt="failed", gnu__cksum="skipped", gnu__ls="passed"
    )
    result = run(world, f"{script} exit 1", ICONV, OTHER)
    assert result.verdict is Verdict.XFAILED
    assert result.reason == f"{ICONV.reason}; {OTHER.reason} (2 of 4 cases failed)"
    assert {c.name: c.expected for c in result.xfailed} == {
        "libc::iconv": ICONV.reason,
        "gnu::numfmt": OTHER.reason,
    }
    assert [one.glob for one in result.unmatched] == ["gnu::cksum"]


@pytest.mark.parametrize("script", [report(libc__icovn="passed"), "true"])
def test_a_glob_that_no_case_that_ran_is_called_by_is_told(world: World, script: str) -> None:
    result = run(world, script)
    assert result.verdict is Verdict.PASSED
    (one,) = result.unmatched
    assert (one.glob, one.reason) == ("*iconv*", ICONV.reason)
    assert one.near == ("libc::icovn" if "icovn" in script else "")
    (told,) = cells_json(world)["unmatched"]
    assert told == {"glob": "*iconv*", "reason": ICONV.reason, "near": one.near}


@pytest.mark.parametrize("script", ["exit 1", "sleep 60"])
def test_where_nothing_came_to_run_no_glob_is_told(world: World, script: str) -> None:
    setup = (script,) if script == "exit 1" else ()
    result = run(world, script, setup=setup, timeout=0.5)
    assert (result.verdict, result.unmatched) == (Verdict.FAILED, ())


def test_a_whole_cell_that_is_expected_to_fail_marks_its_cases(world: World) -> None:
    result = run(world, f"{BESIDE} exit 1", Expectation(reason="not ported"))
    assert (result.verdict, result.cases) == (Verdict.XFAILED, CaseCounts(xfailed=2))
    assert {case[:2] for case in junit(world).values()} == {("skipped", "distromatrix.xfail")}


def test_a_timeout_is_not_what_a_failing_run_was_expected_to_be(world: World) -> None:
    result = run(world, "sleep 60", Expectation(reason="not ported"), timeout=0.5)
    assert result.verdict is Verdict.FAILED
    assert "which no rule expects; expected is: not ported" in result.reason
    again = run(world, "sleep 60", Expectation(reason="slow", kinds=("timeout",)), timeout=0.5)
    assert again.verdict is Verdict.XFAILED


@pytest.mark.parametrize("name", ["test[a-1]", "a*b", "what?", "[]", "a]b[", "[!x]", "ü ünder"])
def test_a_name_that_is_escaped_matches_itself_and_nothing_else(name: str) -> None:
    marker = Marker((Expectation(reason="r", cases=(escape(name),)),))
    assert literal(escape(name)) == name
    assert marker.mark(Case(name=name, status="failed")).status == "xfailed"
    assert marker.mark(Case(name=f"{name}x", status="failed")).status == "failed"
    assert marker.mark(Case(name="testa", status="failed")).status == "failed"


@pytest.mark.parametrize(
    ("status", "flaky", "marked"),
    [
        ("failed", False, "xfailed"),
        ("error", False, "xfailed"),
        ("passed", False, "xpassed"),
        ("passed", True, "xfailed"),  # it did fail
        ("skipped", False, "skipped"),
    ],
)
def test_what_a_rule_makes_of_a_case(status: CaseStatus, flaky: bool, marked: str) -> None:
    marker = Marker((ICONV,))
    assert marker.mark(Case(name="x iconv", status=status, flaky=flaky)).status == marked


def test_ten_thousand_expected_failures_hide_no_other(tmp_path: Path) -> None:
    one = '<testcase name="iconv {}"><failure message="x">{}</failure></testcase>'
    xml = "".join(one.format(n, "text") for n in range(12_000))
    path = tmp_path / "junit.xml"
    path.write_text(f"<testsuite>{xml}{one.format('', '').replace('iconv', 'other')}</testsuite>")
    got = read_cases(path, expected=(ICONV,))
    assert got.counts == CaseCounts(failed=1, xfailed=12_000)
    assert [case.name for case in got.failing] == ["other"]
    assert len(got.xfailed) == 10_000
    assert got.met == (ICONV,)
