"""TAP is read as it comes, and as strictly as a report is: what is missing is never green."""

from __future__ import annotations

import tracemalloc
from pathlib import Path

import pytest
from executing import World, cell
from hypothesis import given, settings
from hypothesis import strategies as st

from distromatrix.collect.junit import read_cases
from distromatrix.collect.tap import TapReader, TapReport
from distromatrix.model import Case, CaseCounts, CellResult, Verdict


def read(text: str | bytes, size: int = 0) -> tuple[list[Case], str]:
    cases: list[Case] = []
    reader = TapReader(cases.append)
    data = text.encode() if isinstance(text, str) else text
    for at in range(0, len(data), size or len(data) or 1):
        reader.feed(data[at : at + (size or len(data))])
    reader.finish()
    return cases, reader.fault


WHOLE = """\
TAP version 14
1..7
ok 1 - plain \\# no directive
not ok 2 - bad
  ---
  message: "it broke"
  duration_ms: 1500.5
  at: |
    ok 99 is text here
  ...
ok 3 - later # SKIP no display
not ok 4 - some day # TODO not written yet
some output of the suite, ok?
ok 5 - done too early # todo
ok 6
not ok 7 # skip is no excuse for a failure
# Failed at line 3
#   in t.sh
"""


def test_every_outcome() -> None:
    cases, fault = read(WHOLE)
    assert fault == ""
    assert [(c.name, c.status, c.message) for c in cases] == [
        ("plain # no directive", "passed", ""),
        ("bad", "failed", "it broke"),
        ("later", "skipped", "no display"),
        ("some day", "skipped", "TODO not written yet"),
        ("done too early", "passed", "TODO"),
        ("test 6", "passed", ""),
        ("test 7", "failed", "Failed at line 3"),
    ]
    assert cases[1].seconds == 1.5005
    assert cases[1].text.endswith("at: |\n  ok 99 is text here")
    assert cases[6].text == "Failed at line 3\n  in t.sh"


def test_where_a_piece_ends_makes_no_difference() -> None:
    whole = read(WHOLE + "ü")
    assert all(read(WHOLE + "ü", size) == whole for size in range(1, 50))
    assert read(WHOLE.replace("\n", "\r\n")) == read(WHOLE)


NESTED = """\
TAP version 14
# Subtest: outer
    # Subtest: inner
        ok 1 - deep
        {deep} 2 - deeper
        1..2
    {inner} 1 - inner
    1..{planned}
{outer} 1 - outer
ok 2 - other
1..2
"""


@pytest.mark.parametrize(
    ("deep", "inner", "outer", "planned", "failed", "said"),
    [
        ("ok", "ok", "ok", 1, 0, ""),
        ("not ok", "not ok", "not ok", 1, 1, ""),
        ("ok", "ok", "not ok", 1, 1, ""),
        ("not ok", "ok", "ok", 1, 0, "test 1 is ok, but its subtest is not: 1 of its tests failed"),
        ("not ok", "not ok", "ok", 1, 0, "test 1 is ok, but its subtest is not"),
        ("ok", "ok", "ok", 2, 0, "its subtest is not: 2 tests were planned, only 1 came"),
        ("ok", "ok", "not ok", 2, 1, ""),
    ],
)
def test_subtests_count_by_their_parents_line_and_may_not_contradict_it(
    deep: str, inner: str, outer: str, planned: int, failed: int, said: str
) -> None:
    cases, fault = read(NESTED.format(deep=deep, inner=inner, outer=outer, planned=planned))
    assert [case.name for case in cases] == ["outer", "other"]
    assert sum(case.status == "failed" for case in cases) == failed
    assert said in fault
    assert bool(said) == bool(fault)


def test_what_failed_in_a_subtest_is_said_of_its_parent() -> None:
    inner = "    not ok 1 - deep\n      ---\n      message: boom\n      ...\n    1..1\n"
    text = f"1..1\n{inner}not ok 1 - a\n"
    (case,), fault = read(text)
    assert fault == ""
    assert case.text == "    not ok 1 - deep\nmessage: boom"
    assert case.message == "boom"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("1..3\nok 1\nok 2\n", "3 tests were planned, only 2 came"),
        ("1..1\nok 1\nok 2\n", "1 tests were planned, 2 came"),
        ("ok 1\nok 2\n1..3\n", "3 tests were planned, only 2 came"),
        ("ok 1\nok 2\n", "it is cut off, or lacks a plan: 2 tests came"),
        ("TAP version 13\n", "lacks a plan: 0 tests came"),
        ("1..3\nok 1\nok 3\nok 2\n", "test 3 came where 2 was due (line 3)"),
        ("1..2\nok 1\nok 1\n", "test 1 came where 2 was due"),
        ("1..2\nok 2\nok 1\n", "test 2 came where 1 was due"),
        ("ok 1\n1..2\nok 2\n", "test 2 came after the plan that ended it (line 3)"),
        ("1..1\nok 1\n1..1\nok 1\n", "a second plan came (line 3)"),
        ("1..2\nok 1\nBail out! No disk.\nok 2\n", "broken off: Bail out! No disk."),
        ("1..1\n    Bail out!\nok 1\n", "broken off: Bail out! no reason is given"),
        ("1..0\n", "its plan is 1..0, and does not say `# SKIP`: no test ran"),
        ("1..0 # skip\nok 1\n", "0 tests were planned, 1 came"),
        ("1..1\nok 1\n  ---\n  a: b\n", "cut off within what is said of test 1"),
        ("1..1\nok 1\n    not ok 1 - deep\n", "a subtest is bad, and its parent's line did not"),
        ("TAP version 15\n1..1\nok 1\n", "it is of version 15"),
    ],
)
def test_what_is_missing_or_out_of_its_place_is_a_fault(text: str, said: str) -> None:
    assert said in read(text)[1]


def test_all_of_it_may_be_skipped_with_a_reason() -> None:
    cases, fault = read("1..0 # Skipped: no network\n")
    assert fault == ""
    assert [(c.status, c.message) for c in cases] == [("skipped", "no network")]


@pytest.mark.parametrize("text", ["", "hello\n", "okay 1\nOK (3 tests)\nok, then\n# ok 1\n"])
def test_what_is_no_tap_is_none(tmp_path: Path, text: str) -> None:
    report = TapReport()
    report.feed(text.encode())
    with pytest.raises(FileNotFoundError):
        report.save(tmp_path / "tap.xml")


def test_colours_do_not_hide_a_failure() -> None:
    cases, fault = read("1..1\n\x1b[31mnot ok\x1b[0m 1 - red\n")
    assert (fault, cases[0].status) == ("", "failed")


def test_a_cut_anywhere_is_never_green() -> None:
    """But where no more is lost than the number in the last line."""
    text = (
        "TAP version 14\n1..3\nok 1 - a\n    ok 1 - b\n    1..1\nok 2 - c\n  ---\n  d: e\n  ...\n"
    )
    text += "ok 3\n"
    assert read(text)[1] == ""
    for size in range(len(text) - len(" 3\n")):
        reader = TapReader(lambda _: None)
        reader.feed(text[:size].encode())
        reader.finish()
        assert reader.fault or not reader.begun  # and what has not begun is no TAP


@settings(max_examples=300, deadline=None)
@given(st.data())
def test_a_failure_stays_one_whatever_lines_are_lost_or_doubled(data: st.DataObject) -> None:
    lines = WHOLE.replace("not ok 7 # skip", "not ok 7 -").splitlines()
    order = data.draw(st.lists(st.sampled_from(range(len(lines))), max_size=30))
    kept = [lines[number] for number in order]
    if not any(line.startswith("not ok 2") for line in kept):
        kept.insert(data.draw(st.integers(0, len(kept))), "not ok 2 - bad")
    cases, fault = read("\n".join(kept) + "\n")
    assert fault or any(case.status == "failed" for case in cases)


def test_endless_output_is_read_in_bounded_memory() -> None:
    reader = TapReader(lambda _: None)
    tracemalloc.start()
    reader.feed(b"not ok 1 - a\n")
    for _ in range(300):
        reader.feed(b"# " + b"x" * 100_000)
    for number in range(20_000):
        reader.feed(b"\n# line %d" % number)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 4 * 1024 * 1024


def run(tmp_path: Path, text: str, more: str = "", **keys: object) -> CellResult:
    script = f"cat <<'E'\n{text}E\n{more}"
    return World(tmp_path).execute(cell("a/s", script, report="tap", **keys)).cells[0]


def test_a_cell_that_prints_tap_is_judged_by_it(tmp_path: Path) -> None:
    result = run(tmp_path, "1..2\nok 1 - a\nnot ok 2 - s3cret <b>\n", "echo not ok 3 >&2")
    assert (result.verdict, result.cases) == (Verdict.FAILED, CaseCounts(passed=1, failed=1))
    assert [case.name for case in result.failing] == ["s3cret <b>"]
    (junit,) = tmp_path.rglob("cells/a/s/junit.xml")
    assert read_cases(junit).counts == CaseCounts(passed=1, failed=1)
    log = junit.with_name("log.txt").read_text()
    assert "not ok 2 - s3cret" in log and "not ok 3" in log


@pytest.mark.parametrize(
    ("text", "more", "reason"),
    [
        ("1..2\nok 1\n", "", "the TAP is not to be relied on: 2 tests were planned, only 1 came"),
        ("1..1\nok 1\n", "exit 3", "exit status 3, though none of 1 cases failed"),
        ("hello\n", "", "report: tap, but its standard output holds no TAP"),
        ("hello\n", "exit 127", "exit status 127; report: tap, but its standard output holds"),
        ("", "echo 1..1 >&2; echo ok 1 >&2", "its standard output holds no TAP"),
    ],
)
def test_a_cell_whose_tap_is_not_whole_has_failed(
    tmp_path: Path, text: str, more: str, reason: str
) -> None:
    result = run(tmp_path, text, more)
    assert result.verdict is Verdict.FAILED
    assert reason in result.reason


def test_a_cell_may_leave_junit_files_beside_its_tap(tmp_path: Path) -> None:
    junit = "<testsuite><testcase name='bad'><failure/></testcase></testsuite>"
    result = run(tmp_path, "1..1\nok 1\n", f'echo "{junit}" >$DISTROMATRIX_JUNIT')
    assert result.cases == CaseCounts(passed=1, failed=1)


def test_what_setup_prints_is_no_part_of_it(tmp_path: Path) -> None:
    result = run(tmp_path, "1..1\nok 1\n", setup=("echo 1..5; echo not ok 1",))
    assert (result.verdict, result.cases) == (Verdict.PASSED, CaseCounts(passed=1))
