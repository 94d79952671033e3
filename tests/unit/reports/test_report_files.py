"""results.json and junit.xml are always there, whole, and valid."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
from junitparser import JUnitXml, TestCase
from report_samples import failed, make_plan, result

from distromatrix.errors import InfrastructureError
from distromatrix.model import CellResult, Expectation, Flaky, ImageUsed, Plan, RunResult, Verdict
from distromatrix.record.repetitions import Runs
from distromatrix.reports.files import results_json, write_junit, write_reports


def run(folder: Path, *cells: CellResult) -> tuple[Plan, RunResult]:
    plan = make_plan(*(cell.id for cell in cells))
    ruled = {c.id for c in cells if c.verdict in (Verdict.XFAILED, Verdict.XPASSED)}
    rule = (Expectation(reason="why"),)
    planned = (replace(c, expect_fail=rule if c.id in ruled else ()) for c in plan.cells)
    plan = replace(plan, cells=tuple(planned))
    return plan, RunResult(
        run="r1", folder=folder, verdict=Verdict.FAILED, exit_code=1, cells=cells, seconds=2.5
    )


def leave(folder: Path, cell: str, xml: bytes) -> None:
    path = folder / "cells" / cell / "junit.xml"
    path.parent.mkdir(parents=True)
    path.write_bytes(xml)


def suites(folder: Path, *cells: CellResult) -> dict[str, list[tuple[str, ...]]]:
    """suite -> its cases' (name, outcome's class, message), after a trip through a reader."""
    write_junit(folder, *run(folder, *cells))
    merged = JUnitXml.fromfile(str(folder / "junit.xml"))
    return {suite.name: [_case(case) for case in suite] for suite in merged}


def _case(case: TestCase) -> tuple[str, ...]:
    outcome = case.result[:1]
    return (case.name, *((type(outcome[0]).__name__, outcome[0].message) if outcome else ()))


def test_results_json_has_the_promised_shape(tmp_path: Path) -> None:
    cell = failed("debian-12/unit", "a", image=ImageUsed(source="pull", id="sha256:1"), seconds=1.5)
    bare = CellResult(id="alpine-3.20/unit", verdict=Verdict.SKIPPED, reason="no")
    bare = replace(bare, debug=("free: 9",), warnings=("restore ended with exit status 9",))
    plan, outcome = run(tmp_path, cell, bare)
    write_reports(tmp_path, plan, outcome)
    got = json.loads((tmp_path / "results.json").read_text())
    assert got == results_json(plan, outcome)
    assert (got["run"], got["verdict"]) == ("r1", "failed")
    assert [c["id"] for c in got["plan"]["cells"]] == ["debian-12/unit", "alpine-3.20/unit"]
    assert got["cells"] == [
        {
            "id": "debian-12/unit",
            "verdict": "failed",
            "gating": True,
            "gating_reason": None,
            "phase": "run",
            "engine": "docker",
            "seconds": 1.5,
            "reason": "1 of 9 cases failed",
            "blame": None,
            "image": {"source": "pull", "id": "sha256:1"},
            "cases": {"passed": 8, "failed": 1, "skipped": 0, "xfailed": 0, "xpassed": 0},
            "xpassed": [],
            "unmatched": [],
            "debug": [],
            "hints": [],
            "warnings": [],
            "needing": [],
            "runs": [],
            "retries": [],
            "flaky": [],
            "fallback": [],
            "facts": None,
        },
        {
            "id": "alpine-3.20/unit",
            "verdict": "skipped",
            "gating": True,
            "gating_reason": None,
            "phase": None,
            "engine": None,
            "seconds": 0.0,
            "reason": "no",
            "blame": None,
            "image": None,
            "cases": None,
            "xpassed": [],
            "unmatched": [],
            "debug": ["free: 9"],
            "hints": [],
            "warnings": ["restore ended with exit status 9"],
            "needing": [],
            "runs": [],
            "retries": [],
            "flaky": [],
            "fallback": [],
            "facts": None,
        },
    ]


def test_a_cells_own_cases_are_merged_and_counted(tmp_path: Path) -> None:
    leave(
        tmp_path,
        "debian-12/unit",
        b'<testsuite><testcase classname="a.b" name="ok" time="0.5"/>'
        b'<testcase name="bad"><failure message="m">t</failure></testcase>'
        b'<testcase name="err"><error message="e"/></testcase>'
        b'<testcase name="skip"><skipped message="s"/></testcase></testsuite>',
    )
    assert suites(tmp_path, failed("debian-12/unit", "bad"), result("rocky-9/unit")) == {
        "debian-12/unit": [
            ("ok",),
            ("bad", "Failure", "m"),
            ("err", "Error", "e"),
            ("skip", "Skipped", "s"),
        ],
        "rocky-9/unit": [("rocky-9/unit",)],
    }
    merged = JUnitXml.fromfile(str(tmp_path / "junit.xml"))
    assert (merged.tests, merged.failures, merged.errors, merged.skipped) == (5, 1, 1, 1)
    assert next(iter(next(iter(merged)))).classname == "a.b"


GREEN = b'<testsuite><testcase name="ok"/></testsuite>'
RED = b'<testsuite><testcase name="bad"><failure message="m"/></testcase></testsuite>'


@pytest.mark.parametrize(
    ("verdict", "xml", "expected"),
    [
        (Verdict.FAILED, None, [("rocky-9/unit", "Failure", "failed: why")]),
        (Verdict.FAILED, GREEN, [("ok",), ("rocky-9/unit", "Failure", "failed: why")]),
        (Verdict.FAILED, GREEN[:40], [("rocky-9/unit", "Failure", "failed: why")]),
        (Verdict.ERROR, None, [("rocky-9/unit", "Error", "error: why")]),
        (Verdict.XPASSED, GREEN, [("ok",), ("rocky-9/unit", "Failure", "xpassed: why")]),
        (Verdict.XFAILED, RED, [("bad", "Skipped", "why")]),
        (Verdict.XFAILED, None, [("rocky-9/unit", "Skipped", "xfailed: why")]),
        (Verdict.SKIPPED, None, [("rocky-9/unit", "Skipped", "why")]),
        (Verdict.PASSED, None, [("rocky-9/unit",)]),
        (Verdict.PASSED, GREEN, [("ok",)]),
    ],
)
def test_a_reader_of_junit_sees_every_verdict(
    tmp_path: Path, verdict: Verdict, xml: bytes | None, expected: list[tuple[str, ...]]
) -> None:
    if xml is not None:
        leave(tmp_path, "rocky-9/unit", xml)
    assert suites(tmp_path, result("rocky-9/unit", verdict, reason="why")) == {
        "rocky-9/unit": expected
    }


def test_whatever_a_product_prints_the_xml_is_valid(tmp_path: Path) -> None:
    leave(
        tmp_path,
        "rocky-9/unit",
        '<testsuite><testcase classname="&quot;&lt;&#x9;" name="&amp;]]&gt;&#xFFFD;é"><failure '
        'message="s &lt;a&gt;&#10;two"> ]]&gt; &lt;x s</failure></testcase></testsuite>'
        "".encode(),
    )
    odd = failed("debian-12/unit", tail=("]]> \x00\x1b\ud800\uffff <&\"'",), reason="\x00<\ufffe")
    plan, outcome = run(tmp_path, failed("rocky-9/unit", "x"), odd)
    write_junit(tmp_path, plan, outcome)
    rocky, debian = JUnitXml.fromfile(str(tmp_path / "junit.xml"))
    (case,) = rocky
    assert case.name == "&]]>\ufffdé"
    assert case.result[0].message == "s <a>"
    assert case.result[0].text == " ]]> <x s"
    (case,) = debian
    assert "\\x00\\x1b\\ud800\\uffff" in case.result[0].text


def test_a_report_is_written_whole_or_not_at_all(tmp_path: Path, monkeypatch) -> None:
    plan, outcome = run(tmp_path, result("rocky-9/unit"))
    write_reports(tmp_path, plan, outcome)
    before = (tmp_path / "junit.xml").read_bytes()

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("shutil.copyfileobj", full)
    with pytest.raises(InfrastructureError, match="No space left"):
        write_junit(tmp_path, plan, replace(outcome, run="r2"))
    assert (tmp_path / "junit.xml").read_bytes() == before
    assert {p.name for p in tmp_path.iterdir()} == {"junit.xml", "results.json"}


def test_debug_output_is_the_suites_system_out(tmp_path: Path) -> None:
    cell = failed("debian-12/unit", debug=("free: <9>", "end"))
    write_junit(tmp_path, *run(tmp_path, cell))
    (suite,) = JUnitXml.fromfile(str(tmp_path / "junit.xml"))
    assert suite._elem.findtext("system-out") == "free: <9>\nend"


def repeated_cell(*verdicts: Verdict, wanted: int = 0) -> CellResult:
    """A cell of several runs; those that failed did so in the case `x`."""
    runs = Runs("debian-12/unit", wanted or len(verdicts))
    for number, verdict in enumerate(verdicts, start=1):
        reason, tail = f"{verdict} in {number}", (f"end of {number}",)
        one = result("debian-12/unit", verdict, reason=reason, tail=tail, seconds=1.0)
        runs.add(number, one)
    tallies = (
        {"x": Flaky(case="x", passed=1, failed=1, first=2)} if Verdict.FAILED in verdicts else {}
    )
    return runs.joined(tallies, CellResult(id="debian-12/unit", verdict=Verdict.ERROR, reason="e"))


def test_results_json_tells_of_each_run_and_of_what_is_flaky(tmp_path: Path) -> None:
    cell = repeated_cell(Verdict.PASSED, Verdict.FAILED)
    plan, outcome = run(tmp_path, cell)
    got = results_json(replace(plan, repeat=2, seed=7), outcome)
    assert (got["repeat"], got["seed"]) == (2, 7)
    (one,) = got["cells"]
    assert one["runs"][1] == {
        "repeat": 2,
        "verdict": "failed",
        "phase": None,
        "seconds": 1.0,
        "reason": "failed in 2",
        "cases": None,
        "fallback": [],
    }
    assert one["flaky"] == [
        {"case": None, "passed": 1, "failed": 1},
        {"case": "x", "passed": 1, "failed": 1},
    ]


def test_each_run_of_a_cell_is_a_suite_with_the_cases_of_its_own_file(tmp_path: Path) -> None:
    leave(tmp_path, "debian-12/unit/repeat-1", b'<testsuite><testcase name="x"/></testsuite>')
    leave(
        tmp_path,
        "debian-12/unit/repeat-2",
        b'<testsuite><testcase name="x"><failure message="m"/></testcase></testsuite>',
    )
    cell = repeated_cell(Verdict.PASSED, Verdict.FAILED, Verdict.FAILED)
    plan, outcome = run(tmp_path, cell)
    write_junit(tmp_path, replace(plan, repeat=3), outcome)
    merged = JUnitXml.fromfile(str(tmp_path / "junit.xml"))
    assert {suite.name: [_case(case) for case in suite] for suite in merged} == {
        "debian-12/unit/repeat-1": [("x",)],
        "debian-12/unit/repeat-2": [("x", "Failure", "m")],
        "debian-12/unit/repeat-3": [("debian-12/unit/repeat-3", "Failure", "failed: failed in 3")],
    }
    assert (merged.tests, merged.failures, merged.errors) == (3, 2, 0)


def test_what_kept_a_cell_from_its_other_runs_is_in_the_report_too(tmp_path: Path) -> None:
    cell = repeated_cell(Verdict.PASSED, wanted=3)
    plan, outcome = run(tmp_path, cell)
    write_junit(tmp_path, replace(plan, repeat=3), outcome)
    merged = JUnitXml.fromfile(str(tmp_path / "junit.xml"))
    assert [suite.name for suite in merged] == ["debian-12/unit/repeat-1", "debian-12/unit"]
    assert (merged.tests, merged.errors) == (2, 1)
