"""The whole command on Podman: the example's matrix, interruptions, and what is kept."""

from __future__ import annotations

import json
import os
import shlex
import shutil
import signal
import subprocess
from pathlib import Path

import pytest
from breaking_world import Project, ended, until

from distromatrix.engines import open_engine
from given import ROOT, alpine_or_pulled
from quick_python import quick_python

pytestmark = [pytest.mark.engine, pytest.mark.podman]

DISTROS = ("debian-11", "debian-12", "debian-13", "debian-testing", "debian-sid", "alpine-3.20")
# What the example's rules expect to fail (examples/logtally/matrix/default.yaml).
FAIL = {
    "debian-11": {"gnu", "shell"},
    "debian-12": {"shell"},
    "alpine-3.20": {"gnu", "libc", "shell"},
}


def _left(root: Path) -> list[str]:
    engine = open_engine("podman")
    try:
        return [one.name for one in engine.leftovers() if one.folder.startswith(str(root))]
    finally:
        engine.close()


@pytest.fixture
def example(tmp_path: Path) -> Path:
    """A copy, whose runs are this test's own."""
    copy = tmp_path / "logtally"
    shutil.copytree(
        ROOT / "examples/logtally", copy, ignore=shutil.ignore_patterns(".distromatrix")
    )
    return copy


def _run_example(example: Path, *distros: str) -> None:
    environ = {**os.environ, "DISTROMATRIX_ARCHIVES": str(alpine_or_pulled().parent)}
    done = subprocess.run(
        [quick_python(), "-m", "distromatrix", "run", "--engine", "podman", "--json", *distros],
        cwd=example,
        env=environ,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "on Podman" in done.stderr
    cells = json.loads(done.stdout)["cells"]
    expected = {
        f"{distro}/{suite}": "xfailed" if suite in FAIL.get(distro, ()) else "passed"
        for distro in distros
        for suite in ("core", "gnu", "libc", "shell")
    }
    assert {cell["id"]: cell["verdict"] for cell in cells} == expected
    assert {cell["engine"] for cell in cells} == {"podman"}
    assert _left(example) == []


def test_the_example_says_on_podman_what_it_says_on_docker(example: Path) -> None:
    _run_example(example, "debian-12", "alpine-3.20")


@pytest.mark.slow
def test_all_of_the_example_says_on_podman_what_it_says_on_docker(example: Path) -> None:
    _run_example(example, *DISTROS)


@pytest.fixture
def project(project: Project) -> Project:
    project.engine = "podman"
    networked = {"network": True, "memory": "64M", "timeout": "1m"}
    project.suites({"quick": "echo done", "long": "sleep 600"}, defaults=networked)
    return project


def _under_test(project: Project) -> bool:
    said = project.journal()
    return '"passed"' in said and said.count('"phase":"run"') >= 2


def test_a_signal_leaves_nothing(project: Project) -> None:
    process = project.start("run", "-j", "2")
    until(lambda: _under_test(project))
    process.send_signal(signal.SIGINT)
    result = ended(process)
    assert result.code == 130, result.said
    assert project.left() == []
    assert project.results()["quick"]["engine"] == "podman"


def test_what_a_killed_run_left_is_swept(project: Project) -> None:
    project.on_a_host_of_its_own()
    process = project.start("run", "-j", "2")
    until(lambda: _under_test(project))
    process.kill()
    ended(process)
    assert project.left() != []
    assert "removed container" in project.call("clean").out
    assert project.left() == []


@pytest.mark.slow
def test_a_killed_run_goes_on_with_the_engine_it_was_planned_for(project: Project) -> None:
    process = project.start("run", "-j", "2")
    until(lambda: _under_test(project))
    process.kill()
    ended(process)
    project.environ["DISTROMATRIX_ENGINE"] = "docker"
    assert project.call("run", "--resume", "latest", "--engine", "docker").code == 2
    resumed = project.start("run", "--resume", "latest")
    until(lambda: project.journal().count('"phase":"run"') >= 3)
    resumed.send_signal(signal.SIGINT)
    assert ended(resumed).code == 130
    assert project.results()["quick"]["engine"] == "podman"
    assert project.left() == []


@pytest.mark.slow
def test_a_kept_machine_is_entered_and_removed_by_podman(project: Project) -> None:
    project.suites({"bad": "echo state >/file; exit 1"})
    assert project.call("run", "--keep", "failed").code == 1
    (name,) = (one for one in project.left() if "kept" in one)
    shown = project.call("shell", f"{project.distro}/bad", input="cat /file; pwd\n")
    assert shown.out == "state\n/distromatrix/product\n", shown.said
    removed = shown.err.partition("remove it with: ")[2].splitlines()[0]
    assert name in removed
    subprocess.run(shlex.split(removed), check=True, capture_output=True)
    project.call("clean")
    assert project.left() == []
