"""The pages, done as they are written, in real containers."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

import pytest

from documents import ROOT
from given import no_vagrant, unobtainable
from quick_python import quick_python
from walk import environ_with_program, walk

pytestmark = pytest.mark.engine

SUMS = """\
set -e
printf 'one\\ntwo\\n' >list
test "$(wc -l <list)" -eq 2
cksum --algorithm=sha256 list
"""


@pytest.mark.slow
def test_getting_started(tmp_path: Path) -> None:
    product = tmp_path / "product"
    (product / "tests").mkdir(parents=True)
    (product / "Makefile").write_text("check:\n\tsh tests/sums.sh\n")
    (product / "tests/sums.sh").write_text(SUMS)
    walk(ROOT / "docs/getting-started.md", product, environ_with_program(tmp_path), "engine")


@pytest.mark.slow
def test_images_are_locked_and_carried(tmp_path: Path) -> None:
    product = tmp_path / "product"
    (product / "matrix").mkdir(parents=True)
    (product / "matrix/default.yaml").write_text(
        "distros: [debian-12]\nsuites: {unit: {run: 'true'}}\n"
    )
    walk(ROOT / "docs/images-and-networks.md", product, environ_with_program(tmp_path), "engine")
    assert "debian-12" in (product / "distros.lock").read_text()


def test_one_shard_of_ten_is_run_and_nine_are_missed(tmp_path: Path) -> None:
    product = tmp_path / "product"
    (product / "matrix").mkdir(parents=True)
    suites = "".join(f"  s{number}: {{run: 'true'}}\n" for number in range(10))
    (product / "matrix/default.yaml").write_text(f"distros: [alpine-3.20]\nsuites:\n{suites}")
    (product / "shards").symlink_to(".distromatrix/runs")
    walk(ROOT / "docs/ci.md", product, environ_with_program(tmp_path), "engine")
    answer = json.loads((product / ".distromatrix/runs/latest/results.json").read_text())
    verdicts = [cell["verdict"] for cell in answer["cells"]]
    assert (verdicts.count("passed"), verdicts.count("error")) == (1, 9)


# With a product that is installed by one command, and a `make` that removes it.
PRODUCT = """\
distros: [debian-12, alpine-3.20]
suites:
  unit:
    run: 'true'
    setup: |
      touch /usr/local/bin/spoolkeep && chmod 755 /usr/local/bin/spoolkeep
      printf '#!/bin/sh\\nexec rm /usr/local/bin/spoolkeep\\n' >/usr/local/bin/make
      chmod 755 /usr/local/bin/make
"""


def test_tests_with_machines_pass_as_the_page_has_them(tmp_path: Path) -> None:
    product = tmp_path / "product"
    (product / "matrix").mkdir(parents=True)
    (product / "matrix/default.yaml").write_text(PRODUCT)
    environ = environ_with_program(tmp_path)
    walk(ROOT / "docs/pytest.md", product, environ, "engine")
    files = ["tests/test_machines.py", "tests/test_hosts.py"]
    command = [quick_python(), "-m", "pytest", "-q", *files]
    done = subprocess.run(
        command, cwd=product, env=environ, capture_output=True, text=True, check=False, timeout=300
    )
    assert "6 passed" in done.stdout, done.stdout


MAKE = """\
#!/bin/sh
case $1 in
    demo) exec distromatrix run -C examples/logtally ;;
    demo-guests) exec distromatrix run -C examples/hostfence ;;
esac
"""


@pytest.mark.slow
@pytest.mark.parametrize(
    "having",
    [("engine",), pytest.param(("engine", "guests"), marks=pytest.mark.guest)],
    ids=" and ".join,
)
def test_the_readme_shows_what_the_demos_print(tmp_path: Path, having: tuple[str, ...]) -> None:
    if "guests" in having and (reason := no_vagrant()):
        unobtainable(reason)
    ignored = shutil.ignore_patterns(".distromatrix")
    shutil.copytree(ROOT / "examples", tmp_path / "examples", ignore=ignored)
    environ = environ_with_program(tmp_path)
    make = tmp_path / "bin/make"  # as the engines are there: what `make demo` comes to
    make.write_text(MAKE)
    make.chmod(0o755)
    walk(ROOT / "README.md", tmp_path, environ, *having)
