"""`distromatrix shell` in the machine of a cell, kept or new, with commands piped into it."""

from __future__ import annotations

import pytest
from breaking_world import Project

pytestmark = pytest.mark.engine
LOOK = 'ls; id -u; echo "$DISTROMATRIX_CELL $HOW ${DISTROMATRIX_JUNIT##*/}"; exit 7\n'


@pytest.fixture
def suite(project: Project) -> Project:
    keys = {"setup": "echo >made", "run": "echo >left; exit 1", "env": {"HOW": "as said"}}
    project.suites({"unit": {**keys, "user": "1234:4321"}})
    return project


def test_a_kept_machine_is_as_the_suite_left_it(suite: Project) -> None:
    cell = f"{suite.distro}/unit"
    assert suite.call("run", "--keep", "failed").code == 1
    said = suite.call("shell", cell, input=LOOK)
    seen = ["distros", "hello", "left", "made", "matrix", "1234", f"{cell} as said junit.xml"]
    assert (said.code, said.out.split("\n")) == (7, [*seen, ""])
    assert "docker rm -f -v distromatrix-kept-" in said.err
    assert len([name for name in suite.left() if "kept" in name]) == 1  # still there


def test_a_new_machine_has_the_setup_and_goes_with_the_shell(suite: Project) -> None:
    cell = f"{suite.distro}/unit"
    said = suite.call("shell", "--fresh", cell, input=LOOK)
    seen = ["distros", "hello", "made", "matrix", "1234", f"{cell} as said junit.xml"]
    assert (said.code, said.out.split("\n")) == (7, [*seen, ""])
    assert suite.left() == []
    assert not list((suite.root / ".distromatrix/shells").iterdir())
