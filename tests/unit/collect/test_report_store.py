"""However many files a suite leaves, in whatever encoding: one report comes of them, in UTF-8,
well-formed and without secrets, and none of them is ignored in silence."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from defusedxml.ElementTree import parse

from distromatrix.collect import report_files, report_text
from distromatrix.collect.junit import read_cases
from distromatrix.collect.masking import Masker
from distromatrix.collect.report_files import Stored, store_reports
from distromatrix.model import CaseCounts

GREEN = '<testsuite name="{0}"><testcase name="{0}"/></testsuite>'
RED = '<testsuites><testsuite><testcase name="{0}"><failure/></testcase></testsuite></testsuites>'


class Left:
    """What a suite left, and what comes of it."""

    def __init__(self, tmp_path: Path) -> None:
        self.folder, self.into = tmp_path / "left", tmp_path / "junit.xml"
        self.folder.mkdir()

    def put(self, **files: str | bytes) -> Left:
        for name, data in files.items():
            path = self.folder / name.replace("__", "/")
            path = path.with_name(path.name.removesuffix("_xml") + ".xml" * name.endswith("_xml"))
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data.encode() if isinstance(data, str) else data)
        return self

    def store(self, *secrets: str) -> Stored:
        return store_reports(self.folder, self.into, Masker(secrets))


@pytest.fixture
def left(tmp_path: Path) -> Left:
    return Left(tmp_path)


def test_nothing_is_no_report(left: Left) -> None:
    assert left.store() == Stored()
    assert not left.into.exists()


def test_one_file_keeps_its_shape(left: Left) -> None:
    text = '<testsuites name="all"><testsuite name="&lt;s&quot;"><testcase name="a">x &amp; y'
    text += "</testcase>\n<!-- gone --><testcase name='b'/></testsuite></testsuites>"
    stored = left.put(junit_xml=text).store()
    assert stored.report
    assert stored.report.counts == CaseCounts(passed=2)
    assert left.into.read_text() == (
        '<?xml version="1.0" encoding="utf-8"?>\n<testsuites name="all">'
        '<testsuite name=\'&lt;s"\'><testcase name="a">x &amp; y</testcase>\n'
        '<testcase name="b"/></testsuite></testsuites>\n'
    )


def test_all_files_below_the_folders_are_read_in_one_order(left: Left) -> None:
    left.put(junit__z_xml=RED.format("z"), junit__sub__a_xml=GREEN.format("a"), junit__note="x")
    left.put(junit_xml=GREEN.format("single"))
    stored = left.store()
    assert stored.fault == ""
    assert stored.report
    assert stored.report.counts == CaseCounts(passed=2, failed=1)
    names = [case.get("name") for case in parse(left.into).iter("testcase")]
    assert names == ["single", "a", "z"]
    again = read_cases(left.into)
    assert (again.counts, again.cases) == (stored.report.counts, stored.report.cases)


def test_the_report_may_be_a_folder_itself(left: Left) -> None:
    (left.folder / "junit.xml").mkdir()
    (left.folder / "junit.xml/TEST-a.XML").write_text(RED.format("a"))
    stored = left.store()
    assert stored.report
    assert stored.report.counts == CaseCounts(failed=1)


def test_files_of_which_none_is_a_report_are_told(left: Left) -> None:
    stored = left.put(junit__a="x", junit__b__c="y").store()
    assert stored.report is None
    assert stored.warnings == (
        "none of the 2 files in the folder for reports is called *.xml: not read",
    )


@pytest.mark.parametrize(
    ("bad", "said"),
    [
        ("<testsuite><testcase name='x'>", "the JUnit file b.xml is cut off in line 1"),
        ("<testsuite><testcase name='x'><failure><a>", "b.xml is cut off in line 1"),
        ("<testsuite name='s'><system-out>x", "b.xml is cut off in line 1"),
        ("<a/>", "the JUnit file b.xml is none: its root is <a>"),
        ("", "the JUnit file b.xml is empty"),
        ("<testsuite/><testsuite/>", "the JUnit file b.xml goes on after its end"),
        ("<!DOCTYPE a [<!ENTITY b 'c'>]><testsuite>&b;</testsuite>", "b.xml is refused"),
        ("<testsuite>" * 200, "b.xml is refused: nested deeper than 100"),
        ("<testsuite>" + "<testcase>" * 99 + "<testsuite>", "b.xml is refused: nested deeper"),
        ("<testsuite failures='2'/>", "the JUnit file b.xml contradicts itself: attributes of"),
    ],
)
def test_one_bad_file_among_others_is_named_and_makes_the_whole_red(
    left: Left, bad: str, said: str
) -> None:
    left.put(junit__a_xml=GREEN.format("a"), junit__b_xml=bad, junit__c_xml=GREEN.format("c"))
    stored = left.store()
    assert said in stored.fault
    assert stored.report
    assert {"a", "c"} <= {case.name for case in stored.report.cases}
    again = read_cases(left.into)  # whoever reads it later sees the same
    assert again.counts == stored.report.counts
    assert bool(again.failing) == ("contradicts" not in said)


def test_several_faults_are_counted(left: Left) -> None:
    left.put(junit__a_xml="", junit__b_xml="x", junit__c_xml=GREEN.format("c"))
    assert left.store().fault == "the JUnit file a.xml is empty (and 1 more)"


def test_what_cannot_be_read_is_kept_as_text_without_secrets(left: Left) -> None:
    text = "<testsuite><testcase name='s3cret-T0ken ü'>"
    stored = left.put(junit_xml=text.encode("utf-16")).store("s3cret-T0ken")
    assert (stored.report, stored.fault) == (None, "the JUnit file is cut off in line 1")
    assert left.into.read_text() == "<testsuite><testcase name='*** ü'>"


SECRET = "pa\"ss'w0rd-<77>"
SPELT = [
    "pa&quot;ss&apos;w0rd-&lt;77&gt;",
    "pa&#34;ss&#39;w0rd-&#60;77&#62;",
    "pa&#x22;ss&#x27;w0rd-&#x3c;77>",
    "&#112;&#97;&quot;ss'w0rd-&lt;77&gt;",
]


@pytest.mark.parametrize("spelt", SPELT)
@pytest.mark.parametrize("encoding", ["utf-8", "utf-16", "utf-32", "latin-1"])
def test_a_secret_is_masked_however_it_is_spelt(left: Left, spelt: str, encoding: str) -> None:
    declared = f"<?xml version='1.0' encoding='{encoding}'?>" if encoding == "latin-1" else ""
    quoted = spelt.replace("'", "&apos;").replace('"', "&quot;")
    text = (
        f"{declared}<testsuite name='{quoted}'><testcase name='a'>"
        f"<failure message='with {quoted}'>{spelt}</failure><system-out>{spelt}</system-out>"
        f"<system-err><![CDATA[{SECRET}]]></system-err></testcase></testsuite>"
    )
    stored = left.put(junit_xml=text.encode(encoding)).store(SECRET)
    assert stored.report
    (case,) = stored.report.cases
    assert (case.message, case.text) == ("with ***", "***")
    for element in parse(left.into).iter():
        assert "w0rd" not in "".join((element.text or "", *element.attrib.values()))
    assert b"w0rd" not in left.into.read_bytes()


def test_a_secret_is_masked_wherever_a_chunk_ends(
    left: Left, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = f"<testsuite><testcase name='a'/><system-out>{'ü s3crét ' * 50}</system-out></testsuite>"
    left.put(junit_xml=text)
    for size in range(4, 40):
        monkeypatch.setattr(report_text, "_CHUNK", size)
        left.store("s3crét")
        output = parse(left.into).getroot().findtext("system-out")
        assert output == "ü *** " * 50


def test_forbidden_characters_are_told_and_stored_as_text(left: Left) -> None:
    stored = left.put(
        junit_xml=b"<testsuite>\n<testcase name='a&#27;[1m'>\x00</testcase></testsuite>"
    )
    stored = left.store()
    assert stored.fault == ""
    assert stored.warnings == (
        "the JUnit file holds what XML forbids: U+001B in line 2, U+0000 in line 2",
    )
    assert '<testcase name="a">\\x00</testcase>' in left.into.read_text()


def test_many_files_are_read_and_too_many_are_refused_in_a_line(left: Left) -> None:
    folder = left.folder / "junit"
    folder.mkdir()
    for number in range(report_files.MAX_FILES):
        (folder / f"{number}.xml").write_text(GREEN.format(number))
    stored = left.store()
    assert stored.report
    assert stored.report.counts == CaseCounts(passed=10_000)
    (folder / "more.xml").write_text(RED.format("more"))
    stored = left.store()
    assert stored.report is None
    assert stored.fault == "10,001 JUnit files are too many: at most 10,000 are read"


def test_files_too_big_together_are_not_even_begun(left: Left) -> None:
    (left.folder / "junit").mkdir()
    for name in ("a.xml", "b.xml"):
        with (left.folder / "junit" / name).open("wb") as file:
            file.truncate(report_text.MAX_BYTES // 2 + 1)
    assert "too big" in left.store().fault


def test_links_are_not_followed(left: Left, tmp_path: Path) -> None:
    (tmp_path / "outside.xml").write_text(GREEN.format("outside"))
    left.put(junit__a_xml=GREEN.format("a"))
    (left.folder / "junit/link.xml").symlink_to(tmp_path / "outside.xml")
    os.mkfifo(left.folder / "junit/pipe.xml")
    stored = left.store()
    assert "link.xml" in stored.fault
    assert stored.report
    assert "outside" not in {case.name for case in stored.report.cases}
