"""What init writes for each kind of product, and that it always loads without a word."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from loading import TODAY

from distromatrix.init import Survey, look
from distromatrix.init.facts import Draft, Finding
from distromatrix.init.folder import ScannedFolder
from distromatrix.init.write import suites_of
from distromatrix.load import load_matrix
from distromatrix.model import Matrix, Suite
from made_products import DEBIAN, PRODUCTS, PYTEST, TOX, UNITTEST, Files, make_product

SUITES = {
    "make": ["check"],
    "cmake": ["ctest"],
    "meson": ["meson"],
    "autotools": ["check"],
    "go": ["go"],
    "cargo": ["cargo"],
    "node": ["npm"],
    "debian": ["import"],
    "pytest": ["unit"],
    "unittest": ["unit"],
    "tox": ["first", "second"],
    "nox": ["tests"],
}


def loaded(root: Path, found: Survey | None = None) -> Matrix:
    """The matrix that init would write there; it must load without fault or warning."""
    text = (found or look(root)).text(["debian-12", "debian-13"], ["alpine-3.20"])
    file = root / "matrix/default.yaml"
    file.parent.mkdir(exist_ok=True)
    file.write_text(text, encoding="utf-8")
    assert max(map(len, text.splitlines())) <= 120
    matrix = load_matrix(file, today=TODAY)
    assert matrix.warnings == ()
    return matrix


def suite_of(tmp_path: Path, files: Files) -> Suite:
    """The one suite of a product."""
    (suite,) = loaded(make_product(tmp_path, files)).suites
    return suite


@pytest.mark.parametrize("kind", PRODUCTS)
def test_each_kind_of_product_gets_suites_that_load(tmp_path: Path, kind: str) -> None:
    root = make_product(tmp_path, PRODUCTS[kind])
    found = look(root)
    assert [name for name, _ in found.suites] == SUITES[kind]
    assert found.warnings == ()
    imported = {"import": "says"}
    suites = [s.name for s in loaded(root, found).suites]
    assert suites == [imported.get(name, name) for name in SUITES[kind]]


@pytest.mark.parametrize("kind", PRODUCTS)
def test_the_shell_that_is_written_is_valid(tmp_path: Path, kind: str) -> None:
    for suite in loaded(make_product(tmp_path, PRODUCTS[kind])).suites:
        for script in (suite.run, suite.setup, suite.prepare and suite.prepare.run):
            if script:
                subprocess.run(["sh", "-n", "-c", script], check=True)


def test_a_product_of_several_kinds_gets_a_suite_of_each(tmp_path: Path) -> None:
    files = {**PRODUCTS["cmake"], **PRODUCTS["node"], **PRODUCTS["make"]}
    found = look(make_product(tmp_path, files))
    assert [name for name, _ in found.suites] == ["npm", "ctest"]  # make only calls them


def test_two_suites_of_one_name_are_told_apart(tmp_path: Path) -> None:
    files = {**PYTEST, "tox.ini": "[tox]\nenv_list = A b,a-B\n[testenv]\ncommands = pytest\n"}
    matrix = loaded(make_product(tmp_path, files))
    assert [s.name for s in matrix.suites] == ["ab", "a-b"]


def test_a_folder_with_nothing_gets_a_file_that_fails_until_it_is_edited(tmp_path: Path) -> None:
    found = look(tmp_path)
    assert found.suites == ()
    (suite,) = loaded(tmp_path, found).suites
    done = subprocess.run(["sh", "-ec", suite.run], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "does not say yet how this product is tested" in done.stderr


@pytest.mark.parametrize(
    ("files", "said"),
    [
        ({"Makefile": "all:\n\ttrue\n"}, "a Makefile without a target check or test"),
        ({"CMakeLists.txt": "project(x)\n"}, "neither enable_testing() nor include(CTest)"),
        ({"meson.build": "project('x')\n"}, "Meson, but no test()"),
        ({"go.mod": "module x\n"}, "a Go module without a _test.go file"),
        ({"Cargo.toml": "", "src/lib.rs": ""}, "no #[test] was seen"),
        (
            {"package.json": '{"scripts": {"test": "echo no test specified && exit 1"}}'},
            "no test script but the one npm init writes",
        ),
        ({"setup.py": "from setuptools import setup; setup()"}, "a Python product, but no tests"),
    ],
)
def test_what_has_no_tests_is_said_and_gets_no_suite(
    tmp_path: Path, files: Files, said: str
) -> None:
    found = look(make_product(tmp_path, files))
    assert found.suites == ()
    assert said in found.findings[0].what
    loaded(tmp_path, found)


@pytest.mark.parametrize(
    "name",
    ["pyproject.toml", "tox.ini", "setup.cfg", "package.json", "tox.toml", "pytest.ini"],
)
@pytest.mark.parametrize("content", [b"\xff\xfe[[[", b"[[[", b"{{{{", b"[a]\nb", b"a = = b\0"])
def test_broken_files_are_a_warning_at_most(tmp_path: Path, name: str, content: bytes) -> None:
    make_product(tmp_path, {"Makefile": "check:\n\ttrue\n"})
    (tmp_path / name).write_bytes(content)
    found = look(tmp_path)
    assert all(line.startswith(name) and line.isprintable() for line in found.warnings)
    loaded(tmp_path, found)


def test_a_broken_file_is_named_with_what_is_wrong_and_the_others_count(tmp_path: Path) -> None:
    files = {"pyproject.toml": "[project\n", "package.json": "{", **PRODUCTS["make"]}
    found = look(make_product(tmp_path, files))
    assert [name for name, _ in found.suites] == ["check"]
    toml, json = sorted(found.warnings, reverse=True)
    assert toml.startswith("pyproject.toml: not valid TOML, not looked at: ")
    assert json.startswith("package.json: not valid JSON, not looked at: ")
    assert "# Not looked at: pyproject.toml: " in found.text(["debian-12"])


def test_values_of_the_wrong_type_are_as_good_as_none(tmp_path: Path) -> None:
    wrong = "project = 1\ndependency-groups = []\ntool = {pytest = 1, tox = {env_list = 7}}\n"
    files = {"pyproject.toml": wrong, "package.json": '{"scripts": ["test"]}'}
    loaded(make_product(tmp_path, files))
    make_product(tmp_path, {"package.json": "[1]", "pyproject.toml": "[tool.tox.env]\nx = 3\n"})
    loaded(tmp_path)


def test_nothing_of_the_product_is_run(tmp_path: Path) -> None:
    trap = f"open({str(tmp_path / 'ran')!r}, 'w')\n"
    files = {**UNITTEST, "setup.py": trap, "conftest.py": trap, "noxfile.py": trap}
    loaded(make_product(tmp_path, files))
    assert not (tmp_path / "ran").exists()


def test_what_is_no_plain_file_inside_the_folder_is_not_read(tmp_path: Path) -> None:
    root = make_product(tmp_path / "product", {"a": ""})
    outside = make_product(tmp_path / "other", {"tox.ini": TOX["tox.ini"]})
    (root / "tox.ini").symlink_to(outside / "tox.ini")
    os.mkfifo(root / "Makefile")
    (root / "package.json").symlink_to(root / "package.json")
    (root / "pyproject.toml").mkdir()
    assert look(root).suites == ()


def test_a_file_too_big_for_a_configuration_is_not_read(tmp_path: Path) -> None:
    make_product(tmp_path, {"tox.ini": TOX["tox.ini"] + "#" * (1 << 20)})
    found = look(tmp_path)
    assert found.warnings == ("tox.ini: larger than 1 MiB, not looked at",)


def test_odd_names_and_texts_stay_what_they_are(tmp_path: Path) -> None:
    files = {
        "tests/requirements odd'.txt": "pytest\n",
        "package.json": '{"scripts": {"test": "mocha"}}',
        "tox.ini": "[tox]\nenv_list = Ünï--cöde: #x, {$}\n[testenv]\ncommands = pytest\n",
        "conftest.py": "",
    }
    root = make_product(tmp_path / "a product: 'odd' #1 \x1b[1m", files)
    matrix = loaded(root)
    assert matrix.product.path == root.resolve()


def test_control_characters_and_odd_line_ends_are_shown(tmp_path: Path) -> None:
    said = 'x = "\\u2028- a"\n[project]\ndependencies = ["a\\u001b[1m", "b\\u0085- c: ["]\n'
    files = {**PYTEST, "pyproject.toml": said, "tox.ini": "[tox]\nenv_list = doc\x85s: [\n"}
    matrix = loaded(make_product(tmp_path, files))
    assert matrix.suites[0].prepare is not None
    assert r"'a\x1b[1m'" in matrix.suites[0].prepare.run


def test_git_comes_along_only_where_the_version_is_made_of_it(tmp_path: Path) -> None:
    scm = '[build-system]\nrequires = ["setuptools", "setuptools_scm"]\n'
    root = make_product(tmp_path, {**PYTEST, "pyproject.toml": scm})
    assert not loaded(root).product.git
    assert loaded(root).suites[0].env == {"SETUPTOOLS_SCM_PRETEND_VERSION": "0.0.0"}
    (root / ".git").mkdir()
    matrix = loaded(root)
    assert matrix.product.git
    assert "git" in matrix.suites[0].packages
    make_product(root, PYTEST)
    assert not loaded(root).product.git


def test_a_released_source_knows_its_version(tmp_path: Path) -> None:
    scm = '[build-system]\nrequires = ["hatchling", "hatch-vcs"]\n'
    root = make_product(tmp_path, {**PYTEST, "pyproject.toml": scm, "PKG-INFO": "Version: 1\n"})
    assert loaded(root).suites[0].env == {}


_INNER = st.sampled_from(
    [
        *("dependencies", "env_list", "env_run_base", "env", "commands", "deps", "set_env"),
        *("pass_env", "ini_options", "addopts", "envs", "group", "test", "dev", "requires"),
    ]
)
_VALUES = st.recursive(
    st.one_of(st.text(max_size=8), st.integers(), st.booleans(), st.sampled_from(["pytest", "-"])),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3), st.dictionaries(_INNER, inner, max_size=4)
    ),
    max_leaves=12,
)


def _table(*names: str) -> st.SearchStrategy[dict[str, object]]:
    return st.fixed_dictionaries({}, optional=dict.fromkeys(names, _VALUES))


_TOOLS = _table("tox", "pytest", "hatch", "poetry", "pdm", "uv", "setuptools")
_PYPROJECT = st.fixed_dictionaries(
    {"tool": _TOOLS},
    optional={
        "project": _table("dependencies", "optional-dependencies", "requires-python"),
        "build-system": _table("requires", "build-backend"),
        "dependency-groups": _VALUES,
    },
)


@settings(deadline=None, max_examples=80, suppress_health_check=list(HealthCheck))
@example(  # characters that take more room once they are made visible
    pyproject={"tool": {}},
    tox={"env_list": ["0000", "000000\x08\U00018d09", "00\x1f\U00018d09\U00018d09\t"]},
    package={},
)
@given(
    pyproject=_PYPROJECT,
    tox=_table("env_list", "env_run_base", "env", "requires"),
    package=_table("scripts"),
)
def test_whatever_foreign_files_hold_what_is_written_loads(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    pyproject: dict[str, object],
    tox: dict[str, object],
    package: dict[str, object],
) -> None:
    parsed = {"pyproject.toml": pyproject, "tox.toml": tox, "package.json": package}
    monkeypatch.setattr(ScannedFolder, "toml", lambda _, name: parsed.get(name, {}))
    monkeypatch.setattr(ScannedFolder, "json", lambda _, name: parsed.get(name, {}))
    make_product(tmp_path, {"tests/test_a.py": "import unittest\n", "package.json": "{}"})
    loaded(tmp_path)


def test_no_suite_has_the_name_by_which_others_are_imported() -> None:
    finding = Finding(source="tox.ini", what="tox", drafts=(Draft(name="import", run="true"),))
    assert list(suites_of([finding])) == ["import-2"]


def test_tests_of_another_format_are_imported_beside_the_others(tmp_path: Path) -> None:
    tests = {"debian/tests/control": "Tests: check says\n"}
    tmt = {".fmf/version": "1\n", "smoke.fmf": "test: ./smoke\n"}
    root = make_product(tmp_path, {**PRODUCTS["make"], **PRODUCTS["autotools"], **DEBIAN, **tests})
    make_product(root, tmt)
    found = look(root)
    assert [name for name, _ in found.suites] == ["import", "check-2"]
    assert found.family == ""
    assert "  import: [debian/tests, .]\n" in found.text(["debian-12"])
    matrix = loaded(root, found)
    assert sorted(s.name for s in matrix.suites) == ["check", "check-2", "says", "smoke"]
    assert {s.user for s in matrix.suites if s.name != "check-2"} == {"root"}


def test_only_tests_of_debian_are_for_its_family(tmp_path: Path) -> None:
    assert look(make_product(tmp_path, DEBIAN)).family == "debian"


def test_tests_of_another_format_that_have_faults_are_a_warning(tmp_path: Path) -> None:
    files = {**PRODUCTS["make"], **DEBIAN, "debian/tests/control": "Tests: a\nDepends: 'b\n"}
    found = look(make_product(tmp_path, files))
    assert [name for name, _ in found.suites] == ["check"]
    (said,) = found.warnings
    assert said.endswith("debian/tests/control:2:1: `'b` is no dependency")
    loaded(tmp_path, found)


def test_what_has_the_same_names_in_two_formats_is_imported_once(tmp_path: Path) -> None:
    files = {**DEBIAN, ".fmf/version": "1\n", "says.fmf": "test: 'true'\n"}
    found = look(make_product(tmp_path, files))
    assert found.warnings == ("./.fmf/version: not imported: says is there",)
    assert [s.name for s in loaded(tmp_path, found).suites] == ["says"]
