"""Failures that are explained, on a real busybox: its own words, its own find."""

from __future__ import annotations

import pytest
from breaking_world import Project

pytestmark = pytest.mark.engine

JUNIT = '<testsuite><testcase name="a"/></testsuite>'


def test_a_failure_says_what_is_missing(project: Project) -> None:
    project.environ["TOKEN_OF_MINE"] = "s3cr3t-value"
    project.suites(
        {
            "command": "no-such-program",
            "script": "printf '#!/bin/bash\\n' >x.sh; chmod +x x.sh; ./x.sh",
            "arrays": "x=(1 2)",
            "variable": 'test "$TOKEN_OF_MINE"',
            "own": 'test "$PWD" = "$HOSTNAME$TOKEN_OF_MINE" || false',
        }
    )
    ended = project.call("run")
    assert ended.code == 1
    hints = {name: cell["hints"] for name, cell in project.results().items()}
    token = "$TOKEN_OF_MINE is set where you are and empty in the cell: pass_env: [TOKEN_OF_MINE]"
    assert hints == {
        "command": ["no-such-program is not installed: packages: [no-such-program]"],
        "script": ["./x.sh is not there, or the program that its first line (#!) names is not"],
        "arrays": ["this looks like bash: shell: bash"],
        "variable": [token],
        "own": [token],
    }
    assert f"  hint    {token}\n" in ended.said
    assert "s3cr3t" not in ended.said


def test_a_shell_that_the_image_has_not_is_told_and_one_that_it_has_is_used(
    project: Project,
) -> None:
    project.suites(
        {
            "none": {"shell": "bash", "run": "true"},
            "ash": {"shell": "/bin/ash", "run": "false; true", "setup": "echo made"},
            "good": {"shell": "ash", "run": 'echo "it\'s $0"'},
        }
    )
    assert project.call("run").code == 1
    found = project.results()
    assert {name: cell["verdict"] for name, cell in found.items()} == {
        "none": "failed",
        "ash": "failed",
        "good": "passed",
    }
    assert project.log("none") == "distromatrix: there is no shell bash in this image\n"
    assert found["none"]["hints"] == ["the image has no bash: packages: [bash]"]
    assert project.log("good") == "it's ash\n"


def test_a_report_that_lies_elsewhere_is_found_by_busybox_too(project: Project) -> None:
    (project.root / "fixture.xml").write_text(JUNIT)
    project.suites(
        {
            "stray": f"sleep 1.1; mkdir -p build/results; echo '{JUNIT}' >build/results/TEST-a.xml",
            "none": "echo '<coverage/>' >coverage.xml",
            "setup": {"setup": f"echo '{JUNIT}' >old.xml; sleep 0.1", "run": "true"},
        }
    )
    ended = project.call("run")
    assert ended.code == 0
    said = "found build/results/TEST-a.xml: write it to $DISTROMATRIX_JUNIT, or copy it there"
    warnings = {name: cell["warnings"] for name, cell in project.results().items()}
    assert warnings == {"stray": [said], "none": [], "setup": []}
    assert ended.said.count("no report") >= 3
