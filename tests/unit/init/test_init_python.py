"""Python products: which tool runs their tests, and what it takes to install them."""

from __future__ import annotations

from pathlib import Path

import pytest

from distromatrix.init import look
from distromatrix.init.facts import Draft
from distromatrix.init.folder import ScannedFolder
from distromatrix.init.python.project import PythonProject, requirement_name
from made_products import PYTEST, UNITTEST, make_product

PROJECT = '[project]\nname = "ok"\nversion = "1"\n'
TESTS = {"tests/test_a.py": "import pytest\n"}


def draft(tmp_path: Path, **files: str) -> Draft:
    root = make_product(tmp_path, {**TESTS, **files})
    (found,) = look(root).findings[0].drafts
    return found


def toml(tmp_path: Path, text: str, **files: str) -> Draft:
    return draft(tmp_path, **{"pyproject.toml": PROJECT + text, **files})


def installed(found: Draft) -> str:
    """What `prepare` gives to pip last."""
    lines = [line for line in found.prepare.splitlines() if "pip install" in line]
    return lines[-1].removeprefix("/opt/venv/bin/pip install -q ")


@pytest.mark.parametrize(
    ("text", "args", "setup"),
    [
        ("", "pytest", "."),
        ('[dependency-groups]\ntest = ["pytest"]\n', "--group test pytest", "."),
        (
            '[dependency-groups]\ndev = ["pytest"]\ntests = ["x"]\ndocs = ["y"]\n',
            "--group tests pytest",
            ".",
        ),
        (
            '[dependency-groups]\ndev = [{include-group = "t"}]\nt = ["pytest"]\n',
            "--group dev pytest",
            ".",
        ),
        ('[dependency-groups]\ndev = ["ruff"]\n', "pytest", "."),
        (
            '[project.optional-dependencies]\ntesting = ["a>1", "b @ file:x"]\n',
            "pytest 'a>1'",
            "'.[testing]'",
        ),
        ('[project.optional-dependencies]\ndocs = ["a"]\ndev = ["pytest"]\n', "pytest", "'.[dev]'"),
        ('[tool.hatch.envs.hatch-test]\nextra-dependencies = ["a"]\n', "pytest a", "."),
        ('[tool.poetry.group.dev.dependencies]\npytest = "^8.1"\n', "pytest 'pytest>=8.1'", "."),
        ('[tool.poetry.group.test.dependencies]\na = {git = "x"}\n', "pytest a", "."),
        ('[tool.pdm.dev-dependencies]\ntest = ["a"]\n', "pytest a", "."),
        ('[tool.uv]\ndev-dependencies = ["pytest", "a"]\n', "pytest a", "."),
        ('dependencies = ["b"]\n', "pytest b", "."),
    ],
)
def test_what_tests_need_is_found_where_it_is_written(
    tmp_path: Path, text: str, args: str, setup: str
) -> None:
    found = toml(tmp_path, text)
    assert installed(found) == args
    assert found.setup.endswith(f"pip install -q -e {setup}")
    assert ("pyproject.toml" in found.files) == ("--group" in args)


def test_setup_py_is_read_and_not_run(tmp_path: Path) -> None:
    code = "setup(tests_require=['a', 'b>1'], packages=[])"
    assert installed(draft(tmp_path / "1", **{"setup.py": code})) == "pytest a 'b>1'"
    code = "setup(extras_require={'test': ['a']}, packages=[])"
    found = draft(tmp_path / "2", **{"setup.py": code})
    assert found.setup == "/opt/venv/bin/pip install -q -e '.[test]'"
    code = "setup(tests_require=open('x').read(), packages=[])"
    assert installed(draft(tmp_path / "3", **{"setup.py": code})) == "pytest"
    assert installed(draft(tmp_path / "4", **{"setup.py": "setup(("})) == "pytest"
    cfg = "[metadata]\nname = x\n[options]\npackages = x\ninstall_requires =\n  c\n"
    cfg += "[options.extras_require]\ntest =\n  a\n  b\n"
    found = draft(tmp_path / "5", **{"setup.cfg": cfg})
    assert installed(found) == "pytest a b c"


def test_requirement_files_come_with_those_that_they_name(tmp_path: Path) -> None:
    files = {
        "requirements/tests.txt": "-r base.txt\npytest\n",
        "requirements/base.txt": "-c ../constraints.txt\n",
        "constraints.txt": "a<2\n",
    }
    found = toml(tmp_path, "", **files)
    assert installed(found) == "-r requirements/tests.txt pytest"
    assert set(found.files) == set(files)


def test_a_requirement_file_that_names_the_product_is_installed_with_it(tmp_path: Path) -> None:
    found = toml(tmp_path, "", **{"requirements-test.txt": "-e .\npytest\n"})
    assert found.files == ()
    assert found.setup.endswith("pip install -q -r requirements-test.txt")


def test_noxfiles_say_what_tests_need_where_nothing_else_does(tmp_path: Path) -> None:
    nox = "def tests(session):\n    session.install('pytest', 'a>1')\n    session.install('ruff')\n"
    assert installed(toml(tmp_path, "", **{"noxfile.py": nox})) == "pytest 'a>1'"


@pytest.mark.parametrize(
    ("settings", "plugin"),
    [
        ('addopts = "--cov=x"', "pytest-cov"),
        ('addopts = ["-n", "auto"]', "pytest-xdist"),
        ('addopts = "-n4"', "pytest-xdist"),
        ('addopts = "--benchmark-skip"', "pytest-benchmark"),
        ('asyncio_mode = "auto"', "pytest-asyncio"),
        ("timeout = 3", "pytest-timeout"),
        ('required_plugins = "pytest-x>=1 pytest-y"', "pytest-x>=1"),
    ],
)
def test_plugins_that_the_settings_name_are_installed(
    tmp_path: Path, settings: str, plugin: str
) -> None:
    found = toml(tmp_path, f"[tool.pytest.ini_options]\n{settings}\n")
    assert plugin in installed(found)


def test_settings_that_name_no_plugin_ask_for_none(tmp_path: Path) -> None:
    settings = 'addopts = "-ra --strict-markers -m not-n --no-header"\ntestpaths = ["tests"]\n'
    assert installed(toml(tmp_path, f"[tool.pytest.ini_options]\n{settings}")) == "pytest"


@pytest.mark.parametrize(
    ("files", "arguments"),
    [
        ({"tests/test_a.py": "import unittest"}, "discover -s tests"),
        (
            {"tests/__init__.py": "", "tests/x/test_a.py": "import unittest"},
            "discover -s tests -t .",
        ),
        (
            {"ok/tests/test_a.py": "from unittest import TestCase", "ok/tests/__init__.py": ""},
            "discover -s ok/tests -t .",
        ),
        ({"test_a.py": "import unittest"}, "discover"),
        ({"tests/a_test.py": "import unittest"}, "discover -s tests -p '*_test*.py'"),
    ],
)
def test_unittest_is_told_where_to_look(
    tmp_path: Path, files: dict[str, str], arguments: str
) -> None:
    root = make_product(tmp_path, {"setup.py": UNITTEST["setup.py"], **files})
    (found,) = look(root).findings[0].drafts
    assert f"python -m xmlrunner {arguments} --output-file" in found.run


def test_one_test_file_with_pytest_makes_it_pytest(tmp_path: Path) -> None:
    files = {**UNITTEST, "tests/deep/test_b.py": "from pytest import raises\n"}
    root = make_product(tmp_path, files)
    assert look(root).findings[0].what == "pytest"


def test_tests_without_any_dependency_written_down_get_what_they_import(tmp_path: Path) -> None:
    files = {**UNITTEST, "tests/test_b.py": "import hypothesis\nfrom parameterized import x\n"}
    (found,) = look(make_product(tmp_path, files)).findings[0].drafts
    assert installed(found) == "unittest-xml-reporting hypothesis parameterized"


@pytest.mark.parametrize(
    ("files", "packages"),
    [
        ({"setup.py": "setup(ext_modules=[Extension('a', ['a.c'])], packages=[])"}, True),
        ({"pyproject.toml": '[build-system]\nrequires = ["Cython>=3"]\n'}, True),
        ({"pyproject.toml": '[build-system]\nrequires = ["meson-python"]\n'}, True),
        ({"pyproject.toml": PROJECT, "src/ok/_fast.c": ""}, True),
        ({"pyproject.toml": PROJECT, "tests/data/a.c": ""}, False),
        ({"pyproject.toml": PROJECT}, False),
    ],
)
def test_what_is_compiled_gets_a_compiler_and_pythons_headers(
    tmp_path: Path, files: dict[str, str], packages: bool
) -> None:
    found = draft(tmp_path, **files)
    assert ({"compiler", "python-dev"} <= set(found.packages)) == packages


@pytest.mark.parametrize(
    ("code", "package"),
    [
        ('run(["make", "x"])', "make"),
        ('@pytest.mark.parametrize("p", ["cat", " less"])', "less"),
        ("subprocess.check_output('git status')", "git"),
        ("from zoneinfo import ZoneInfo", "tzdata"),
        ("shutil.which('cc')", "compiler"),
        ("build('x', source_extension='.cpp')", "c++"),
    ],
)
def test_programs_that_tests_name_are_installed(tmp_path: Path, code: str, package: str) -> None:
    found = draft(tmp_path, **{"pyproject.toml": PROJECT, "tests/test_b.py": f"x = 1\n{code}\n"})
    assert package in found.packages


def test_words_that_only_look_like_programs_ask_for_none(tmp_path: Path) -> None:
    code = "x = {'file': 1, 'make': 2}\nless = 'nothing less'\nopen('file')\n"
    found = draft(tmp_path, **{"pyproject.toml": PROJECT, "tests/test_b.py": code})
    assert found.packages == ("python",)


@pytest.mark.parametrize(
    ("files", "removed"),
    [
        ({"pyproject.toml": PROJECT + '[build-system]\nrequires = ["setuptools"]\n'}, False),
        ({"pyproject.toml": PYTEST["pyproject.toml"]}, True),
        ({"pyproject.toml": PYTEST["pyproject.toml"], "src/ok.py": ""}, False),
        (
            {"pyproject.toml": PYTEST["pyproject.toml"] + '[tool.setuptools]\npackages = ["ok"]\n'},
            False,
        ),
        ({"setup.py": "setup(packages=find_packages())"}, False),
        ({"setup.py": "setup()"}, True),
    ],
)
def test_setuptools_does_not_take_matrix_for_a_package(
    tmp_path: Path, files: dict[str, str], removed: bool
) -> None:
    found = draft(tmp_path, **files)
    assert found.setup.startswith("rm -r matrix") == removed
    notes = look(tmp_path).findings[0].notes
    assert any("takes the new folder matrix/" in note for note in notes) == removed


def test_names_of_requirements_are_compared_as_pip_does() -> None:
    assert requirement_name(" PyTest_Cov [x] >= 4; a == 'b'") == "pytest-cov"
    assert requirement_name("-r x") == ""


def test_groups_that_include_each_other_come_to_an_end(tmp_path: Path) -> None:
    said = '[dependency-groups]\na = [{include-group = "b"}, "x"]\nb = [{include-group = "a"}]\n'
    project = PythonProject(ScannedFolder(make_product(tmp_path, {"pyproject.toml": said})))
    assert project.groups == {"a": ("x",), "b": ("x",)}
