"""Reports of real tools say what their tools say: see reports/README.md."""

from __future__ import annotations

from pathlib import Path
from xml.etree.ElementTree import Element, SubElement, fromstring, tostring

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from distromatrix.collect.errors import CollectError
from distromatrix.collect.junit import read_cases
from distromatrix.collect.masking import Masker
from distromatrix.collect.report_files import store_reports
from distromatrix.collect.tap import TapReader
from distromatrix.model import Case

REPORTS = Path(__file__).with_name("reports")

# file: passed, failed, skipped, flaky
COUNTS = {
    "bats-edge": (1, 1, 1, 0),
    "bats-failing": (1, 1, 0, 0),
    "bats-passing": (1, 0, 1, 0),
    "boost-failing": (1, 2, 1, 0),
    "boost-passing": (1, 1, 1, 0),
    "catch2-failing": (3, 2, 1, 0),
    "catch2-passing": (1, 0, 1, 0),
    "ctest-failing": (2, 2, 3, 0),
    "ctest-passing": (2, 0, 2, 0),
    "doctest-failing": (1, 2, 0, 0),
    "doctest-passing": (1, 1, 0, 0),
    "go-junit-report-failing": (1, 2, 0, 0),
    "go-junit-report-passing": (1, 0, 1, 0),
    "googletest-failing": (1, 2, 2, 0),
    "googletest-passing": (1, 0, 2, 0),
    "jest-junit-failing": (1, 2, 0, 0),
    "jest-junit-hidden-suite": (2, 0, 1, 0),
    "jest-junit-passing": (2, 0, 1, 0),
    "jest-junit-suite-errors": (2, 2, 1, 0),
    "meson-failing": (8, 3, 2, 0),
    "meson-passing": (4, 0, 2, 0),
    "mocha-junit-reporter-failing": (1, 2, 0, 0),
    "mocha-junit-reporter-passing": (2, 0, 0, 0),
    "mocha-xunit-failing": (1, 2, 0, 0),
    "mocha-xunit-passing": (2, 0, 2, 0),
    "nextest-failing": (2, 2, 0, 1),
    "nextest-passing": (2, 0, 0, 1),
    "nightwatch-hidden": (2, 0, 0, 0),
    "node-failing": (2, 1, 0, 0),
    "node-todo": (1, 0, 2, 0),
    "nunit2-failing": (1, 1, 2, 0),
    "phpunit-failing": (2, 3, 0, 0),
    "phpunit-passing": (3, 0, 3, 0),
    "pytest-edge": (3, 2, 2, 0),
    "pytest-failing": (1, 5, 0, 0),
    "pytest-passing": (1, 0, 2, 0),
    "qt5-failing": (1, 2, 0, 0),
    "qt5-passing": (3, 0, 2, 0),
    "robot-failing": (1, 1, 1, 0),
    "surefire-failing": (1, 2, 0, 0),
    "surefire-flaky": (2, 0, 0, 1),
    "surefire-passing": (1, 0, 1, 0),
    "tap-junit-mocha-failing": (1, 2, 0, 0),
    "tap-junit-mocha-passing": (2, 0, 2, 0),
    "tap-xunit-mocha-failing": (1, 2, 0, 0),
    "tap-xunit-mocha-passing": (2, 0, 2, 0),
    "vitest-failing": (2, 1, 0, 0),
    "vitest-passing": (1, 0, 1, 0),
    "xmlrunner-failing": (1, 3, 1, 0),
}


@pytest.mark.parametrize("name", sorted(path.stem for path in REPORTS.glob("*.xml")))
@pytest.mark.parametrize("encoding", ["", "utf-16"])
def test_a_report_says_what_its_tool_said(tmp_path: Path, name: str, encoding: str) -> None:
    data = (REPORTS / f"{name}.xml").read_bytes()
    (tmp_path / "left").mkdir()
    (tmp_path / "left/junit.xml").write_bytes(data.decode().encode(encoding) if encoding else data)
    stored = store_reports(tmp_path / "left", tmp_path / "junit.xml", Masker())
    assert bool(stored.fault) == (name == "nightwatch-hidden")
    for report in (stored.report, read_cases(tmp_path / "junit.xml")):
        assert report is not None
        counts = report.counts
        flaky = sum(case.flaky for case in report.cases)
        assert (counts.passed, counts.failed, counts.skipped, flaky) == COUNTS[name]
        assert all(case.message for case in report.failing) or name.startswith(
            ("meson", "tap-xunit")
        )
        assert all(case.seconds < 2000 for case in report.cases)
    forbidden = ("the JUnit file holds what XML forbids: U+001B in line 8",)
    assert stored.warnings == (forbidden if name == "bats-failing" else ())


# file: passed, failed, skipped
TAP = {
    "bats-edge": (0, 1, 0),
    "bats-failing": (1, 1, 0),
    "bats-passing": (1, 0, 1),
    "mocha-failing": (1, 2, 0),
    "mocha-passing": (2, 0, 2),
    "node-failing": (1, 1, 0),
    "node-passing": (1, 0, 1),
}


@pytest.mark.parametrize("name", sorted(path.stem for path in REPORTS.glob("*.tap")))
def test_tap_says_what_its_tool_said(name: str) -> None:
    cases: list[Case] = []
    reader = TapReader(cases.append)
    reader.feed((REPORTS / f"{name}.tap").read_bytes())
    reader.finish()
    assert reader.fault == ""
    statuses = [case.status for case in cases]
    found = tuple(statuses.count(status) for status in ("passed", "failed", "skipped"))
    assert found == TAP[name]
    assert all(case.message for case in cases if case.status == "failed")


def green(data: bytes) -> bool:
    """Whether a cell could pass with this report."""
    try:
        report = read_cases(data)
    except CollectError:
        return False
    return not (report.counts.failed or report.notes.contradiction) and report.counts.total > 0


ONE_FAILURE = (
    b'<?xml version="1.0" encoding="UTF-8"?>\n<testsuites name="all" tests="3" failures="1">\n'
    b'<testsuite name="s" tests="3" failures="1" errors="0" time="1,5">\n'
    b'<properties><property name="a" value="b"/></properties>\n'
    b'<testcase classname="C" name="one" time="0.1"/>\n'
    b'<testcase classname="C" name="two"><failure message="bad">text</failure></testcase>\n'
    b'<testcase classname="C" name="three"><skipped/></testcase>\n'
    b"<system-out><![CDATA[out]]></system-out>\n</testsuite>\n</testsuites>\n"
)
# Whoever removes all of these has removed what tells of the failure.
TELLING = (b"<failure", b'failures="1"')


@settings(max_examples=500, deadline=None)
@given(st.data())
def test_no_mutation_makes_a_failure_green_unless_it_removes_what_tells_of_it(
    data: st.DataObject,
) -> None:
    mutated = bytearray(ONE_FAILURE)
    for _ in range(data.draw(st.integers(1, 6))):
        at = data.draw(st.integers(0, max(len(mutated) - 1, 0)))
        size = data.draw(st.integers(0, 30))
        match data.draw(st.sampled_from(("cut", "insert", "flip", "copy", "end"))):
            case "cut":
                del mutated[at : at + size]
            case "insert":
                mutated[at:at] = data.draw(st.binary(max_size=10))
            case "flip":
                mutated[at : at + 1] = bytes([data.draw(st.integers(0, 255))])
            case "copy":
                to = data.draw(st.integers(0, len(mutated)))
                mutated[to:to] = mutated[at : at + 10 * size]
            case "end":
                del mutated[at:]
    assume(bytes(mutated) != ONE_FAILURE)
    whole = bytes(mutated)
    if green(whole):
        assert not all(telling in whole for telling in TELLING) or _hidden(whole)


def _hidden(data: bytes) -> bool:
    """Whether what tells of the failure is there as text alone: in a comment, in CDATA, in
    output, or in the value of an attribute."""
    text = data.decode(errors="replace")
    before = text.partition("<failure")[0]
    return (
        before.count("<!--") > before.count("-->")
        or before.count("<![CDATA[") > before.count("]]>")
        or before.count("<system-out") > before.count("</system-out")
    )


NAMES = ("testsuite", "testcase", "failure", "error", "skipped", "system-out", "flakyFailure", "x")
VALUES = ("", "0", "1", "2", "1,000", "passed", "failed", "skipped", "no", "\x7f")
KEYS = ("tests", "failures", "errors", "status", "result", "name", "message", "type")


@settings(max_examples=500, deadline=None)
@given(st.data())
def test_no_change_of_elements_makes_a_failure_green_unless_it_removes_what_tells_of_it(
    data: st.DataObject,
) -> None:
    root = fromstring(ONE_FAILURE)
    for _ in range(data.draw(st.integers(1, 8))):
        elements = list(root.iter())
        parent = data.draw(st.sampled_from(elements))
        match data.draw(st.sampled_from(("remove", "rename", "set", "unset", "add", "move"))):
            case "remove" if len(parent):
                parent.remove(data.draw(st.sampled_from(list(parent))))
            case "rename" if parent is not root:
                parent.tag = data.draw(st.sampled_from(NAMES))
            case "set":
                parent.set(data.draw(st.sampled_from(KEYS)), data.draw(st.sampled_from(VALUES)))
            case "unset" if parent.attrib:
                del parent.attrib[data.draw(st.sampled_from(sorted(parent.attrib)))]
            case "add":
                SubElement(parent, data.draw(st.sampled_from(NAMES)))
            case "move" if len(parent):
                child = data.draw(st.sampled_from(list(parent)))
                target = data.draw(st.sampled_from(elements))
                if target not in child.iter():
                    parent.remove(child)
                    target.append(child)
    assert not (green(tostring(root)) and tells(root))


def tells(element: Element) -> bool:
    """Whether a report tells of a failure, said as simply as it can be."""
    if element.tag in ("system-out", "flakyFailure", "failure", "error", "skipped", "properties"):
        return element.tag in ("failure", "error")
    if element.tag in ("testsuite", "testsuites", "testcase") and element.get("status") == "failed":
        return True
    claims = [element.get(key, "") for key in ("failures", "errors")]
    if element.tag in ("testsuite", "testsuites") and {"1", "2", "1,000"}.intersection(claims):
        retried = sum(1 for _ in element.iter("flakyFailure"))
        total = sum(int(claim.replace(",", "")) for claim in claims if claim.strip("0,").isdigit())
        if total > retried:
            return True
    return any(tells(child) for child in element)
