"""Which tool runs a Python product's tests, and what that tool must be told or given."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any, Literal

from distromatrix.init.folder import ScannedFolder, table, texts
from distromatrix.init.python.project import PythonProject, requirement_name

MAX_READ = 300
# pytest's options and settings that a plugin brings, and the plugin that does.
_OPTIONS = {
    r"--cov\b|--cov-|--no-cov\b": "pytest-cov",
    r"(^|\s)-n[\s=]?(auto|logical|\d)|--numprocesses|--dist\b|--maxprocesses": "pytest-xdist",
    r"--benchmark-": "pytest-benchmark",
    r"--timeout\b|--timeout[-_]method": "pytest-timeout",
    r"--asyncio-mode": "pytest-asyncio",
    r"--reruns\b": "pytest-rerunfailures",
    r"--randomly-|-p\s*no:randomly": "pytest-randomly",
    r"--random-order": "pytest-random-order",
    r"--mypy\b": "pytest-mypy",
    r"--ruff\b": "pytest-ruff",
    r"--black\b": "pytest-black",
    r"--isort\b": "pytest-isort",
    r"--flake8\b": "pytest-flake8",
    r"--pylint\b": "pytest-pylint",
    r"--html\b|--self-contained-html": "pytest-html",
    r"--doctest-plus|--doctest-rst": "pytest-doctestplus",
    r"--remote-data": "pytest-remotedata",
    r"--ds\b": "pytest-django",
    r"--parallel-threads": "pytest-run-parallel",
}
_SETTINGS = {
    "asyncio_mode": "pytest-asyncio",
    "asyncio_default_fixture_loop_scope": "pytest-asyncio",
    "timeout": "pytest-timeout",
    "timeout_method": "pytest-timeout",
    "django_settings_module": "pytest-django",
    "mock_use_standalone_module": "pytest-mock",
    "env": "pytest-env",
    "qt_api": "pytest-qt",
    "markdown-docs-syntax": "pytest-markdown-docs",
    "reruns": "pytest-rerunfailures",
}
# What tests import that no standard library has; installed where nothing says what they need.
_IMPORTS = {
    "attr": "attrs",
    "freezegun": "freezegun",
    "hypothesis": "hypothesis",
    "mock": "mock",
    "nose": "nose",
    "numpy": "numpy",
    "parameterized": "parameterized",
    "ddt": "ddt",
    "pretend": "pretend",
    "pytest_asyncio": "pytest-asyncio",
    "requests": "requests",
    "responses": "responses",
    "testfixtures": "testfixtures",
    "yaml": "PyYAML",
}
_IMPORT = re.compile(r"^[ \t]*+(?:from|import)[ \t]++(\w++)", re.MULTILINE)
_TEST_FILE = re.compile(r"(test\w*|\w+_tests?)\.py")


@dataclass(frozen=True, slots=True, kw_only=True)
class Runner:
    """`tool` runs the tests; `said`: by what it was recognised; `requirements`: what pip must
    install for it and for what its settings name; `arguments`: of unittest, after its name;
    `git`: the tests call it."""

    tool: Literal["pytest", "unittest"]
    said: str
    requirements: tuple[str, ...] = ()
    arguments: str = ""


def find_runner(project: PythonProject) -> Runner | None:
    """What runs the product's tests, or None where there seem to be none."""
    folder = project.folder
    where, settings = _pytest_settings(folder)
    tests = test_files(folder)
    imports = {name for path in tests[:MAX_READ] for name in _IMPORT.findall(folder.head(path))}
    deps = project.test_deps
    needed = (*deps.requirements, *(r for g in deps.groups for r in project.groups[g]))
    named = {requirement_name(r) for r in needed}
    conftests = [f for f in folder.files if PurePosixPath(f).name == "conftest.py"]
    extra = tuple(p for name, p in _IMPORTS.items() if name in imports and not deps.said)
    if where or conftests or "pytest" in imports or "pytest" in named:
        said = where or next(iter(conftests), "") or ("tests" if "pytest" in imports else deps.said)
        return Runner(
            tool="pytest",
            said=said,
            requirements=("pytest", *_plugins(settings), *extra),
        )
    if not tests:
        return None
    if "unittest" in imports:
        start = _start(tests)
        return Runner(
            tool="unittest",
            said=f"{start or '.'}: unittest",
            requirements=("unittest-xml-reporting", *extra),
            arguments=_discovery(folder, tests, start),
        )
    return Runner(tool="pytest", said=tests[0], requirements=("pytest", *extra))


def _pytest_settings(folder: ScannedFolder) -> tuple[str, Mapping[str, Any]]:
    """The file with pytest's settings, and those."""
    for name in ("pytest.ini", ".pytest.ini"):
        if folder.has(name):
            return name, folder.ini(name).get("pytest", {})
    tool = table(folder.toml("pyproject.toml"), "tool")
    if pytest := table(tool, "pytest"):
        return "pyproject.toml", table(pytest, "ini_options") or pytest
    for name, section in (("tox.ini", "pytest"), ("setup.cfg", "tool:pytest")):
        if section in folder.ini(name):
            return name, folder.ini(name)[section]
    return "", {}


def _plugins(settings: Mapping[str, Any]) -> Iterator[str]:
    """The plugins without which pytest would refuse its own settings."""
    options = " ".join(texts(settings.get("addopts")))
    yield from (plugin for pattern, plugin in _OPTIONS.items() if re.search(pattern, options))
    known = {str(key).lower() for key in settings}
    yield from (plugin for setting, plugin in _SETTINGS.items() if setting in known)
    required = settings.get("required_plugins")
    yield from " ".join(texts(required)).split()


def test_files(folder: ScannedFolder) -> tuple[str, ...]:
    """Python files that a test tool would collect, those of tests folders first."""
    found = [
        path
        for path in folder.files
        if _TEST_FILE.fullmatch(PurePosixPath(path).name)
        and not path.startswith(("docs/", "doc/", "examples/"))
    ]
    return tuple(sorted(found, key=lambda p: (not _in_tests(p), p.count("/"), p)))


def _in_tests(path: str) -> bool:
    return any(part in ("test", "tests", "testing") for part in PurePosixPath(path).parts[:-1])


def _start(tests: tuple[str, ...]) -> str:
    """The folder in which discovery starts: the highest one that has all test files of the
    first one's tests folder."""
    first = PurePosixPath(tests[0])
    for parent in reversed(first.parents):
        if parent.name in ("test", "tests", "testing"):
            return str(parent)
    return "" if first.parent == PurePosixPath() else str(first.parent)


def _discovery(folder: ScannedFolder, tests: tuple[str, ...], start: str) -> str:
    """unittest's arguments: where to look, and the pattern where it is not the usual one."""
    words = ["discover"]
    if start:
        words += ["-s", start]
        if folder.has(f"{start}/__init__.py"):
            words += ["-t", "."]
    here = [PurePosixPath(t).name for t in tests if t.startswith(f"{start}/") or not start]
    if not any(name.startswith("test") for name in here):
        words += ["-p", "'*_test*.py'"]
    return " ".join(words)
