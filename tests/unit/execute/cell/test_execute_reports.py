"""A cell's verdict follows from its reports, in files of whatever number and dialect."""

from __future__ import annotations

from pathlib import Path

import pytest
from executing import World, cell

from distromatrix.model import CaseCounts, CellResult, Expectation, Verdict


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


def writing(text: str, where: str = "$DISTROMATRIX_JUNIT") -> str:
    return f"cat >\"{where}\" <<'E'\n{text}\nE\n"


def run(world: World, script: str, **more: object) -> CellResult:
    return world.execute(cell("a/s", script, **more)).cells[0]


GREEN = '<testsuite><testcase name="good"/></testsuite>'
RED = '<testsuite><testcase name="bad"><failure/></testcase></testsuite>'
CLAIM = '<testsuite name="cart" errors="1"><testcase name="pays"/></testsuite>'


@pytest.mark.parametrize("expected", [(), (Expectation(reason="a bug"),)])
def test_a_report_that_contradicts_itself_is_never_green(
    world: World, expected: tuple[Expectation, ...]
) -> None:
    result = run(world, writing(CLAIM), expect_fail=expected)
    assert result.verdict is Verdict.FAILED
    assert result.reason == (
        "the JUnit file contradicts itself: attributes of suite "
        '"cart" say 1 failed (errors="1"), its cases show 0'
    )
    assert result.cases == CaseCounts(passed=1)


def test_all_reports_of_a_cell_are_one_file_in_the_end(world: World) -> None:
    script = (
        'mkdir "$DISTROMATRIX_JUNIT_DIR/sub"; '
        + writing(GREEN, "$DISTROMATRIX_JUNIT_DIR/sub/a.xml")
        + writing(RED, "$DISTROMATRIX_JUNIT_DIR/b.xml")
        + writing(GREEN)
    )
    result = run(world, script)
    assert (result.verdict, result.cases) == (Verdict.FAILED, CaseCounts(passed=2, failed=1))
    folder = world.run / "cells/a/s"
    assert sorted(path.name for path in folder.iterdir()) == ["artifacts", "junit.xml", "log.txt"]
    assert (folder / "junit.xml").read_text().count("<testcase") == 3


def test_the_folder_may_stand_in_the_place_of_the_file(world: World) -> None:
    result = run(world, 'mkdir "$DISTROMATRIX_JUNIT"; ' + writing(RED, "$DISTROMATRIX_JUNIT/a.xml"))
    assert (result.verdict, result.cases) == (Verdict.FAILED, CaseCounts(failed=1))


@pytest.mark.parametrize(
    "left",
    [
        'ln -s /etc/passwd "$DISTROMATRIX_JUNIT_DIR/a.xml"',
        'ln -s .. "$DISTROMATRIX_JUNIT_DIR/folder"',
        'mkfifo "$DISTROMATRIX_JUNIT_DIR/a.xml"',
        'rmdir "$DISTROMATRIX_JUNIT_DIR"; ln -s artifacts "$DISTROMATRIX_JUNIT_DIR"',
        'ln -s artifacts/x.xml "$DISTROMATRIX_JUNIT"',
    ],
)
def test_reports_that_are_links_or_pipes_are_never_green(world: World, left: str) -> None:
    result = run(world, left + "; " + writing(GREEN, "$DISTROMATRIX_ARTIFACTS/x.xml"))
    assert result.verdict is Verdict.FAILED
    assert result.reason.startswith("reports: out/junit")


def test_a_folder_without_reports_is_none(world: World) -> None:
    result = run(world, 'echo x >"$DISTROMATRIX_JUNIT_DIR/report.txt"')
    assert result.verdict is Verdict.FAILED
    assert result.reason == "it names $DISTROMATRIX_JUNIT_DIR but left no report there"
    assert result.warnings == ("the file in the folder for reports is not called *.xml: not read",)


@pytest.mark.parametrize(
    "setup",
    [
        writing(GREEN),
        writing(GREEN, "$DISTROMATRIX_JUNIT_DIR/a.xml"),
        "mkdir -p $DISTROMATRIX_JUNIT/deep; echo >$DISTROMATRIX_JUNIT/deep/a.xml",
        "rmdir $DISTROMATRIX_JUNIT_DIR; ln -s / $DISTROMATRIX_JUNIT_DIR",
        "ln -s /nothing $DISTROMATRIX_JUNIT",
    ],
)
def test_a_report_that_setup_left_does_not_count_for_run(world: World, setup: str) -> None:
    result = run(world, "true", setup=(setup,))
    assert (result.verdict, result.cases) == (Verdict.FAILED, None)
    assert result.reason == "setup left a report, run left none"
    assert result.warnings == ("setup left a report: it does not count for run, which left none",)
    good = world.execute(cell("a/t", writing(GREEN), setup=(setup,))).cells[0]
    assert (good.verdict, good.cases, good.warnings) == (
        Verdict.PASSED,
        CaseCounts(passed=1),
        (),
    )


def test_run_finds_the_folder_for_reports_whatever_setup_did(world: World) -> None:
    setup = "rm -r $DISTROMATRIX_JUNIT_DIR"
    result = run(world, writing(GREEN, "$DISTROMATRIX_JUNIT_DIR/a.xml"), setup=(setup,))
    assert (result.verdict, result.cases) == (Verdict.PASSED, CaseCounts(passed=1))


def test_what_a_tool_tried_again_is_one_case_and_flaky(world: World) -> None:
    result = run(
        world,
        writing(
            '<testsuite failures="1"><testcase name="a"><flakyFailure message="was true"/>'
            "</testcase></testsuite>"
        ),
    )
    assert (result.verdict, result.cases) == (Verdict.PASSED, CaseCounts(passed=1))
    assert [(one.case, one.message) for one in result.flaky] == [("a", "was true")]


def test_no_secret_is_left_in_any_encoding(world: World) -> None:
    world.secrets = {"TOKEN": "s3cret-Token-9931"}
    text = "<testsuite><testcase name='in'><failure message='with %s refused'/></testcase>"
    text += "<testcase name='ok'/></testsuite>"
    script = (
        'x=$(printf "' + text + '" "$TOKEN"); printf %s "$x" '
        "| python3 -c \"import sys; sys.stdout.buffer.write(sys.stdin.read().encode('utf-16'))\""
        ' >"$DISTROMATRIX_JUNIT"'
    )
    result = run(world, script)
    assert (result.verdict, result.cases) == (Verdict.FAILED, CaseCounts(passed=1, failed=1))
    assert result.failing[0].message == "with *** refused"
    secret = "s3cret-Token-9931"
    for file in world.run.rglob("*"):
        data = file.read_bytes() if file.is_file() else b""
        assert not any(secret.encode(code) in data for code in ("utf-8", "utf-16-le", "utf-16-be"))


def test_control_characters_are_a_warning_with_their_line(world: World) -> None:
    result = run(
        world, "printf '<testsuite>\\n<testcase name=\"a\"/>\\033</testsuite>' >$DISTROMATRIX_JUNIT"
    )
    assert result.verdict is Verdict.PASSED
    assert result.warnings == ("the JUnit file holds what XML forbids: U+001B in line 2",)
