"""Small products, one of each kind, that really build and test; as files by path."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

Files = Mapping[str, str]

_C = "int main(void) { return 0; }\n"

MAKE: Files = {
    "Makefile": "CHECKED := yes\ncheck: ok\n\t./ok\n\ttest $(CHECKED) = yes\nok: ok.c\n",
    "ok.c": _C,
}
CMAKE: Files = {
    "CMakeLists.txt": "cmake_minimum_required(VERSION 3.10)\nproject(ok C)\nenable_testing()\n"
    "add_executable(ok ok.c)\nadd_test(NAME first COMMAND ok)\nadd_test(NAME second COMMAND ok)\n",
    "ok.c": _C,
}
MESON: Files = {
    "meson.build": "project('ok', 'c')\nok = executable('ok', 'ok.c')\n"
    "test('first', ok)\ntest('second', ok)\n",
    "ok.c": _C,
}
AUTOTOOLS: Files = {
    "configure.ac": "AC_INIT([ok], [1.0])\nAM_INIT_AUTOMAKE([foreign])\nAC_PROG_CC\n"
    "AC_CONFIG_FILES([Makefile])\nAC_OUTPUT\n",
    "Makefile.am": "check_PROGRAMS = ok\nok_SOURCES = ok.c\nTESTS = ok skipped.sh\n"
    "TEST_EXTENSIONS = .sh\nSH_LOG_COMPILER = sh\nEXTRA_DIST = skipped.sh\n",
    "ok.c": _C,
    "skipped.sh": "exit 77\n",
}
GO: Files = {
    "go.mod": "module mirror.example/ok\n\ngo 1.19\n",
    "ok.go": "package ok\n\nfunc Ok() bool { return true }\n",
    "ok_test.go": 'package ok\n\nimport "testing"\n\n'
    'func TestOk(t *testing.T) {\n\tif !Ok() {\n\t\tt.Fatal("not ok")\n\t}\n'
    '\tt.Run("a<b", func(t *testing.T) {})\n}\n\n'
    'func TestSkipped(t *testing.T) { t.Skip("not here") }\n',
}
CARGO: Files = {
    "Cargo.toml": '[package]\nname = "ok"\nversion = "0.1.0"\nedition = "2021"\n',
    "src/lib.rs": "pub fn ok() -> bool { true }\n\n#[cfg(test)]\nmod tests {\n"
    "    #[test]\n    fn first() { assert!(super::ok()); }\n\n"
    "    #[test]\n    #[ignore]\n    fn second() {}\n}\n",
}
NODE: Files = {
    "package.json": '{"name": "ok", "version": "1.0.0", "scripts": {"test": "node --test"}}\n',
    "test/ok.test.js": "const test = require('node:test');\n"
    "const assert = require('node:assert');\ntest('first', () => { assert.ok(true); });\n",
}
DEBIAN: Files = {
    "debian/control": "Source: ok\nMaintainer: Nobody <nobody@mirror.example>\n"
    "Build-Depends: debhelper-compat (= 13)\nStandards-Version: 4.6.2\n\n"
    "Package: ok\nArchitecture: all\nDescription: says ok\n It says ok.\n",
    "debian/changelog": "ok (1.0) unstable; urgency=low\n\n  * First.\n\n"
    " -- Nobody <nobody@mirror.example>  Mon, 23 Nov 2026 00:00:00 +0000\n",
    "debian/rules": "#!/usr/bin/make -f\n%:\n\tdh $@\n",
    "debian/source/format": "3.0 (native)\n",
    "debian/ok.install": "say-ok usr/bin\n",
    "debian/tests/control": "Tests: says\nDepends: @\n",
    "debian/tests/says": '#!/bin/sh\nset -e\ntest "$(say-ok)" = ok\n',
    "say-ok": "#!/bin/sh\necho ok\n",
}
_PYPROJECT = (
    '[build-system]\nrequires = ["setuptools"]\nbuild-backend = "setuptools.build_meta"\n\n'
    '[project]\nname = "ok"\nversion = "1.0"\nrequires-python = ">=3.9"\n'
)
_TEST = "def test_ok():\n    import ok\n\n    assert ok.OK\n"
PYTEST: Files = {
    "pyproject.toml": _PYPROJECT
    + '\n[dependency-groups]\ntest = ["pytest"]\n\n[tool.pytest.ini_options]\naddopts = "-n 2"\n',
    "src/ok/__init__.py": "OK = True\n",
    "tests/test_ok.py": _TEST,
}
UNITTEST: Files = {
    "setup.py": "from setuptools import setup\n\nsetup(name='ok', py_modules=['ok'])\n",
    "ok.py": "OK = True\n",
    "tests/__init__.py": "",
    "tests/test_ok.py": "import unittest\nimport ok\n\n\nclass Ok(unittest.TestCase):\n"
    "    def test_ok(self):\n        self.assertTrue(ok.OK)\n",
}
# Two environments of one run: each has a report of its own, and what tox scrubs gets through.
TOX: Files = {
    "pyproject.toml": _PYPROJECT,
    "src/ok/__init__.py": "OK = True\n",
    "tests/test_ok.py": "import os\n\n\ndef test_what_the_cell_is_given_comes_through():\n"
    '    assert os.environ["DISTROMATRIX_CELL"].endswith(os.environ["WANTED"])\n',
    "tox.ini": "[tox]\nenv_list = py3{9-14}-{first,second}, lint\n\n"
    "[testenv]\ndeps = pytest\nset_env =\n    first: WANTED = first\n    second: WANTED = second\n"
    "commands = pytest {posargs}\n\n[testenv:lint]\ndeps = ruff\ncommands = ruff check\n",
}
NOX: Files = {
    "noxfile.py": "import nox\n\n\n@nox.session(python=['3.9', '3.14'])\ndef tests(session):\n"
    "    session.run('python', '-c', 'assert True')\n",
}

PRODUCTS: Mapping[str, Files] = {
    "make": MAKE,
    "cmake": CMAKE,
    "meson": MESON,
    "autotools": AUTOTOOLS,
    "go": GO,
    "cargo": CARGO,
    "node": NODE,
    "debian": DEBIAN,
    "pytest": PYTEST,
    "unittest": UNITTEST,
    "tox": TOX,
    "nox": NOX,
}


def make_product(root: Path, files: Files) -> Path:
    """The product as a folder; what begins with `#!` can be executed."""
    root.mkdir(parents=True, exist_ok=True)
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
        if text.startswith("#!"):
            path.chmod(0o755)
    return root
