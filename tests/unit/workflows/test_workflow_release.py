"""The release workflow: nothing is published but what was tested, under its own version's notes."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from typing import Any

import pytest

from actions.runner import load
from distromatrix import __version__
from documents import ROOT

JOBS: dict[str, dict[str, Any]] = load(ROOT / ".github/workflows/release.yml")["jobs"]
STEPS = {step["name"]: step for job in JOBS.values() for step in job["steps"]}
CHANGELOG = """\
# Changelog

## [1.1.0] - unreleased

- later

## [1.0.0] - 2026-01-01

### Added

- this

## [0.9.0] - 2025-01-01

- earlier
"""


def step(name: str, folder: Path, tag: str) -> subprocess.CompletedProcess[str]:
    """Run the script of a step as GitHub does."""
    environ = os.environ | {"GITHUB_REF_NAME": tag, "GITHUB_OUTPUT": str(folder / "output")}
    bash = ["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", STEPS[name]["run"]]
    return subprocess.run(
        bash, cwd=folder, env=environ, capture_output=True, text=True, check=False
    )


def test_the_notes_are_the_versions_section_alone(tmp_path: Path) -> None:
    (tmp_path / "CHANGELOG.md").write_text(CHANGELOG)
    assert step("What is new", tmp_path, "v1.0.0").returncode == 0
    assert (tmp_path / "notes.md").read_text().strip() == "### Added\n\n- this"


@pytest.mark.parametrize("tag", ["v1.1.0", "v1.0", "v2.0.0", "v1.0.0-rc1"])
def test_a_version_without_a_section_that_has_its_day_is_no_release(
    tmp_path: Path, tag: str
) -> None:
    (tmp_path / "CHANGELOG.md").write_text(CHANGELOG)
    assert step("What is new", tmp_path, tag).returncode != 0


@pytest.mark.parametrize(("tag", "ok"), [("v1.0.0", True), ("v1.0", False), ("1.0.0", True)])
def test_the_tag_is_the_wheels_version(tmp_path: Path, tag: str, ok: bool) -> None:
    wheel = "distromatrix-1.0.0-py3-none-any.whl"
    (tmp_path / "Makefile").write_text(f"dist:\n\tmkdir dist && touch dist/{wheel}\n")
    done = step("make dist", tmp_path, tag)
    assert (done.returncode == 0) == ok, done.stderr
    assert (tmp_path / "output").exists() == ok
    if ok:
        assert (tmp_path / "output").read_text() == f"wheel={wheel}\n"


def test_this_version_has_a_section() -> None:
    assert f"\n## [{__version__}] - " in (ROOT / "CHANGELOG.md").read_text("utf-8")


def test_what_is_published_was_tested_and_those_jobs_run_nothing_of_the_checkout() -> None:
    assert (JOBS["test"]["needs"], JOBS["publish"]["needs"]) == ("build", "test")
    assert JOBS["notes"]["needs"] == "publish"
    for name in ("publish", "notes"):
        assert not [s for s in JOBS[name]["steps"] if "checkout" in s.get("uses", "")]
    for name in ("Run the example's matrix", "Run its own matrix"):
        assert STEPS[name]["with"]["install"].startswith("dist/")
    assert STEPS["Publish"]["with"] == {"attestations": True}
