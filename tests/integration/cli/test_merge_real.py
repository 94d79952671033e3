"""Shards that ran in real containers of Alpine and a Debian, merged: what breaks only on Alpine
reads as just that."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from breaking_world import Project

from given import alpine_or_pulled

pytestmark = pytest.mark.engine

DEBIAN = "debian-12"
ALPINE = "alpine-3.20"
LIBC = r"""
broken=
if ! getconf GNU_LIBC_VERSION >/dev/null 2>&1; then
  broken='<failure message="no GNU libc: ${{ x }} | &lt;b>">tests/libc.sh:2: getconf</failure>'
fi
cat >"$DISTROMATRIX_JUNIT" <<END
<testsuite>
<testcase classname="libc" name="test_always"/>
<testcase classname="libc" name="test_gnu[::error::&#10;::add-mask::a]">$broken</testcase>
</testsuite>
END
"""


@pytest.fixture
def project(tmp_path: Path) -> Iterator[Project]:
    made = Project(tmp_path / "product", alpine_or_pulled().parent)
    (made.root / "tests").mkdir()
    (made.root / "tests/libc.sh").write_text("#!/bin/sh\ngetconf GNU_LIBC_VERSION\n")
    (made.root / "distros" / f"{made.distro}.yaml").unlink()
    made.suites({"libc": LIBC, "plain": "cat hello"}, distros=[ALPINE, DEBIAN])
    yield made
    made.clean()


def test_a_case_that_fails_only_on_alpine_reads_as_just_that(project: Project) -> None:
    assert project.call("plan", "--save", "plan.json").code == 0
    for number in (1, 2):
        ran = project.call("run", "--plan", "plan.json", "--shard", f"{number}/2", timeout=300)
        assert ran.code in (0, 1), ran.err
    jobs = project.root / "jobs"
    for run in (project.root / ".distromatrix/runs").iterdir():  # as an artifact each
        if not run.is_symlink():
            shutil.move(run, jobs / run.name / "run")
    project.environ["GITHUB_STEP_SUMMARY"] = str(project.root / "summary.md")
    project.environ["GITHUB_WORKSPACE"] = str(project.root.parent)
    said = project.call("report", "merge", "jobs", "--plan", "plan.json", "--github")
    assert said.code == 1, said.err
    name = "libc::test_gnu[::error:: ::add-mask::a]"
    label = f"fails only on {ALPINE} (musl)"
    annotations = [line for line in said.out.splitlines() if line.startswith("::error ")]
    escaped = name.replace(":", "%3A")
    assert annotations == [
        f"::error file=product/tests/libc.sh,line=2,title={escaped} {label}::{name} {label}"
        "%0Ano GNU libc: ${{ x }} | <b>"
        f"%0Ain {ALPINE}/libc%0Aagain: distromatrix run {ALPINE}/libc"
    ]
    summary = (project.root / "summary.md").read_text()
    assert f"<h3>❌ <code>{name}</code> {label}</h3>" in summary
    assert "<code>no GNU libc: ${{ x }} | &lt;b&gt;</code>" in summary
    assert summary.count("<h3>") == 1

    lost = sorted(jobs.iterdir())[1]
    shutil.rmtree(lost)
    again = project.call("report", "merge", "jobs", "--plan", "plan.json")
    assert again.code == 69
    assert "is lost: its job left no run" in again.out
    wanted = yaml.safe_load((project.root / "matrix/default.yaml").read_text())["suites"]
    verdicts = {c["id"]: c["verdict"] for c in project.every_result()}
    assert len(verdicts) == 2 * len(wanted)
    assert sorted(set(verdicts.values())) in (["error", "failed", "passed"], ["error", "passed"])
