"""JUnit files are read whatever tool wrote them, and whoever did."""

import tracemalloc
from pathlib import Path

import pytest

from distromatrix.collect import junit, report_text
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
        (b"<testsuite>&nbsp;</testsuite>", "not well-formed"),
        (b"<test\x1bsuite></test\x1bsuite>", "no XML"),
        (b"<testsuite/><testsuite/>", "goes on after its end, in line 1: several reports"),
        (b"<testsuite/>\n<?xml version='1.0'?><testsuite/>", "goes on after its end, in line 2"),
        (b"<failsafe-summary><completed>3</completed></failsafe-summary>", "<failsafe-summary>"),
        (b'<?xml version="1.0" encoding="utf-7"?><testsuite/>', "unknown encoding utf-7"),
        (b'<?xml version="1.0" encoding="bz2"?><testsuite/>', "unknown encoding bz2"),
        ("<testsuite><testcase/></testsuite>".encode("utf-16")[:40], "is cut off in line 1"),
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
        for number in range(20_000):
            file.write(f'<testcase name="t{number}"><failure>{"x" * 300}</failure></testcase>')
        file.write('<testcase name="last"/>' * 20_000 + "</testsuite>")
    tracemalloc.start()
    report = read_cases(path)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert report.counts == CaseCounts(passed=20_000, failed=20_000)
    assert report.failing[0].text == "x" * 300
    assert len(report.failing) == 10_000
    assert peak < 12 * 1024 * 1024  # that of 10,000


def test_a_giant_text_is_cut_and_everything_is_printable_and_masked() -> None:
    data = "<testsuite><testcase name='s3cret\u202e'><failure message='s3cret'>"
    data += "s3cret\t" + "y" * 100_000 + "</failure></testcase></testsuite>"
    (case,) = read_cases(data.encode(), lambda text: text.replace("s3cret", "***")).cases
    assert (case.name, case.message) == ("***\\u202e", "***")
    assert case.text.startswith("***\t")
    assert len(case.text) <= 16 * 1024


CLAIMS = [
    ('errors="1"', "", 'attributes of suite "s" say 1 failed (errors="1"), its cases show 0'),
    ('failures="3" errors="2"', "<failure/>", "say 5 failed"),
    ('failures="1,234"', "<failure/>", "say 1234 failed"),
    ('status="Failed"', "", 'suite "s" says status="Failed", its cases show no failure'),
    ('success="False"', "<skipped/>", 'says success="False"'),
    ('errors=""', "", ""),
    ('errors="0" failures="0" tests="7"', "", ""),
    ('failures="0"', "<failure/>", ""),  # the cases know better
    ('failures="1" errors="1"', "<failure/>", ""),  # both: Mocha's own
    ('failures="2"', "<failure/><failure/>", ""),  # one for each assertion: Catch2, GoogleTest
    ('failures="1"', "<flakyFailure/>", ""),  # Surefire counts what it tried again
    ('failures="3"', "<failure/><rerunFailure/><rerunError/>", ""),
    ('errors="1"', '<!-- message="m" type="qdebug" -->', ""),  # Qt 5 counts its messages
    ('errors="1"', "<!-- no message -->", "its cases show 0"),
]


@pytest.mark.parametrize(("claim", "inside", "said"), CLAIMS)
def test_counts_and_cases_that_disagree_are_a_contradiction(
    claim: str, inside: str, said: str
) -> None:
    suite = f'<testsuite name="s" {claim}><testcase name="a">{inside}</testcase></testsuite>'
    for data in (suite, f"<testsuites>{suite}</testsuites>"):
        fault = read_cases(data.encode()).notes.contradiction
        assert said in fault
        assert bool(said) == bool(fault)


@pytest.mark.parametrize(
    "data",
    [
        '<testsuites failures="1"><testsuite><testcase name="a"/></testsuite></testsuites>',
        '<testsuite><testsuite errors="2"><testcase name="a"><error/></testcase></testsuite>'
        "</testsuite>",
        '<testsuites><testsuite failures="1"/><testsuite><testcase name="b"><failure/></testcase>'
        "</testsuite></testsuites>",
        '<testsuite failures="1"><system-out><failure/></system-out><testcase name="a"/>'
        "</testsuite>",
    ],
)
def test_a_contradiction_is_seen_at_any_level(data: str) -> None:
    assert read_cases(data.encode()).notes.contradiction.startswith(
        "the JUnit file contradicts itself: attributes of "
    )


def test_suites_sum_up_what_is_nested_in_them() -> None:
    report = read_cases(
        b"""<testsuites failures="2" tests="3"><testsuite name="o" failures="2">
        <testsuite name="i" failures="1"><testcase name="a"><failure/></testcase></testsuite>
        <testcase name="b"><failure/></testcase><testcase name="c"/></testsuite></testsuites>"""
    )
    assert report.notes.contradiction == ""
    assert report.counts == CaseCounts(passed=1, failed=2)


@pytest.mark.parametrize(
    ("attributes", "status"),
    [
        ('status="failed"', "failed"),
        ('status="FAIL"', "failed"),
        ('result="Failure" success="False"', "failed"),
        ('outcome="Timed Out"', "failed"),
        ('status="passed" result="Error"', "error"),
        ('result="broken"', "error"),
        ('status="NOT RUN"', "skipped"),
        ('status="notrun" result="suppressed"', "skipped"),
        ('executed="False"', "skipped"),
        ('state="pending"', "skipped"),
        ('status="run" result="completed"', "passed"),
        ('result="bpass"', "passed"),
        ('result="xpass"', "failed"),
        ('status=""', "passed"),
        ('STATUS="failed"', "failed"),
    ],
)
def test_the_outcome_may_be_in_an_attribute_of_the_case(attributes: str, status: str) -> None:
    (case,) = read_cases(f'<testsuite><testcase name="a" {attributes}/></testsuite>'.encode()).cases
    assert case.status == status


def test_the_worst_of_what_is_said_of_a_case_counts() -> None:
    report = read_cases(
        b"""<testsuite><testcase name="a" status="failed"><skipped message="s"/></testcase>
        <testcase name="b" status="passed"><failure/></testcase>
        <testcase name="c" status="skipped"><error/></testcase>
        <testcase name="d" status="failed"/></testsuite>"""
    )
    assert [c.status for c in report.cases] == ["failed", "failed", "error", "failed"]
    assert report.cases[-1].message == 'status="failed"'


def test_a_word_that_is_no_known_outcome_is_told_and_fails_nothing() -> None:
    cases = '<testcase name="a" status="weird"/>' * 2 + '<testcase name="b" result="\x1b[0m?"/>'
    report = read_cases(f'<testsuite failures="some">{cases}</testsuite>'.encode())
    assert report.counts == CaseCounts(passed=3)
    assert report.notes.warnings == (
        "the JUnit file holds what XML forbids: U+001B in line 1",
        'the JUnit file says failures="some", which is not a number',
        'the JUnit file says status="weird" of 2 cases: no outcome that is known here, so it is '
        "not taken for a failure",
        'the JUnit file says result="?" of 1 case: no outcome that is known here, so it is '
        "not taken for a failure",
    )


def test_a_case_that_was_tried_again_is_one_case() -> None:
    report = read_cases(
        b"""<testsuite tests="2"><testcase name="flaky"><flakyFailure message="was true">
        <stackTrace>at Hook:58</stackTrace><system-out>failure error</system-out></flakyFailure>
        </testcase>
        <testcase name="red"><failure message="run 1"/><rerunFailure message="run 2"/></testcase>
        <testcase name="all"><rerunError message="run 2"/></testcase>
        <testcase name="again"><failure/></testcase><testcase name="again"/></testsuite>"""
    )
    assert report.counts == CaseCounts(passed=2, failed=3)
    red, never, again, flaky, _ = report.cases
    assert (flaky.name, flaky.status, flaky.flaky) == ("flaky", "passed", True)
    assert (flaky.message, red.message, never.message) == ("was true", "run 1", "run 2")
    assert not red.flaky
    assert again.name == "again"
    assert report.notes.contradiction == ""


def test_output_and_properties_say_nothing_of_outcomes_at_any_level() -> None:
    noise = (
        "<system-out>failed <failure/></system-out><system-err><error/></system-err>"
        '<properties><property name="failure" value="x"/></properties>'
    )
    report = read_cases(
        f"<testsuites>{noise}<testsuite>{noise}<testcase name='a'>{noise}</testcase>{noise}"
        "</testsuite></testsuites>".encode()
    )
    assert report.counts == CaseCounts(passed=1)


def test_a_case_within_a_case_is_one_more() -> None:
    report = read_cases(
        b"<testsuite><testcase name='a'><testcase name='b'><failure/></testcase></testcase>"
        b"</testsuite>"
    )
    assert report.counts == CaseCounts(passed=1, failed=1)


@pytest.mark.parametrize(
    ("written", "seconds"),
    [
        ("1,234.5", 1234.5),
        ("1.234,5", 1234.5),
        ("1 234,5", 1234.5),
        ("1'234.5", 1234.5),
        ("0,12", 0.12),
        ("1,234", 1.234),
        ("1,234,567", 1234567),
        ("1.234.567,8", 1234567.8),
        ("1e-05", 1e-05),
        (".5", 0.5),
        ("3 s", 3),
        ("12ms", 0.012),
        ("", 0),
        ("nan", 0),
        ("inf", 0),
        ("1e999", 0),
        ("-1", 0),
        ("PT1S", 0),
        ("...", 0),
    ],
)
def test_times_are_read_as_any_country_writes_them(written: str, seconds: float) -> None:
    (case,) = read_cases(
        f'<testsuite><testcase name="a" time="{written}"/></testsuite>'.encode()
    ).cases
    assert case.seconds == pytest.approx(seconds)


RED = '<testsuite><testcase name="Prüf"><failure message="nö"/></testcase></testsuite>'


@pytest.mark.parametrize(
    "data",
    [
        RED.encode(),
        b"\xef\xbb\xbf" + RED.encode(),
        RED.encode("utf-16"),
        b"\xff\xfe" + f'<?xml version="1.0" encoding="utf-16"?>{RED}'.encode("utf-16-le"),
        b"\xfe\xff" + RED.encode("utf-16-be"),
        RED.encode("utf-16-le"),
        RED.encode("utf-16-be"),
        RED.encode("utf-32"),
        f'<?xml version="1.1" encoding="ISO-8859-1"?>{RED}'.encode("latin-1"),
        f"<?xml version='1.0' encoding='windows-1252' ?>{RED}".encode("cp1252"),
        f'<?xml version="1.0" encoding="utf-16"?>{RED}'.encode(),  # .NET's, written as UTF-8
    ],
)
def test_a_report_may_be_in_any_encoding(data: bytes) -> None:
    (case,) = read_cases(data).cases
    assert (case.name, case.status, case.message) == ("Prüf", "failed", "nö")


def test_characters_that_xml_forbids_are_text_and_told_with_their_line() -> None:
    report = read_cases(
        b"<testsuite>\n<testcase name='a'><failure message='&#27;[31mred&#x1b;[0m&#0;'>"
        b"<![CDATA[\n\x1b[1mbold\x07 &#27;]]>\xff</failure></testcase></testsuite>"
    )
    (case,) = report.cases
    assert (case.message, case.text) == ("red\\x00", "bold\\x07 &#27;\ufffd")
    assert report.notes.warnings == (
        "the JUnit file holds what XML forbids: U+001B in line 2, U+0000 in line 2, "
        "U+0007 in line 3, an invalid byte in line 3",
    )


def test_where_a_chunk_ends_makes_no_difference(monkeypatch: pytest.MonkeyPatch) -> None:
    data = b"<testsuite><testcase name='a&#27;b\x1bc'><![CDATA[&#27;&#x1b;]]>&#x00001B;"
    data += "ü<failure message='ö&#27;'/></testcase></testsuite>".encode()
    whole = read_cases(data)
    for size in range(1, 24):
        monkeypatch.setattr(report_text, "_CHUNK", size)
        if size > 3:  # the first bytes say which encoding it is
            assert read_cases(data) == whole


def test_hostile_texts_are_read_in_no_time_worth_speaking_of() -> None:
    digits = b"<testsuite><testcase name='" + b"&#" + b"1" * 8_000_000 + b"'/></testsuite>"
    with pytest.raises(CollectError):
        read_cases(digits)
    brackets = b"<testsuite><testcase name='" + b"]" * 8_000_000 + b"'/></testsuite>"
    assert read_cases(brackets).counts.total == 1
