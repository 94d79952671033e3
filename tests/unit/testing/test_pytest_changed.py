"""--distromatrix-changed: cells of suites that no change touches are not collected."""

from __future__ import annotations

import pytest
from checkouts import git
from pytest_world import FILE, World

pytest_plugins = ["pytester"]

XDIST = pytest.mark.parametrize(
    "xdist", [(), pytest.param(("-n", "2"), marks=pytest.mark.slow)], ids=["alone", "xdist"]
)
MATRIX = """\
product: .
distros: [one-1.0, two]
suites:
  src: {run: 'true', reads: [src]}
  doc: {run: 'true', reads: [doc]}
sets:
  first: {distros: [one-1.0]}
"""
OPTION = "--distromatrix-changed"


@pytest.fixture
def repo(world: World) -> World:
    world.matrix(MATRIX)
    git(world.root, "init", "-q", "-b", "main")
    (world.root / ".gitignore").write_text("*pyc\n.pytest_cache\n__pycache__\n")
    git(world.root, "add", "-A")
    git(world.root, "commit", "-q", "-m", "x")
    git(world.root, "checkout", "-q", "-b", "topic")
    return world


@XDIST
def test_only_cells_that_a_change_touches_are_run(repo: World, xdist: tuple[str, ...]) -> None:
    (repo.root / "src").write_text("x")
    for option in (OPTION, f"{OPTION}=main"):
        done = repo.pytester.runpytest("--distromatrix", option, "-v", FILE, *xdist)
        done.assert_outcomes(passed=2)
        done.stdout.fnmatch_lines(
            ["distromatrix: changed: 1 of 2 suites read nothing that changed since `main` (*"]
        )
    done = repo.pytester.runpytest("--distromatrix", OPTION, "--distromatrix-set=first", FILE)
    done.assert_outcomes(passed=1)


@XDIST
def test_nothing_to_run_is_0(repo: World, xdist: tuple[str, ...]) -> None:
    git(repo.root, "commit", "-q", "--allow-empty", "-m", "x")
    done = repo.pytester.runpytest("--distromatrix", OPTION, FILE, *xdist)
    assert done.ret == 0
    done.stdout.fnmatch_lines(["distromatrix: 0 cells in *", "distromatrix: changed: 2 of 2 *"])
    # But it is one where something else left nothing.
    (repo.root / "src").write_text("x")
    done = repo.pytester.runpytest("--distromatrix", OPTION, FILE, "-m", "nothing", *xdist)
    assert done.ret == pytest.ExitCode.NO_TESTS_COLLECTED


def test_what_follows_the_option_is_an_argument(repo: World) -> None:
    (repo.root / "doc").write_text("x")
    done = repo.pytester.runpytest("--distromatrix", OPTION, "tests", "-v")
    done.assert_outcomes(passed=3)  # the test of its own, and two cells


def test_on_the_default_branch_all_run(repo: World) -> None:
    git(repo.root, "checkout", "-q", "main")
    done = repo.pytester.runpytest("--distromatrix", OPTION, FILE)
    done.assert_outcomes(passed=4)
    done.stdout.fnmatch_lines(["distromatrix: changed: all suites run: nothing changed since *"])


def test_bad_input_is_told_in_a_line(repo: World) -> None:
    done = repo.pytester.runpytest(f"{OPTION}=main", "tests")
    assert done.ret == pytest.ExitCode.USAGE_ERROR
    done.stderr.fnmatch_lines([f"ERROR: {OPTION}: this session has no matrix file (*"])
    done = repo.pytester.runpytest("--distromatrix", FILE, f"{OPTION}=nope")
    assert done.ret == pytest.ExitCode.USAGE_ERROR
    done.stderr.fnmatch_lines(["ERROR: --changed: git knows no commit `nope` here: *"])
