"""Which cells pytest collects from a matrix file, by what name, and when."""

from __future__ import annotations

import subprocess
import sys
from typing import get_args

import pytest
from pytest_world import FILE, IDS, MATRIX, World, of

from distromatrix import model, pytest_plugin
from distromatrix.plan import needs

pytest_plugins = ["pytester"]

OWN = "tests/test_own.py::test_own"


def test_every_cell_is_an_item_named_after_it(world: World) -> None:
    assert world.collected("--distromatrix") == [*of(*IDS), OWN]


def test_collecting_touches_no_engine_and_makes_no_run(world: World) -> None:
    world.collected("--distromatrix")
    assert not world.fake.exists()
    assert not world.runs()


def test_a_cell_is_selected_by_its_node_id(world: World) -> None:
    assert world.collected("--distromatrix", *of("two/bad")) == of("two/bad")
    world.ini()
    assert world.collected(*of("one-1.0/good", "two/bad")) == of("one-1.0/good", "two/bad")
    assert world.collected(FILE) == of(*IDS)


def test_what_is_no_cell_is_not_found(world: World) -> None:
    world.ini()
    done = world.pytester.runpytest(*of("two/better"))
    assert done.ret == pytest.ExitCode.USAGE_ERROR
    done.stderr.fnmatch_lines(["ERROR: not found: *default.yaml::two/better"])


def test_distro_suite_and_variant_are_keywords_and_no_marks(world: World) -> None:
    world.matrix(MATRIX + "variants:\n  py311: {suites: [good]}\n")
    assert world.collected("--distromatrix", "-k", "two and good") == of("two/good/py311")
    assert world.collected("--distromatrix", "-k", "py311 and not two") == of("one-1.0/good/py311")
    assert world.collected("--distromatrix", "-m", "two or good or py311") == []
    items, _ = world.pytester.inline_genitems("--distromatrix", *of("two/good/py311"))
    assert items[0].extra_keyword_matches == {"two", "good", "py311"}


def test_family_libc_and_needs_are_marks(world: World) -> None:
    world.matrix(MATRIX + "  deep: {run: 'true', needs: [kernel-modules]}\n")
    strict = ("--distromatrix", "--strict-markers", "-m")
    assert world.collected(*strict, "musl and not kernel-modules") == of("two/good", "two/bad")
    assert world.collected(*strict, "alpine and kernel-modules") == of("two/deep")
    assert world.collected(*strict, "glibc and other") == of(
        "one-1.0/good", "one-1.0/bad", "one-1.0/deep"
    )


def test_the_setting_collects_only_where_the_file_lies_within_the_arguments(world: World) -> None:
    world.ini()
    assert world.collected() == [*of(*IDS), OWN]
    assert world.collected(".") == [*of(*IDS), OWN]
    assert world.collected("matrix") == of(*IDS)
    assert world.collected("tests") == [OWN]
    assert world.collected("tests/test_own.py") == [OWN]
    assert world.collected("--ignore=matrix") == [OWN]


def test_the_setting_follows_testpaths(world: World) -> None:
    world.ini("testpaths = tests")
    assert world.collected() == [OWN]
    world.ini("testpaths = tests matrix")
    assert world.collected() == [OWN, *of(*IDS)]


def test_a_matrix_outside_the_arguments_is_not_even_read(world: World) -> None:
    world.ini()
    world.matrix("distros: [nothing-like-it]\n")
    assert world.collected("tests/test_own.py") == [OWN]
    assert world.collected("--ignore", FILE) == [OWN]


def test_the_option_collects_whatever_the_arguments_are(world: World) -> None:
    assert world.collected("--distromatrix", "tests") == [OWN, *of(*IDS)]
    assert world.collected("tests", "--distromatrix") == [OWN, *of(*IDS)]
    assert world.collected("--distromatrix", ".") == [*of(*IDS), OWN]


def test_the_option_takes_a_file_and_nothing_else(world: World) -> None:
    world.matrix(MATRIX.replace("two", "one-1.0"), "matrix/small.yaml")
    small = ["matrix/small.yaml::one-1.0/good", "matrix/small.yaml::one-1.0/bad"]
    assert world.collected("--distromatrix=matrix/small.yaml", "tests") == [OWN, *small]
    assert world.collected("--distromatrix", "matrix/small.yaml", "tests") == [OWN, *small]
    assert world.collected("--distromatrix", OWN) == [OWN, *of(*IDS)]


def test_options_of_a_given_back_folder_are_known(world: World) -> None:
    (world.root / "tests").rename(world.root / "checks")
    (world.root / "checks/conftest.py").write_text(
        "def pytest_addoption(parser): parser.addoption('--of-conftest', action='store_true')\n"
    )
    own = "checks/test_own.py::test_own"
    assert world.collected("--distromatrix", "checks", "--of-conftest") == [own, *of(*IDS)]


def test_the_options_file_takes_the_settings_place(world: World) -> None:
    world.ini()
    world.matrix(MATRIX.replace("two", "one-1.0"), "matrix/small.yaml")
    ids = world.collected("--distromatrix=matrix/small.yaml", "-k", "good")
    assert ids == ["matrix/small.yaml::one-1.0/good"]


def test_a_matrix_file_that_nobody_named_is_left_alone(world: World) -> None:
    assert world.collected() == [OWN]


def test_a_matrix_file_that_an_argument_names_is_collected(world: World) -> None:
    assert world.collected(FILE) == of(*IDS)
    assert world.collected(*of("two/bad"), "tests") == [*of("two/bad"), OWN]
    assert world.collected(str(world.root / FILE), "-k", "good") == of("one-1.0/good", "two/good")
    assert world.collected(".") == [OWN]
    assert world.collected("matrix", "tests") == [OWN]
    done = world.pytester.runpytest(*of("two/good"), "-n", "2")
    done.assert_outcomes(passed=1)


def test_one_that_an_argument_names_goes_before_the_settings(world: World) -> None:
    world.ini()
    world.matrix(MATRIX.replace("two", "one-1.0"), "matrix/small.yaml")
    small = "matrix/small.yaml::one-1.0/good"
    assert world.collected(small) == [small]
    assert world.collected("--distromatrix", small) == [small]


def test_two_named_matrices_are_a_usage_error(world: World) -> None:
    world.matrix(MATRIX, "matrix/small.yaml")
    done = world.pytester.runpytest(FILE, "matrix/small.yaml")
    assert done.ret == pytest.ExitCode.USAGE_ERROR
    done.stderr.fnmatch_lines(["ERROR: only one matrix file *; got default.yaml, small.yaml"])


def test_other_yaml_files_are_not_ours(world: World) -> None:
    world.matrix("jobs: [one]\n", "matrix/jobs.yaml")
    (world.root / "tests/like.yaml").write_text(MATRIX)
    for name in ("matrix/jobs.yaml", "tests/like.yaml", "matrix/none.yaml"):
        done = world.pytester.runpytest(name)
        assert done.ret in (pytest.ExitCode.NO_TESTS_COLLECTED, pytest.ExitCode.USAGE_ERROR)
        assert "distromatrix:" not in done.stdout.str()


def test_faults_of_the_matrix_are_one_usage_error(world: World) -> None:
    world.matrix("distros: [tow]\nsuites:\n  good: {rum: echo fine}\n")
    for args in ("--distromatrix", "-p", "no:terminal"), ("--distromatrix", "-n", "2"):
        done = world.pytester.runpytest(*args)
        assert done.ret == pytest.ExitCode.USAGE_ERROR
        done.stderr.fnmatch_lines(
            [
                "ERROR: matrix/default.yaml:1:11: no distro `tow` (did you mean `two`?)",
                "matrix/default.yaml:3:10: *",
            ]
        )
        assert done.stderr.str().count("matrix/default.yaml:1:11") == 1
        assert "Traceback" not in done.stderr.str()


def test_a_matrix_that_is_not_there_is_a_usage_error(world: World) -> None:
    done = world.pytester.runpytest("--distromatrix=matrix/none.yaml")
    assert done.ret == pytest.ExitCode.USAGE_ERROR
    done.stderr.fnmatch_lines(["ERROR: matrix/none.yaml: no such matrix file*"])


def test_two_matrices_in_the_setting_are_a_usage_error(world: World) -> None:
    world.ini("    matrix/other.yaml")
    done = world.pytester.runpytest()
    assert done.ret == pytest.ExitCode.USAGE_ERROR
    done.stderr.fnmatch_lines(["ERROR: the setting `distromatrix` must name one matrix file*"])


def test_workers_collect_what_was_read_when_the_session_began(world: World) -> None:
    world.ini()
    world.matrix(MATRIX + "rules: [{suite: '*', skip: not today}]\n")
    (world.root / "conftest.py").write_text(
        "import pathlib\n"
        f"def pytest_configure_node(node): pathlib.Path({FILE!r}).write_text('distros: [tow]')\n"
    )
    done = world.pytester.runpytest("-n", "2")
    done.assert_outcomes(passed=1, skipped=4)


def test_marks_are_registered_with_a_line_each(world: World) -> None:
    lines = world.pytester.runpytest("--markers").outlines
    names = {line.split(":")[0].split("(")[0].removeprefix("@pytest.mark.") for line in lines}
    assert {*get_args(model.Family), *get_args(model.Libc), *needs.NEEDS} <= names
    assert {"needs", "distros"} <= names


def test_the_plugin_knows_every_family_and_libc() -> None:
    assert get_args(model.Family) == pytest_plugin.FAMILIES
    assert get_args(model.Libc) == pytest_plugin.LIBCS


PYTHON = sys.executable
HEAVY = ("docker", "rich", "pydantic", "yaml", "testinfra", "distromatrix.model")


@pytest.mark.parametrize("xdist", [(), ("-n", "1")], ids=["alone", "xdist"])
def test_a_session_that_uses_nothing_of_it_imports_nothing_heavy(
    world: World, xdist: tuple[str, ...]
) -> None:
    world.ini()
    (world.root / "tests/test_own.py").write_text(
        f"import sys\ndef test_own(): assert not set({HEAVY}) & set(sys.modules)\n"
    )
    (world.root / "conftest.py").write_text(
        f"import sys\ndef pytest_unconfigure(): print('heavy:', *set({HEAVY}) & set(sys.modules))\n"
    )
    command = [PYTHON, "-m", "pytest", "-p", "no:pytest11.testinfra", *xdist, "tests"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "heavy: \n" in done.stdout.replace("heavy:\n", "heavy: \n")


def test_others_fixtures_of_the_same_name_want_no_machine(world: World) -> None:
    (world.root / "tests/test_own.py").write_text(
        "import pytest\n"
        "@pytest.fixture\ndef machine(): return 1\n"
        "def test_own(machine): assert machine == 1\n"
    )
    world.pytester.runpytest("tests").assert_outcomes(passed=1)
    assert not world.fake.exists()


def test_the_installed_plugin_is_found_by_its_entry_point(world: World) -> None:
    done = world.pytester.runpytest("--help")
    done.stdout.fnmatch_lines(["*--distromatrix=[[]FILE]*"])
    done.stdout.fnmatch_lines(["*distromatrix (string):*"])
