"""What a Python product says of itself: how it is built, what its tests need."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from distromatrix.init.folder import ScannedFolder, parse_python, table, texts

# Names of extras, dependency groups and requirement files, the best first.
_TEST = re.compile(r"(unit[-_]?)?test(s|ing)?|py[-_]?test|(test|tests)[-_](deps|requirements)")
_DEV = re.compile(r"dev(el|elop|elopment)?|all|ci")
_TEST_FILES = (
    *("requirements-test*.txt", "requirements_test*.txt", "test-requirements*.txt"),
    *("test_requirements*.txt", "requirements.test*.txt", "requirements/test*.txt"),
    *("tests/requirements*.txt", "test/requirements*.txt", "requirements/*test*.txt"),
)
_DEV_FILES = (
    *("requirements-dev*.txt", "requirements_dev*.txt", "dev-requirements*.txt"),
    *("requirements/dev*.txt", "requirements-ci.txt"),
)
_SCM = re.compile(
    r"setuptools[-_]scm|hatch[-_]vcs|setuptools[-_]git[-_]versioning|versioningit|pbr|vcversioner"
    r"|poetry[-_]dynamic[-_]versioning|uv[-_]dynamic[-_]versioning|dunamai|versioneer"
)
_EXTENSION = re.compile(r"\bExtension\s*\(|ext_modules|cffi_modules|cythonize|libraries\s*=\s*\[")
_RUST = re.compile(r"maturin|setuptools[-_]rust")
_NAME = re.compile(r"\s*([A-Za-z0-9][A-Za-z0-9._-]*)")
_SOURCE_TEST = re.compile(r"(^|/)(tests?|testing)(/|_|\.)|(^|/)test_|_test\.py$|conftest\.py$")


@dataclass(frozen=True, slots=True, kw_only=True)
class TestDeps:
    """How to install what the tests need. `files`: those that pip must be given;
    `requirements`: what is named outright; `extras`, `groups`: by name; `said`: where."""

    said: str = ""
    groups: tuple[str, ...] = ()
    extras: tuple[str, ...] = ()
    files: tuple[str, ...] = ()
    requirements: tuple[str, ...] = ()


class PythonProject:
    """The metadata of a Python product, from whichever of its files has it."""

    def __init__(self, folder: ScannedFolder) -> None:
        self.folder = folder
        self.pyproject = folder.toml("pyproject.toml")
        self.setup_cfg = folder.ini("setup.cfg")
        self.setup_py = folder.text("setup.py")

    @property
    def installable(self) -> bool:
        """Whether pip can build it."""
        return bool(
            self.setup_py
            or "build-system" in self.pyproject
            or "project" in self.pyproject
            or "metadata" in self.setup_cfg
            or table(self.pyproject, "tool", "poetry")
        )

    @property
    def source(self) -> str:
        """The file that says how it is built."""
        names = ("pyproject.toml", "setup.py", "setup.cfg")
        return next((n for n in names if self.folder.has(n)), "")

    @property
    def backend(self) -> str:
        """Its build backend: `setuptools.build_meta`, `mesonpy`, …; '' where none is named."""
        return " ".join(texts(table(self.pyproject, "build-system").get("build-backend")))

    @property
    def build_requires(self) -> tuple[str, ...]:
        """What it must be built with."""
        setup = _lines(self.setup_cfg.get("options", {}).get("setup_requires", ""))
        return (*texts(table(self.pyproject, "build-system").get("requires")), *setup)

    @property
    def requires_python(self) -> str:
        """Which Pythons it is for, such as `>=3.10`; '' where it does not say."""
        poetry = table(self.pyproject, "tool", "poetry", "dependencies").get("python")
        said = table(self.pyproject, "project").get("requires-python") or poetry
        cfg = self.setup_cfg.get("options", {}).get("python_requires", "")
        return " ".join(texts(said)) or cfg

    @cached_property
    def versioned_by_git(self) -> bool:
        """Whether its version comes out of git's tags."""
        words = " ".join((*self.build_requires, *self._setup_py_words("setup_requires")))
        return bool(_SCM.search(words)) or "use_scm_version" in self.setup_py

    @cached_property
    def compiled(self) -> bool:
        """Whether building it takes a C compiler and Python's headers."""
        requires = " ".join(self.build_requires).lower()
        if re.search(r"cython|cffi|pybind11|nanobind|scikit-build|meson-?python|mypyc", requires):
            return True
        if _EXTENSION.search(self.setup_py) or table(self.pyproject, "tool", "setuptools").get(
            "ext-modules"
        ):
            return True
        sources = self.folder.matching("*.c", "*.pyx", "src/*.c", "src/*/*.c", "*/_*.c")
        return any(not _SOURCE_TEST.search(path) for path in sources)

    @property
    def takes_any_folder(self) -> bool:
        """Whether setuptools is left to find the packages in a flat layout, where it takes each
        folder for one. https://setuptools.pypa.io/en/latest/userguide/package_discovery.html"""
        if not (self.backend.startswith("setuptools") or (self.setup_py and not self.backend)):
            return False
        options = {*table(self.pyproject, "tool", "setuptools"), *self.setup_cfg.get("options", {})}
        named = {"packages", "py-modules", "py_modules"} & options
        return not (
            named
            or re.search(r"\b(packages|py_modules)\b", self.setup_py)
            or self.folder.below("src")
        )

    @property
    def rust(self) -> bool:
        """Whether building it takes Rust."""
        return bool(_RUST.search(" ".join(self.build_requires)))

    @cached_property
    def dependencies(self) -> tuple[str, ...]:
        """What it needs to run, as far as that is written down without code."""
        project = texts(table(self.pyproject, "project").get("dependencies"))
        return project or _lines(self.setup_cfg.get("options", {}).get("install_requires", ""))

    @cached_property
    def extras(self) -> Mapping[str, tuple[str, ...]]:
        """Extras and what they stand for."""
        found = _named(table(self.pyproject, "project", "optional-dependencies"))
        old = self.setup_cfg.get("options.extras_require", {})
        for name, needed in (
            {n: _lines(v) for n, v in old.items()} | self._setup_py_extras()
        ).items():
            found.setdefault(name, needed)
        return found

    @cached_property
    def groups(self) -> Mapping[str, tuple[str, ...]]:
        """Dependency groups (PEP 735), with what they include put in."""
        said = table(self.pyproject, "dependency-groups")
        return {name: tuple(_group(said, name, ())) for name in said}

    @cached_property
    def test_deps(self) -> TestDeps:
        """What the tests need: of groups, extras, requirement files and what tools like hatch
        and Poetry keep, the first that is there; those for tests before those for all."""
        for wanted in (_is_test, _is_dev, _names_pytest):
            if groups := tuple(n for n, r in self.groups.items() if wanted(n, r)):
                return TestDeps(said=_said("dependency group", groups), groups=groups)
            if extras := tuple(n for n, r in self.extras.items() if wanted(n, r)):
                needed = tuple(r for e in extras for r in self.extras[e])
                return TestDeps(
                    said=_said("extra", extras), extras=extras, requirements=_plain(needed)
                )
            if wanted is not _names_pytest and (found := self._files(wanted is _is_test)):
                return TestDeps(said=", ".join(found), files=found)
            for where, needed in self._of_tools(wanted):
                return TestDeps(said=where, requirements=_plain(needed))
        if needed := tuple(_nox_installs(self.folder)):
            return TestDeps(said="noxfile.py", requirements=needed)
        return TestDeps()

    def _files(self, tests: bool) -> tuple[str, ...]:
        found = self.folder.matching(*(_TEST_FILES if tests else _DEV_FILES))
        return found[:3]

    def _of_tools(self, wanted: Any) -> Iterator[tuple[str, tuple[str, ...]]]:
        tool = table(self.pyproject, "tool")
        for name, env in table(tool, "hatch", "envs").items():
            needed = texts(table(env).get("dependencies")) + texts(
                table(env).get("extra-dependencies")
            )
            if needed and wanted(name.removeprefix("hatch-"), needed):
                yield f"hatch environment {name}", needed
        groups = {n: table(g, "dependencies") for n, g in table(tool, "poetry", "group").items()}
        groups["dev"] = {**table(tool, "poetry", "dev-dependencies"), **groups.get("dev", {})}
        for name, entries in groups.items():
            needed = tuple(_poetry(entries))
            if needed and wanted(name, needed):
                yield f"Poetry group {name}", needed
        for name, value in table(tool, "pdm", "dev-dependencies").items():
            if (needed := texts(value)) and wanted(name, needed):
                yield f"PDM group {name}", needed
        if (needed := texts(table(tool, "uv").get("dev-dependencies"))) and wanted("dev", needed):
            yield "tool.uv dev-dependencies", needed
        old = _lines(self.setup_cfg.get("options", {}).get("tests_require", ""))
        if (needed := old or self._setup_py_words("tests_require")) and wanted("test", needed):
            yield "tests_require", needed

    def _setup_py_words(self, keyword: str) -> tuple[str, ...]:
        return texts(_setup_argument(self.setup_py, keyword))

    def _setup_py_extras(self) -> dict[str, tuple[str, ...]]:
        value = _setup_argument(self.setup_py, "extras_require")
        return _named(value) if isinstance(value, dict) else {}


def requirement_name(requirement: str) -> str:
    """`Pytest_Cov[x]>=4` -> `pytest-cov`."""
    found = _NAME.match(requirement)
    return re.sub(r"[-_.]+", "-", found[1]).lower() if found else ""


def _is_test(name: str, _requirements: Iterable[str]) -> bool:
    return bool(_TEST.fullmatch(name.lower()))


def _is_dev(name: str, requirements: Iterable[str]) -> bool:
    return bool(_DEV.fullmatch(name.lower())) and _names_pytest("", requirements)


def _names_pytest(name: str, requirements: Iterable[str]) -> bool:
    lint = re.search(r"typ|mypy|doc|lint|cov|bench|random|release", name.lower())
    return not lint and any(requirement_name(r) in ("pytest", "pytest-cov") for r in requirements)


def _said(what: str, names: tuple[str, ...]) -> str:
    return f"{what}{'s' * (len(names) > 1)} {', '.join(names)}"


def _plain(requirements: Iterable[str]) -> tuple[str, ...]:
    """Those that a command line can name: no options, paths or extras of the product itself."""
    kept = (" ".join(r.split()) for r in requirements)
    return tuple(
        dict.fromkeys(r for r in kept if _NAME.match(r) and " @ " not in r and "{" not in r)
    )


def _named(value: Mapping[str, Any]) -> dict[str, tuple[str, ...]]:
    """Lists by name."""
    lists = ((n, v) for n, v in value.items() if isinstance(v, list | tuple | str))
    return {name: texts(items) for name, items in lists if isinstance(name, str)}


def _group(said: Mapping[str, Any], name: str, seen: tuple[str, ...]) -> Iterator[str]:
    items = said.get(name)
    for item in items if isinstance(items, list) and name not in seen else ():
        if isinstance(item, str):
            yield item
        elif isinstance(item, Mapping) and isinstance(item.get("include-group"), str):
            yield from _group(said, item["include-group"], (*seen, name))


def _poetry(entries: Mapping[str, Any]) -> Iterator[str]:
    """Poetry's `name = "^1.2"` as requirements; what has no plain version keeps its name."""
    for name, value in entries.items():
        version = value.get("version", "") if isinstance(value, Mapping) else value
        if name == "python" or not isinstance(version, str):
            continue
        lower = re.fullmatch(r"[\^~]\s*(\d[\w.]*)", version.strip())
        if lower:
            yield f"{name}>={lower[1]}"
        else:
            yield name + (version if re.match(r"[<>=!]", version) else "")


def _lines(text: str) -> tuple[str, ...]:
    return tuple(line.strip() for line in text.splitlines() if line.strip())


def _setup_argument(code: str, keyword: str) -> Any:
    """What `setup()` in a setup.py is given, where it is written as a plain value."""
    for call in _calls(code, "setup"):
        for argument in call.keywords:
            if argument.arg == keyword:
                try:
                    return ast.literal_eval(argument.value)
                except (ValueError, TypeError, MemoryError, RecursionError):
                    return None
    return None


def _calls(code: str, name: str) -> Iterator[ast.Call]:
    for node in ast.walk(parse_python(code)):
        if isinstance(node, ast.Call):
            called = node.func
            if getattr(called, "id", getattr(called, "attr", "")) == name:
                yield node


def _nox_installs(folder: ScannedFolder) -> Iterator[str]:
    """What a noxfile's sessions install by name beside pytest."""
    for call in _calls(folder.text("noxfile.py"), "install"):
        words = [
            a.value for a in call.args if isinstance(a, ast.Constant) and isinstance(a.value, str)
        ]
        if len(words) == len(call.args) and any(requirement_name(w) == "pytest" for w in words):
            yield from (w for w in words if _NAME.match(w))
