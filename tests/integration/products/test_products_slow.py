"""More products that no one here wrote: pure Python, a C extension that is built in the cell,
and a suite of shell scripts under make. Verdicts and numbers of cases are those by hand."""

from pathlib import Path

import pytest
from products import (
    Outcome,
    Project,
    automake_counts,
    debian_source,
    project,
    pytest_counts,
    sdist,
)

pytestmark = [pytest.mark.engine, pytest.mark.slow]

PURE = """
product: product
distros: [debian-11, debian-12, debian-13]
env: {LC_ALL: C.UTF-8}
suites:
  unit:
    packages: [pytest]
    run: python3 -m pytest -q --junitxml="$DISTROMATRIX_JUNIT"
    network: false
"""

C_EXTENSION = """
product: product
distros: [debian-12, debian-13]
env: {LC_ALL: C.UTF-8}
ca_bundle: host
index: host
suites:
  unit:
    packages: [python, pytest, compiler, python3-dev]
    setup: |
      python3 -m venv --system-site-packages /tmp/venv
      /tmp/venv/bin/pip install -q .
    run: /tmp/venv/bin/python -m pytest -q --junitxml="$DISTROMATRIX_JUNIT"
"""
BUILT_BY_HAND = """
python3 -m venv --system-site-packages /tmp/venv
/tmp/venv/bin/pip install -q .
/tmp/venv/bin/python -m pytest -q
"""

# automake leaves a `.trs` file for each test with a line `:test-result: PASS`.
SHELL = """
product: product
distros: [debian-12]
env: {LC_ALL: C.UTF-8}
suites:
  check:
    packages: [compiler, make]
    setup: ./configure -q && make -s
    network: false
    run: |
      status=0
      make check || status=$?
      {
        echo '<testsuite name="check">'
        find . -name '*.trs' | sort | while read -r trs; do
          echo "<testcase name='${trs#./}'>"
          sed -n 's/^:test-result: SKIP.*/<skipped\\/>/p; s/^:test-result: FAIL.*/<failure\\/>/p
            s/^:test-result: ERROR.*/<error\\/>/p' "$trs"
          echo '</testcase>'
        done
        echo '</testsuite>'
      } > "$DISTROMATRIX_JUNIT"
      exit $status
"""


def both(product: Project, script: str, counted=pytest_counts) -> dict[str, Outcome]:
    """The outcomes, which are the same through distromatrix and by hand."""
    through_us = product.outcomes()
    assert through_us == {
        cell: product.by_hand(image, script, counted) for cell, image in product.images().items()
    }
    return through_us


def test_a_pure_python_release(tmp_path: Path) -> None:
    more_itertools = project(tmp_path, sdist("more-itertools==10.5.0"), PURE)
    outcomes = both(more_itertools, "python3 -m pytest -q")
    assert set(outcomes) == {"debian-11/unit", "debian-12/unit", "debian-13/unit"}
    assert all(o.green and o.passed > 600 for o in outcomes.values())


def test_a_c_extension_built_in_the_cell(tmp_path: Path) -> None:
    markupsafe = project(tmp_path, sdist("markupsafe==3.0.2"), C_EXTENSION)
    outcomes = both(markupsafe, BUILT_BY_HAND)
    assert set(outcomes) == {"debian-12/unit", "debian-13/unit"}
    # Where the extension was not built, half of the cases are skipped.
    assert all(o.green and o.passed > 70 and o.skipped == 0 for o in outcomes.values())


def test_a_suite_of_shell_scripts_out_of_a_debian_source_package(tmp_path: Path) -> None:
    empty = Project(root=tmp_path / "any")
    (empty.root / "matrix").mkdir(parents=True)
    (empty.root / "product").mkdir()
    (empty.root / "matrix/default.yaml").write_text(SHELL)
    image = empty.images()["debian-12/check"]
    gzip = project(tmp_path / "gzip", debian_source("gzip", image), SHELL)
    outcomes = both(gzip, "./configure -q && make -s && make check", automake_counts)
    assert outcomes["debian-12/check"].green
    assert outcomes["debian-12/check"].passed > 20
