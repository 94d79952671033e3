"""JUnit files are read whatever tool wrote them, and whoever did."""

import tracemalloc
from pathlib import Path

import pytest

from distromatrix.collect import junit
from distromatrix.collect.junit import CollectError, read_cases
from distromatrix.model import CaseCounts

PYTEST = b"""<?xml version="1.0" encoding="utf-8"?>
<testsuites name="pytest tests"><testsuite name="pytest" errors="1" failures="1" skipped="1"
 tests="4" time="0.041" timestamp="2026-11-22T10:00:00" hostname="h">
<testcase classname="tests.test_a" name="test_ok" time="0.001" />
<testcase classname="tests.test_a" name="test_bad[1-2]" time="0.002">
<failure message="AssertionError: assert 1 == 2">def test_bad():
&gt;       assert 1 == 2
E       AssertionError</failure></testcase>
<testcase classname="tests.test_a" name="test_setup" time="0.001">
<error message="failed on setup with &quot;E&quot;">fixture</error></testcase>
<testcase classname="tests.test_a" name="test_skip" time="0.000">
<skipped type="pytest.skip" message="no">t.py:1: no</skipped></testcase>
</testsuite></testsuites>"""


def test_pytests_report() -> None:
    report = read_cases(PYTEST)
    assert report.counts == CaseCounts(passed=1, failed=2, skipped=1)
    bad, error = report.failing
    assert (bad.name, bad.status, bad.seconds) == ("tests.test_a::test_bad[1-2]", "failed", 0.002)
    assert bad.message == "AssertionError: assert 1 == 2"
    assert bad.text.startswith("def test_bad():\n>       assert 1 == 2")
    assert (error.name, error.status) == ("tests.test_a::test_setup", "error")


def test_pytests_collection_failure_says_why() -> None:
    report = read_cases(
        b"""<testsuite><testcase classname="" name="tests.test_b"><error
        message="collection failure">tests/test_b.py:2: in &lt;module&gt;
    import missing
E   ModuleNotFoundError: No module named 'missing'</error></testcase></testsuite>"""
    )
    assert report.failing[0].message == "ModuleNotFoundError: No module named 'missing'"


def test_gtests_ctests_and_nested_suites_with_odd_attributes() -> None:
    report = read_cases(
        b"""<testsuite xmlns="urn:x"><testsuite name="inner">
        <testcase name="a" status="run" time=""/>
        <testcase name="b" status="notrun" result="suppressed" time="nan"/>
        <testcase name="c" time="1,234.5"><system-out>&lt;failure/&gt;</system-out></testcase>
        <testcase name="d"><failure type="T"/><failure message="second"/></testcase>
        <testcase><flakyFailure message="then it passed"/></testcase>
        </testsuite></testsuite>"""
    )
    assert report.counts == CaseCounts(passed=3, failed=1, skipped=1)
    assert {c.name: c.seconds for c in report.cases}["c"] == 1234.5
    assert report.failing[0].message == "T"


def test_the_failure_of_a_whole_suite_counts() -> None:
    report = read_cases(b'<testsuite name="s"><error message="boom">text</error></testsuite>')
    assert report.counts.failed == 1
    assert (report.failing[0].name, report.failing[0].text) == ("s", "text")


def test_no_case_is_no_fault_here() -> None:
    assert read_cases(b"<testsuites/>").counts.total == 0


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "is empty"),
        (b" \n", "is empty"),
        (PYTEST[:-30], "is cut off in line 12"),
        (PYTEST[:400], "is cut off"),
        (b"not xml at all", "is no XML"),
        (b"\x00\x01\x02", "is no XML"),
        (b"<html><testcase/></html>", "its root is <html>"),
        (b"<testsuite></testsuites>", "not well-formed"),
        (b"<testsuite>\x1b</testsuite>", "not well-formed"),
        (b'<?xml version="1.0" encoding="klingon"?><testsuite/>', "cannot be read|no XML"),
        (b'<!DOCTYPE a [<!ENTITY b "c">]><testsuite>&b;</testsuite>', "refused.*entities"),
        (b'<!DOCTYPE a SYSTEM "file:///etc/passwd"><testsuite/>', "refused"),
        (b"<testsuite>" * 200, "nested deeper"),
    ],
)
def test_what_is_no_report_is_named_for_what_it_is(data: bytes, reason: str) -> None:
    with pytest.raises(CollectError, match=reason) as caught:
        read_cases(data)
    assert "\n" not in str(caught.value)


def test_a_file_too_big_is_not_even_begun(tmp_path: Path) -> None:
    path = tmp_path / "junit.xml"
    with path.open("wb") as file:
        file.truncate(junit.MAX_BYTES + 1)
    with pytest.raises(CollectError, match="too big: 64 MiB"):
        read_cases(path)


def test_links_and_folders_are_no_report(tmp_path: Path) -> None:
    (tmp_path / "real.xml").write_bytes(PYTEST)
    (tmp_path / "link.xml").symlink_to("real.xml")
    for path in (tmp_path / "link.xml", tmp_path):
        with pytest.raises(CollectError):
            read_cases(path)
    assert read_cases(tmp_path / "real.xml").counts.total == 4


def test_many_cases_are_counted_exactly_and_kept_within_bounds(tmp_path: Path) -> None:
    path = tmp_path / "junit.xml"
    with path.open("w") as file:
        file.write("<testsuite>")
        for number in range(60_000):
            file.write(f'<testcase name="t{number}"><failure>{"x" * 300}</failure></testcase>')
        file.write('<testcase name="last"/>' * 60_000 + "</testsuite>")
    tracemalloc.start()
    report = read_cases(path)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert report.counts == CaseCounts(passed=60_000, failed=60_000)
    assert report.failing[0].text == "x" * 300
    assert len(report.failing) == 10_000
    assert peak < 40 * 1024 * 1024


def test_a_giant_text_is_cut_and_everything_is_printable_and_masked() -> None:
    data = "<testsuite><testcase name='s3cret\u202e'><failure message='s3cret'>"
    data += "s3cret\t" + "y" * 100_000 + "</failure></testcase></testsuite>"
    (case,) = read_cases(data.encode(), lambda text: text.replace("s3cret", "***")).cases
    assert (case.name, case.message) == ("***\\u202e", "***")
    assert case.text.startswith("***\t")
    assert len(case.text) <= 16 * 1024
