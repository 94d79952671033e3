"""The pages, done as they are written, in real containers."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from documents import ROOT
from walk import environ_with_program, walk

pytestmark = [pytest.mark.engine, pytest.mark.slow]

SUMS = """\
set -e
printf 'one\\ntwo\\n' >list
test "$(wc -l <list)" -eq 2
cksum --algorithm=sha256 list
"""


def test_getting_started(tmp_path: Path) -> None:
    product = tmp_path / "product"
    (product / "tests").mkdir(parents=True)
    (product / "Makefile").write_text("check:\n\tsh tests/sums.sh\n")
    (product / "tests/sums.sh").write_text(SUMS)
    walk(ROOT / "docs/getting-started.md", product, environ_with_program(tmp_path), engine=True)


def test_the_readme_shows_what_the_demo_prints(tmp_path: Path) -> None:
    product = tmp_path / "examples/logtally"
    shutil.copytree(
        ROOT / "examples/logtally", product, ignore=shutil.ignore_patterns(".distromatrix")
    )
    environ = environ_with_program(tmp_path)
    make = tmp_path / "bin/make"  # with the engine there, what `make demo` comes to
    make.write_text(
        "#!/bin/sh\ntest $1 = demo || exit 0\nexec distromatrix run -C examples/logtally\n"
    )
    make.chmod(0o755)
    walk(ROOT / "README.md", tmp_path, environ, engine=True)
