"""tox's environments as suites: how its configuration is read, what becomes of it."""

from __future__ import annotations

from pathlib import Path

import pytest

from distromatrix.init import look
from distromatrix.init.facts import Draft, Finding
from distromatrix.init.folder import ScannedFolder
from distromatrix.init.python.toxconf import expand, read_tox
from made_products import make_product

INI = "[tox]\nenv_list = {list}\n[testenv]\ncommands = pytest\n"


def tox(tmp_path: Path, text: str, name: str = "tox.ini", **files: str) -> Finding:
    root = make_product(tmp_path, {name: text, **files})
    return look(root).findings[0]


def drafts(finding: Finding) -> dict[str, Draft]:
    return {draft.name: draft for draft in finding.drafts}


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("py, lint", "py lint"),
        ("py3{9,10}-{a,b}", "py39-a py39-b py310-a py310-b"),
        ("py3{9-12}", "py39 py310 py311 py312"),
        ("\n  py{39, 310}\n  docs # with a comment\n# all of it\n", "py39 py310 docs"),
        ("py{39,310}{,-cov}", "py39 py39-cov py310 py310-cov"),
        ("{py}-{}-x", "py-x"),
        ("{1-100000}", "1-100000"),
    ],
)
def test_lists_of_environments_are_expanded(text: str, names: str) -> None:
    assert list(expand(text)) == names.split()


def test_a_list_without_end_is_cut() -> None:
    assert len(list(expand("{1-400}-{1-400}-{1-400}"))) == 500


def test_lines_for_other_factors_do_not_count(tmp_path: Path) -> None:
    text = """\
[tox]
env_list = py311-{a,b}
[testenv]
deps =
    shared
    a: only-a
    !a: not-a
    a,c: a-or-c
    py311-b: both
commands =
    a: pytest {posargs: one: two}
    b: python -m pytest \\
        more
"""
    conf = read_tox(ScannedFolder(make_product(tmp_path, {"tox.ini": text})))
    assert conf is not None
    a, b = conf.envs
    assert a.deps == ("shared", "only-a", "a-or-c")
    assert b.deps == ("shared", "not-a", "both")
    assert a.commands == ("pytest {posargs: one: two}",)
    assert b.commands == ("python -m pytest more",)


def test_sections_of_several_environments_and_references_are_followed(tmp_path: Path) -> None:
    text = """\
[tox]
envlist = {[more]names}
[more]
names = py{39,310}-x, y
[testenv]
commands = pytest
[testenv:py3{9,10}-x]
passenv = A
commands = {[testenv]commands} x
[testenv:y]
commands = {[testenv:y]commands}
"""
    conf = read_tox(ScannedFolder(make_product(tmp_path, {"tox.ini": text})))
    assert conf is not None
    assert [e.commands for e in conf.envs[:2]] == [("pytest x",)] * 2
    assert conf.envs[0].sections == ("testenv", "testenv:py39-x")


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("tox.ini", "[tox]\nenv_list = py311\n[testenv]\ncommands = pytest\n"),
        ("tox.ini", "[testenv]\ncommands = pytest\n"),
        ("setup.cfg", "[tox:tox]\nenvlist = py311\n[testenv]\ncommands = pytest\n"),
        (
            "pyproject.toml",
            '[tool.tox]\nlegacy_tox_ini = """\n[tox]\nenv_list = py\n'
            '[testenv]\ncommands = pytest"""\n',
        ),
        (
            "pyproject.toml",
            '[tool.tox]\nenv_list = ["3.11"]\n[tool.tox.env_run_base]\ncommands = [["pytest"]]\n',
        ),
        ("tox.toml", 'env_list = ["py"]\n[env_run_base]\ncommands = [["pytest"]]\n'),
        (
            "tox.toml",
            'env_list = [{product = [["3.11", "3.12"]]}]\n'
            '[env_run_base]\ncommands = [["python", {replace = "env", name = "A", '
            'default = "-m pytest"}]]\n',
        ),
    ],
)
def test_each_of_its_writings_is_understood(tmp_path: Path, name: str, text: str) -> None:
    finding = tox(tmp_path, text, name)
    assert (finding.source, finding.what) == (name, "tox: unit")
    assert "-x '" in finding.drafts[0].run


def test_a_tox_ini_that_only_holds_other_tools_settings_is_none(tmp_path: Path) -> None:
    finding = tox(tmp_path, "[pytest]\n[flake8]\n")
    assert finding.what == "pytest"


def test_versions_of_python_become_the_distributions_own(tmp_path: Path) -> None:
    ini = drafts(tox(tmp_path / "a", INI.format(list="py3{9-14}-{old,new}")))
    assert list(ini) == ["old", "new"]
    assert 'print("py%d%d"' in ini["old"].run
    assert 'tox run -e "$py-old"' in ini["old"].run
    toml = 'env_list = ["3.9", "3.14"]\n[env_run_base]\ncommands = [["pytest"]]\n'
    assert 'print("%d.%d"' in tox(tmp_path / "b", toml, "tox.toml").drafts[0].run
    generic = tox(tmp_path / "c", INI.format(list="py, py311")).drafts[0].run
    assert 'tox run -e "py"' in generic


@pytest.mark.parametrize(
    ("listed", "why"),
    [
        ("pypy3", "for a Python that is no distribution's own"),
        ("py3.14t", "for a Python that is no distribution's own"),
        ("py27", "for a Python that is no distribution's own"),
        ("py311-mypy", "by their names not about distributions"),
        ("docs-build", "by their names not about distributions"),
        ("pre-commit", "by their names not about distributions"),
        ("odd", "runs no test tool that is known here"),
        ("pinned", "wants python3.13 and no other"),
        ("upstreamed", "installs from a git repository"),
        ("missing", "names other/requirements.txt, which is not here"),
    ],
)
def test_what_is_not_for_distributions_is_left_out_and_said(
    tmp_path: Path, listed: str, why: str
) -> None:
    more = """\
[testenv:odd]
commands = echo
[testenv:pinned]
basepython = python3.13
[testenv:upstreamed]
deps = git+https://mirror.example/x.git
[testenv:missing]
deps = -r{toxinidir}/other/requirements.txt
"""
    finding = tox(tmp_path, INI.format(list=f"py311, {listed}") + more)
    assert [d.name for d in finding.drafts] == ["unit"]
    assert finding.notes == (f"tox.ini: left out {listed} ({why})",)


def test_with_nothing_for_distributions_in_it_pytest_is_run_itself(tmp_path: Path) -> None:
    text = "[tox]\nenv_list = lint\n[testenv]\ncommands = ruff\n[pytest]\n"
    finding = tox(tmp_path, text)
    assert finding.what == "pytest"
    assert finding.notes == ("tox.ini: left out lint (by their names not about distributions)",)


def test_environments_that_are_set_up_for_some_pythons_are_no_others(tmp_path: Path) -> None:
    listed = "py{310-312}, py{310,312}-few, py312-one, py{310-312}-all"
    more = "[testenv:py{310,312}-few]\nsetenv = A=1\n[testenv:py312-one]\nsetenv = A=1\n"
    text = INI.format(list=listed) + more + "[testenv:py{310-312}-all]\nsetenv = A=1\n"
    finding = tox(tmp_path, text)
    assert [d.name for d in finding.drafts] == ["unit", "all"]
    why = "with settings of their own, which another Python's would not have"
    assert finding.notes == (f"tox.ini: left out py310-few, py312-few, py312-one ({why})",)


def test_of_two_words_for_python_the_second_is_a_name(tmp_path: Path) -> None:
    found = drafts(tox(tmp_path, INI.format(list="py{39,310}, py39-python, py310-python")))
    assert list(found) == ["unit", "python"]
    assert '-e "$py-python" ' in found["python"].run


def test_more_than_six_suites_are_named_and_not_written(tmp_path: Path) -> None:
    finding = tox(tmp_path, INI.format(list="py-a{1-9}"))
    assert [d.name for d in finding.drafts] == [f"a{n}" for n in range(1, 7)]
    assert finding.notes == ("tox.ini: left out a7, a8, a9 (6 are enough to begin with)",)


def test_the_environment_is_let_through_also_where_a_section_says_its_own(tmp_path: Path) -> None:
    text = INI.format(list="py, x-test") + "[testenv:x-test]\npass_env = A\n"
    found = drafts(tox(tmp_path / "a", text))
    assert "-x 'testenv.pass_env=*' -x 'pkgenv.pass_env=*'" in found["unit"].run
    assert "-x 'testenv:x-test.pass_env=*'" in found["x-test"].run
    toml = """\
[tool.tox]
env_list = ["x.y"]
[tool.tox.env_run_base]
commands = [["pytest"]]
[tool.tox.env."x.y"]
pass_env = ["A"]
"""
    run = tox(tmp_path / "b", toml, "pyproject.toml").drafts[0].run
    assert "-x 'tool.tox.env_run_base.pass_env=*'" in run
    assert "-x 'tool.tox.env.x\\.y.pass_env=*'" in run


def test_a_junit_report_is_promised_only_where_pytest_will_write_one(tmp_path: Path) -> None:
    def run(n: str, body: str) -> Draft:
        return tox(tmp_path / n, f"[testenv]\n{body}\n").drafts[0]

    assert "--junitxml=$DISTROMATRIX_JUNIT" in run("a", "commands = pytest").run
    lost = run("b", "setenv = PYTEST_ADDOPTS=-n2\ncommands = pytest")
    assert "DISTROMATRIX_JUNIT" not in lost.run
    assert any("no JUnit report" in line for line in lost.about)
    kept = run("c", "setenv = PYTEST_ADDOPTS=-n2 {env:PYTEST_ADDOPTS:}\ncommands = pytest")
    assert "DISTROMATRIX_JUNIT" in kept.run
    elsewhere = run("f", "commands = pytest {posargs:--junit-xml=.tox/{envname}.xml -v} tests")
    assert elsewhere.run.splitlines()[-2] == (
        '[ ! -e ".tox/py.xml" ] || cp ".tox/py.xml" "$DISTROMATRIX_JUNIT"'
    )
    assert "PYTEST_ADDOPTS" not in elsewhere.run
    unknown = run("g", "commands = pytest --junitxml={env:RESULTS}/a.xml")
    assert "DISTROMATRIX_JUNIT" not in unknown.run
    twice = run("d", "commands =\n  pytest a\n  pytest b")
    assert any("more than once" in line for line in twice.about)
    own = run("e", "commands = python alltests.py")
    assert "DISTROMATRIX_JUNIT" not in own.run


def test_where_tox_only_calls_unittest_it_is_called_with_a_report(tmp_path: Path) -> None:
    files = {"tests/test_a.py": "import unittest\n"}
    text = "[tox]\nenv_list = py39,py310\n[testenv]\ncommands = {envpython} -m unittest ARGS\n"
    for given, called in (
        ("-v {posargs}", "discover -s tests"),
        ("discover -s other", "discover -s other"),
    ):
        finding = tox(tmp_path, text.replace("ARGS", given), **files)
        assert finding.what == "unittest"
        assert f"-m xmlrunner {called} --output-file" in finding.drafts[0].run
    finding = tox(tmp_path, text.replace("ARGS", "{envname}"), **files)
    assert finding.what == "tox: unit"


def test_uv_is_installed_where_it_is_asked_for_and_fetches_no_python(tmp_path: Path) -> None:
    draft = tox(tmp_path / "a", "[testenv]\nrunner = uv-venv-lock-runner\ncommands = pytest\n")
    assert draft.drafts[0].prepare.endswith("pip install -q tox tox-uv")
    assert draft.drafts[0].env == {"UV_PYTHON_DOWNLOADS": "never"}
    required = "[tox]\nrequires =\n  tox>=4\n  tox-gh>1\n[testenv]\ncommands = pytest\n"
    assert tox(tmp_path / "b", required).drafts[0].prepare.endswith("-q tox 'tox-gh>1'")
