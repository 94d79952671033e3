"""What pytest prints of cells, where a CI's runner reads it."""

from __future__ import annotations

import json
import re

import pytest
from pytest_world import FILE, World

pytest_plugins = ["pytester"]

JUNIT = (
    "<testsuite><testcase name='##[group]a'><failure message='##[error]b'>::error::c</failure>"
    "</testcase><testcase name='##vso[d]'><skipped message='##[e]f'/></testcase></testsuite>"
)
MATRIX = f"""\
product: .
distros: [two]
suites:
  bad: {{run: "echo '##[command]x'; echo ' ::set-output name=a::b'; exit 1"}}
  cases: {{run: "echo \\"{JUNIT}\\" >$DISTROMATRIX_JUNIT"}}
  left: {{run: 'true'}}
  known: {{run: "exit 1"}}
rules:
  - {{suite: left, skip: "##[error]g"}}
  - {{suite: known, expect: fail, reason: "##[error]h"}}
"""


@pytest.mark.parametrize(
    "options",
    [
        (),
        pytest.param(("--distromatrix-cases",), marks=pytest.mark.slow),
        ("--xfail-tb", "-n", "2"),
    ],
)
def test_nothing_of_a_product_is_obeyed_by_a_runner(
    world: World, monkeypatch: pytest.MonkeyPatch, options: tuple[str, ...]
) -> None:
    monkeypatch.setenv("GITHUB_ACTIONS", "true")
    world.ini()
    world.matrix(MATRIX)
    done = world.pytester.runpytest_subprocess("matrix", "-rA", *options)
    failed = 3 if "--distromatrix-cases" in options else 2
    done.assert_outcomes(failed=failed, skipped=1, xfailed=1)
    obeyed = ("##[", "##vso[")
    lines = [*done.outlines, *done.errlines]
    assert [x for x in lines if x.strip().startswith("::") or any(o in x for o in obeyed)] == []
    text = "\n".join(lines)
    for shown in ("command]x", "error]g", "group]a", "error]h"):
        assert f"#\\u0023[{shown}" in text
    assert "\\u003a:error::c" in text


def test_elsewhere_it_is_shown_as_it_is(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("GITHUB_ACTIONS", "TF_BUILD", "TEAMCITY_VERSION"):
        monkeypatch.delenv(name, raising=False)
    world.ini()
    world.matrix(MATRIX)
    text = world.pytester.runpytest_subprocess("matrix", "-rA").stdout.str()
    assert "| ##[command]x" in text
    assert "\\u0023" not in text


EVIL = "a\x1b]0;x\x07\x1b[2J\x9b2J\u202eb ##[error]c\n::error::d"
HOSTILE = f"""\
product: .
distros: [one-1.0, two]
suites:
  good: {{run: 'true', gating: false, reason: {json.dumps(EVIL)}}}
  bad: {{run: {json.dumps(f"printf %s '{EVIL}'; exit 1")}}}
rules:
  - {{distro: two, suite: good, skip: {json.dumps(EVIL)}}}
  - {{distro: one-1.0, suite: bad, expect: fail, reason: {json.dumps(EVIL)}}}
"""


@pytest.mark.parametrize("wrong", [False, True])
def test_nothing_of_a_matrix_is_obeyed_by_a_terminal(world: World, wrong: bool) -> None:
    fault = f"{json.dumps(EVIL)}: 1\nsuites:"
    world.matrix(HOSTILE.replace("suites:", fault) if wrong else HOSTILE)
    world.ini()
    done = world.pytester.runpytest("-rA", "-v", FILE)
    said = done.stdout.str() + done.stderr.str()
    assert "x1b]0;x" in said
    assert re.findall("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202e]", said) == []
