"""Which cells there are and which count, in real containers."""

from __future__ import annotations

import xml.etree.ElementTree as ET

import pytest
from breaking_world import Project

pytestmark = pytest.mark.engine

SUITES = {
    "good": {"run": "echo fine", "tags": ["nightly"]},
    "young": {
        "run": "echo '<testsuite><testcase name=\"a\"><failure/></testcase></testsuite>' "
        '>"$DISTROMATRIX_JUNIT"; kill -9 $$',
        "tags": ["nightly"],
        "gating": False,
        "reason": "not released yet",
    },
    "gone": {"run": "true", "packages": ["no-such-package"], "tags": ["nightly"]},
    "fuse": {
        "setup": "echo setting up",
        "run": "[ -e /dev/fuse ] || { echo 'no FUSE here' >&2; exit 77; }; false",
        "skip_status": 77,
        "tags": ["nightly", "devices"],
    },
    "red": {"run": "false", "tags": ["slow", "nightly"]},
    "away": {"run": "false", "distros": ["*-other"], "tags": ["nightly"]},
    "untagged": {"run": "false"},
}
RULES = [{"suite": "gone", "gating": False, "reason": "its package is new"}]


def test_a_run_by_tag_is_green_beside_what_does_not_count_and_what_skips_itself(
    project: Project,
) -> None:
    distros = [project.distro, f"{project.distro}-other"]
    project.add_distro(distros[1])
    project.suites(SUITES, distros=distros, rules=RULES, sets={"here": {"distros": distros[:1]}})
    said = project.call("run", "--tag", "nightly", "--tag", "!slow", "--set", "here")
    assert said.code == 0, said.out + said.err
    results = project.results()
    assert {suite: (r["verdict"], r["gating"]) for suite, r in results.items()} == {
        "good": ("passed", True),
        "young": ("failed", False),
        "gone": ("error", False),
        "fuse": ("skipped", True),
    }
    assert results["fuse"]["reason"] == "no FUSE here"
    assert results["young"]["gating_reason"] == "not released yet"
    last = said.out.splitlines()[-2]
    assert "✓ 1 passed  – 1 skipped  ✗ 1 failed, not gating  ! 1 error, not gating" in last, last
    junit = ET.parse(project.latest / "junit.xml").getroot()
    assert (junit.get("failures"), junit.get("errors")) == ("0", "0")
    assert project.call("run", "--tag", "slow").code == 1  # and what counts is as red as ever
    assert project.left() == []
