"""What pytest says of cells: outcomes, texts, times, and its own options over them."""

from __future__ import annotations

import json
import re
import sys
from xml.etree import ElementTree

import pytest
from pytest_world import World, of

pytest_plugins = ["pytester"]

JUNIT = (
    "<testsuite>"
    '<testcase classname="t" name="adds" time="0.25"/>'
    '<testcase classname="t" name="divides"><failure message="by zero">line 7: x / 0</failure>'
    "</testcase>"
    '<testcase classname="t" name="waits"><skipped message="no clock"/></testcase>'
    "</testsuite>"
)
ALL = f"""\
product: .
distros: [two]
suites:
  good: {{run: sleep 0.2}}
  cases: {{run: 'echo one; echo last words; echo ''{JUNIT}'' > $DISTROMATRIX_JUNIT; exit 1'}}
  gone: {{run: echo fine}}
  known: {{run: echo ''{JUNIT}'' > $DISTROMATRIX_JUNIT}}
  mended: {{run: echo fine}}
  left: {{run: echo fine}}
  deep: {{run: echo fine, needs: [kernel-modules]}}
rules:
  - {{suite: known, expect: fail, reason: "its numbers are small"}}
  - {{suite: mended, expect: fail, reason: "was broken once"}}
  - {{suite: left, skip: "glibc only"}}
"""


@pytest.fixture
def verdicts(world: World) -> World:
    """A cell of each verdict."""
    world.ini()
    world.matrix(
        ALL.replace("known: {run: echo ''", "known: {run: 'echo ''").replace(
            "> $DISTROMATRIX_JUNIT}\n  mended", "> $DISTROMATRIX_JUNIT'}\n  mended"
        )
    )
    world.fault(cannot_start={"two/gone": 0})
    return world


@pytest.mark.parametrize("xdist", [(), ("-n", "2")], ids=["alone", "xdist"])
def test_every_verdict_becomes_its_outcome(verdicts: World, xdist: tuple[str, ...]) -> None:
    done = verdicts.pytester.runpytest("matrix", "-rA", *xdist)
    assert done.ret == pytest.ExitCode.TESTS_FAILED
    done.assert_outcomes(passed=1, failed=3, errors=1, xfailed=1, skipped=1)
    lines = {line for line in done.outlines if re.match("[A-Z]+ ", line)}
    cell = "matrix/default.yaml::two"
    assert f"PASSED {cell}/good" in lines
    assert f"FAILED {cell}/cases - 1 of 3 cases failed" in lines
    assert (
        f"FAILED {cell}/mended - [XPASS(strict)] passed, but was expected to fail: was broken once"
        in lines
    )
    assert any(line.startswith(f"FAILED {cell}/deep - needs kernel-modules, ") for line in lines)
    assert any(re.match(f"ERROR {cell}/gone - .*no /bin/sh", line) for line in lines)
    assert any(
        re.match(f"XFAIL {cell}/known - (reason: )?its numbers are small", line) for line in lines
    )
    assert "SKIPPED [1] matrix/default.yaml:9: glibc only" in lines
    assert "Traceback" not in done.stdout.str()
    assert "distromatrix/testing" not in done.stdout.str()
    assert len(verdicts.runs()) == 1


def test_a_failure_that_can_be_explained_is(verdicts: World) -> None:
    verdicts.matrix("distros: [two]\nsuites:\n  cases: {run: no-such-program}\n")
    done = verdicts.pytester.runpytest(*of("two/cases"))
    done.stdout.fnmatch_lines(
        ["| *no-such-program*not found", "hint *no-such-program is not installed: packages: *"]
    )


def test_a_failure_shows_its_cases_the_end_of_the_log_and_how_to_run_it_again(
    verdicts: World,
) -> None:
    done = verdicts.pytester.runpytest(*of("two/cases"))
    done.stdout.fnmatch_lines(
        [
            "*_ two/cases (default.yaml) _*",
            "1 of 3 cases failed",
            "t::divides",
            "    by zero",
            "    line 7: x / 0",
            "the end of two/cases:",
            "| last words",
            "files   .distromatrix/runs/*/cells/two/cases",
            "again   distromatrix run two/cases",
            "        pytest matrix/default.yaml::two/cases",
        ]
    )


def test_an_infrastructures_error_is_an_error_and_says_where(verdicts: World) -> None:
    done = verdicts.pytester.runpytest(*of("two/gone"))
    done.assert_outcomes(errors=1)
    done.stdout.fnmatch_lines(
        ["*ERROR at setup of two/gone*", "*no /bin/sh*", "again   distromatrix run two/gone"]
    )
    assert "Error" not in done.stdout.str().replace("CellError", "Error")


@pytest.mark.parametrize("style", ["long", "short", "native", "line", "no"])
def test_every_traceback_style_shows_the_cell_and_none_of_our_code(
    verdicts: World, style: str
) -> None:
    done = verdicts.pytester.runpytest(*of("two/cases", "two/gone"), f"--tb={style}")
    assert "outcomes.py" not in done.stdout.str()
    shown = {"line": "*/matrix/default.yaml:5: 1 of 3 cases failed", "no": "FAILED *1 of 3 cases*"}
    done.stdout.fnmatch_lines([shown.get(style, "    line 7: x / 0")])
    assert ("line 7" in done.stdout.str()) == (style not in shown)


def test_unmet_needs_can_be_accepted(verdicts: World) -> None:
    done = verdicts.pytester.runpytest(*of("two/deep"))
    assert done.ret == pytest.ExitCode.TESTS_FAILED
    done.stdout.fnmatch_lines(["*-m 'not kernel-modules', or *--distromatrix-allow-unmet*"])
    done = verdicts.pytester.runpytest(*of("two/deep"), "--distromatrix-allow-unmet", "-rs")
    assert done.ret == pytest.ExitCode.OK
    done.stdout.fnmatch_lines(["SKIPPED [[]1] matrix/default.yaml:10: needs kernel-modules*"])
    assert not verdicts.runs()


def test_runxfail_takes_expectations_away(verdicts: World) -> None:
    done = verdicts.pytester.runpytest(*of("two/known", "two/mended"), "--runxfail")
    done.assert_outcomes(failed=1, passed=1)


def test_junit_xml_has_the_cells_names_times_and_texts(verdicts: World) -> None:
    verdicts.pytester.runpytest("matrix", "--junitxml=junit.xml", "-n", "2")
    cases = {
        case.get("name"): case
        for case in ElementTree.parse(verdicts.root / "junit.xml").iter("testcase")
    }
    assert {case.get("classname") for case in cases.values()} == {"matrix.default.yaml"}
    assert set(cases) == {
        f"two/{s}" for s in ("good", "cases", "gone", "known", "mended", "left", "deep")
    }
    failure = cases["two/cases"].find("failure")
    assert failure is not None
    assert failure.get("message") == "1 of 3 cases failed"
    assert "line 7: x / 0" in str(failure.text)
    assert cases["two/gone"].find("error") is not None
    (run,) = verdicts.runs()
    results = json.loads((run / "results.json").read_text())["cells"]
    seconds = {cell["id"]: cell["seconds"] for cell in results}
    assert seconds["two/good"] >= 0.2
    assert float(cases["two/good"].get("time") or 0) == pytest.approx(
        seconds["two/good"], abs=0.002
    )


def test_durations_are_the_cells_own(verdicts: World) -> None:
    done = verdicts.pytester.runpytest(*of("two/good", "two/gone"), "--durations=0", "-vv")
    (run,) = verdicts.runs()
    results = json.loads((run / "results.json").read_text())["cells"]
    seconds = {cell["id"]: cell["seconds"] for cell in results}
    done.stdout.fnmatch_lines([f"{seconds['two/good']:.2f}s call *two/good"])
    done.stdout.fnmatch_lines(["*s setup *two/gone"])


def test_last_failed_and_failed_first_know_cells(verdicts: World) -> None:
    verdicts.pytester.runpytest()
    again = verdicts.collected("--lf")
    assert again == of("two/cases", "two/gone", "two/mended", "two/deep")
    assert verdicts.collected("--ff")[:4] == again
    verdicts.fault()
    verdicts.pytester.runpytest("--lf")
    assert verdicts.collected("--lf") == of("two/cases", "two/mended", "two/deep")


def test_exitfirst_and_maxfail_begin_no_more_cells(verdicts: World) -> None:
    cells = of("two/cases", "two/gone", "two/mended", "two/good")
    done = verdicts.pytester.runpytest("-x", *cells)
    done.assert_outcomes(failed=1)
    done = verdicts.pytester.runpytest("--maxfail=2", *cells)
    done.assert_outcomes(failed=1, errors=1)


def test_other_orders_and_verbose_names(verdicts: World) -> None:
    (verdicts.root / "conftest.py").write_text(
        "def pytest_collection_modifyitems(items): items.reverse()\n"
    )
    verdicts.distro("dotted-3.20", "other", "glibc")
    verdicts.matrix("product: .\ndistros: [dotted-3.20, two]\nsuites: {a: {run: echo}}\n")
    done = verdicts.pytester.runpytest("-v", "matrix")
    done.stdout.fnmatch_lines(
        [
            "matrix/default.yaml::two/a PASSED *",
            "matrix/default.yaml::dotted-3.20/a PASSED *",
        ]
    )


@pytest.mark.parametrize("option", ["--setup-only", "--setup-plan", "--fixtures", "--markers"])
def test_options_that_only_show_run_no_cell(verdicts: World, option: str) -> None:
    done = verdicts.pytester.runpytest(option, "matrix")
    assert done.ret == pytest.ExitCode.OK
    assert not verdicts.runs()


@pytest.mark.parametrize(
    "args",
    [("-s",), ("-p", "no:xdist"), ("-p", "no:terminal"), ("-p", "no:cacheprovider"), ("-qq",)],
    ids=" ".join,
)
def test_it_works_without_parts_of_pytest(verdicts: World, args: tuple[str, ...]) -> None:
    done = verdicts.pytester.runpytest(*args, *of("two/good", "two/known"))
    assert done.ret == pytest.ExitCode.OK
    assert not done.stderr.str()


def test_a_failing_cell_can_be_met_with_pdb(verdicts: World) -> None:
    done = verdicts.pytester.run(
        sys.executable, "-m", "pytest", "--pdb", *of("two/cases", "two/gone"), stdin=b"c\nc\n"
    )
    assert done.ret == pytest.ExitCode.TESTS_FAILED
    done.stdout.fnmatch_lines(["*1 failed, 1 error*"])
    assert "INTERNALERROR" not in done.stdout.str()


# --- subtests ------------------------------------------------------------------------------

subtests = pytest.mark.skipif(
    not hasattr(pytest, "SubtestReport"), reason="subtests came with pytest 9"
)


@subtests
@pytest.mark.parametrize("xdist", [(), ("-n", "2")], ids=["alone", "xdist"])
def test_cases_are_subtests_when_asked_for(verdicts: World, xdist: tuple[str, ...]) -> None:
    done = verdicts.pytester.runpytest(
        *of("two/cases", "two/known"), "--distromatrix-cases", "-v", "-rA", *xdist
    )
    done.stdout.fnmatch_lines(["*SUBPASSED[[]t::adds]*"])
    done.stdout.fnmatch_lines(["*SUBSKIPPED[[]t::waits]*"])
    done.stdout.fnmatch_lines(["*SUBXFAIL[[]t::divides]*"])
    done.stdout.fnmatch_lines(["SUBFAILED[[]t::divides] matrix/default.yaml::two/cases - by zero"])
    done.stdout.fnmatch_lines(["FAILED matrix/default.yaml::two/cases - 1 of 3 cases failed"])
    assert done.stdout.str().count("line 7: x / 0") == 1
    done.assert_outcomes(failed=2, xfailed=2, skipped=2)
    assert "2 subtests passed" in done.outlines[-1]
    assert verdicts.collected("--lf") == of("two/cases")


@subtests
def test_cases_are_no_subtests_unless_asked_for(verdicts: World) -> None:
    done = verdicts.pytester.runpytest(*of("two/cases"), "-v")
    assert "SUB" not in done.stdout.str()


def test_cases_as_subtests_need_pytest_9(verdicts: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(pytest, "SubtestReport", raising=False)
    done = verdicts.pytester.runpytest("--distromatrix-cases")
    assert done.ret == pytest.ExitCode.USAGE_ERROR
    done.stderr.fnmatch_lines(["ERROR: --distromatrix-cases: *pytest 9; this is pytest *"])


def test_a_flaky_cell_passes_with_a_warning_or_fails_where_that_is_wanted(world: World) -> None:
    runs = world.root.parent / f"{world.root.name}-runs"
    count = f"echo >>{runs}; test $(wc -l <{runs}) -gt 1"
    world.ini()
    world.matrix(f"product: .\ndistros: [two]\nsuites:\n  s: {{retry_failed: 1, run: '{count}'}}\n")
    done = world.pytester.runpytest("matrix")
    done.assert_outcomes(passed=1, warnings=1)
    done.stdout.fnmatch_lines(["*two/s: flaky: it failed first and passed when run again"])
    runs.unlink()
    done = world.pytester.runpytest("matrix", "--distromatrix-fail-on-flaky")
    done.assert_outcomes(failed=1)
    done.stdout.fnmatch_lines(["flaky: it failed first and passed when run again"])


def named(world: World, cases: str, status: int = 1) -> None:
    """A cell in which `t::divides` fails and `t::adds` passes, and a rule that names cases."""
    world.ini()
    world.matrix(
        "product: .\ndistros: [two]\nsuites:\n"
        f"  s: {{run: 'echo ''{JUNIT}'' > $DISTROMATRIX_JUNIT; exit {status}'}}\n"
        f"rules: [{{expect: fail, cases: [{cases}], reason: no numbers}}]\n"
    )


@pytest.mark.parametrize(
    ("cases", "outcomes", "said"),
    [
        ("t::divides", {"xfailed": 1}, "XFAIL *two/s - no numbers (1 of 3 cases failed)"),
        ("other", {"failed": 1, "warnings": 1}, "FAILED *two/s - 1 of 3 cases failed"),
        ("'t::*'", {"failed": 1}, "FAILED *two/s - [[]XPASS(strict)[]] passed, but was *t::adds*"),
        (
            "t::divides, gone",
            {"xfailed": 1, "warnings": 1},
            "*a rule expects cases `gone` to fail*",
        ),
    ],
)
def test_a_cell_is_what_the_rules_for_its_cases_make_of_it(
    world: World, cases: str, outcomes: dict[str, int], said: str
) -> None:
    named(world, cases)
    done = world.pytester.runpytest("matrix", "-rA")
    done.assert_outcomes(**outcomes)
    done.stdout.fnmatch_lines([said])


@subtests
def test_each_subtest_has_the_verdict_of_its_case(world: World) -> None:
    named(world, "t::divides, t::adds")
    done = world.pytester.runpytest("matrix", "--distromatrix-cases", "-rA", "-v")
    done.stdout.fnmatch_lines(["*SUBXFAIL[[]t::divides]*"])
    done.stdout.fnmatch_lines(["SUBFAILED[[]t::adds]* - [[]XPASS(strict)[]] no numbers"])
    done = world.pytester.runpytest("matrix", "--distromatrix-cases", "-rA", "--runxfail")
    done.stdout.fnmatch_lines(["SUBFAILED[[]t::divides]* - by zero"])


@subtests
def test_a_failing_subtest_beside_an_expected_one_is_red(world: World) -> None:
    named(world, "t::waits, other")
    done = world.pytester.runpytest("matrix", "--distromatrix-cases", "-rA")
    done.stdout.fnmatch_lines(["SUBFAILED[[]t::divides]* - by zero"])
    done.stdout.fnmatch_lines(["FAILED *two/s - 1 of 3 cases failed"])
