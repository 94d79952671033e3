"""Tags, sets and what is not gating, as pytest sees them."""

from __future__ import annotations

import re
from xml.etree import ElementTree

import pytest
from pytest_world import FILE, MATRIX, World, of

pytest_plugins = ["pytester"]

XDIST = pytest.mark.parametrize("xdist", [(), ("-n", "2")], ids=["alone", "xdist"])
TAGGED = """\
product: .
distros: [one-1.0, two]
suites:
  good: {run: 'true', tags: [quick, on-every-commit]}
  slow: {run: 'true', tags: [nightly]}
sets:
  pr: {tags: [quick], distros: [two]}
  night: {tags: [nightly]}
"""
REPORT = '<testsuite><testcase name="a"/><testcase name="b"><failure/></testcase></testsuite>'
YOUNG = f"""\
product: .
distros: [two]
suites:
  good: {{run: echo fine}}
  bad: {{run: echo broken; exit 3}}
  cases: {{run: 'echo ''{REPORT}'' >$DISTROMATRIX_JUNIT; exit 1'}}
  gone: {{run: echo fine}}
  mended: {{run: echo fine}}
  known: {{run: exit 1}}
  left: {{run: echo fine}}
  deep: {{run: echo fine, needs: [kernel-modules]}}
rules:
  - {{suite: mended, expect: fail, reason: was broken once}}
  - {{suite: known, expect: fail, reason: small numbers}}
  - {{suite: left, skip: glibc only}}
  - {{gating: false, reason: "a young distribution"}}
"""


# --- tags and sets -------------------------------------------------------------------------


@XDIST
def test_tags_are_marks_that_are_registered(world: World, xdist: tuple[str, ...]) -> None:
    world.matrix(TAGGED)
    done = world.pytester.runpytest(
        "--distromatrix", "--strict-markers", "-m", "nightly or on-every-commit", "-v", *xdist
    )
    done.assert_outcomes(passed=4)
    done = world.pytester.runpytest(
        "--distromatrix", "--strict-markers", "-m", "not nightly and musl", "-v", *xdist, FILE
    )
    assert done.parseoutcomes()["passed"] == 1


@XDIST
def test_only_the_cells_of_a_set_are_collected(world: World, xdist: tuple[str, ...]) -> None:
    world.matrix(TAGGED)
    done = world.pytester.runpytest("--distromatrix", "--distromatrix-set=pr", *xdist, FILE)
    done.assert_outcomes(passed=1)
    done.stdout.fnmatch_lines([f"distromatrix: 1 cell in {FILE} (of the set pr)"])
    both = ("--distromatrix-set", "pr", "--distromatrix-set", "night")
    assert world.collected("--distromatrix", *both, FILE) == of(
        "one-1.0/slow", "two/good", "two/slow"
    )


def test_a_set_that_is_not_there_is_told_in_a_line(world: World) -> None:
    world.matrix(TAGGED)
    done = world.pytester.runpytest("--distromatrix", "--distromatrix-set=night-ly")
    assert done.ret == pytest.ExitCode.USAGE_ERROR
    done.stderr.fnmatch_lines(["ERROR: no set night-ly (did you mean night?)"])
    done = world.pytester.runpytest("--distromatrix-set=pr")
    done.stderr.fnmatch_lines(["ERROR: --distromatrix-set: this session has no matrix file *"])


# --- what is not gating --------------------------------------------------------------------


@pytest.fixture
def young(world: World) -> World:
    """A cell of each verdict, none of which counts."""
    world.ini("xfail_strict = true")
    world.matrix(YOUNG)
    world.fault(cannot_start={"two/gone": 0})
    return world


@XDIST
def test_what_is_not_gating_is_an_xfail_that_may_pass(young: World, xdist: tuple[str, ...]) -> None:
    done = young.pytester.runpytest("matrix", "-rxX", *xdist)
    assert done.ret == pytest.ExitCode.OK
    done.assert_outcomes(xfailed=6, xpassed=1, skipped=1)
    lines = (line for line in done.outlines if line.startswith(("XFAIL ", "XPASS ")))
    young_ = "not gating: a young distribution"
    told = sorted(line.partition("::two/")[2] for line in lines)
    assert [re.sub("sha256:.*: the", "the", line) for line in told] == [
        f"bad - {young_} (failed: exit status 3)",
        f"cases - {young_} (failed: 1 of 2 cases failed)",
        f"deep - {young_}",
        f"gone - {young_} (error: the image has no /bin/sh (injected))",
        f"good - {young_}",
        "known - small numbers (exit status 1)",
        f"mended - {young_} (xpassed: passed, but was expected to fail: was broken once)",
    ]


def test_its_own_words_are_shown_where_they_are_asked_for(young: World) -> None:
    done = young.pytester.runpytest(*of("two/bad"), "--xfail-tb")
    done.stdout.fnmatch_lines(["exit status 3", "the end of two/bad:", "| broken"])


def test_junit_and_subtests_of_pytest_are_not_red(young: World) -> None:
    args = ("--junitxml=junit.xml", *of("two/bad", "two/gone", "two/cases"))
    args += ("--distromatrix-cases",) if hasattr(pytest, "SubtestReport") else ()
    done = young.pytester.runpytest(*args)
    assert done.ret == pytest.ExitCode.OK
    (suite,) = ElementTree.parse(young.root / "junit.xml").getroot()
    assert (suite.get("failures"), suite.get("errors")) == ("0", "0")


def test_runxfail_takes_the_excuse_away(young: World) -> None:
    done = young.pytester.runpytest(*of("two/bad", "two/good"), "--runxfail")
    done.assert_outcomes(failed=1, passed=1)


def test_a_suite_that_skips_itself_is_skipped_with_its_own_reason(world: World) -> None:
    world.matrix(MATRIX.replace("run: echo fine", "run: 'echo no FUSE; exit 77', skip_status: 77"))
    done = world.pytester.runpytest("--distromatrix", "-rs", *of("two/good"))
    done.assert_outcomes(skipped=1)
    done.stdout.fnmatch_lines(["SKIPPED * no FUSE"])


# --- tests with machines -------------------------------------------------------------------

APART = """\
product: .
distros: [one-1.0, two, three]
suites:
  good: {run: 'true', distros: ['t*']}
"""


def test_a_test_with_machines_runs_where_its_suite_does(world: World) -> None:
    world.for_machines()
    world.matrix(APART)
    text = "import pytest\n@pytest.mark.distros('*', suite='good')\ndef test_it(distro): pass"
    world.test(text, "test_a")
    names = ("three", "two")
    assert world.collected() == [f"tests/test_a.py::test_it[{name}/good]" for name in names]


@pytest.mark.parametrize("said", ["'one-1.0'", "'o*'", "'t*', 'one-1.0'"])
def test_a_distro_that_a_suite_is_not_for_is_told_where_it_is_asked_for(
    world: World, said: str
) -> None:
    world.for_machines()
    world.matrix(APART)
    text = f"import pytest\n@pytest.mark.distros({said}, suite='good')\ndef test_it(distro): pass"
    world.test(text, "test_a")
    done = world.pytester.runpytest("-q")
    done.assert_outcomes(errors=1)
    done.stdout.fnmatch_lines(["*one-1.0/good: the suite is not for one-1.0, by `distros` in *"])
