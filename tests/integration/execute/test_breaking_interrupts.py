"""SIGINT, SIGTERM and SIGKILL to a real run: nothing stays, nothing that was done is lost."""

from __future__ import annotations

import shutil
import signal
import subprocess
import time
from pathlib import Path

import pytest
from breaking_world import Project, ended, killed, until

from distromatrix.engines.contract import LABEL_FOLDER, LABEL_HOST, LABEL_RUN
from given import unobtainable

pytestmark = pytest.mark.engine
NETWORKED = {"network": True, "memory": "64M", "timeout": "1m"}


@pytest.fixture
def project(project: Project) -> Project:
    project.suites({"quick": "echo done", "long": "sleep 600"}, defaults=NETWORKED)
    return project


def under_test(project: Project) -> bool:
    """One cell has its verdict, and another is under test."""
    said = project.journal()
    return '"passed"' in said and said.count('"phase":"run"') >= 2


@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)]
)
def test_a_signal_ends_the_machines_and_keeps_the_results(
    project: Project, number: signal.Signals, code: int
) -> None:
    process = project.start("run", "-j", "2")
    until(lambda: under_test(project))
    process.send_signal(number)
    if number == signal.SIGHUP:  # a terminal's shell says so, and the kernel
        process.send_signal(number)
    result = ended(process)  # long before its suite would end
    assert project.left() == []
    assert result.code == code
    assert project.results()["quick"]["verdict"] == "passed"
    assert project.results()["long"]["verdict"] == "skipped"
    assert f"{project.distro}/long" in result.out
    assert "Traceback" not in result.said


def test_a_second_signal_leaves_at_once_and_says_how_to_clean_up(project: Project) -> None:
    process = project.start("run", "-j", "2")
    until(lambda: under_test(project))
    # It stands still meanwhile: else it may have ended by the first before the second comes.
    for number in (signal.SIGSTOP, signal.SIGINT, signal.SIGTERM, signal.SIGCONT):
        process.send_signal(number)
    result = ended(process)
    assert result.code == 143
    assert "distromatrix clean" in result.err
    project.call("clean")
    assert project.left() == []


def test_a_signal_while_the_product_is_staged_leaves_nothing(project: Project) -> None:
    with (project.root / "big").open("wb") as big:
        big.truncate(3 * 1024**3)  # takes far longer to hand over than the signal does
    process = project.start("run")
    until(lambda: any("helper" in name for name in project.left()))
    time.sleep(0.5)
    process.send_signal(signal.SIGTERM)
    assert ended(process).code == 143
    assert project.left() == []


@pytest.mark.parametrize(
    "number", [pytest.param(signal.SIGTERM, marks=pytest.mark.slow), signal.SIGKILL]
)
def test_a_signal_while_an_image_is_bootstrapped_ends_its_tool(
    project: Project, number: signal.Signals
) -> None:
    if shutil.which("mmdebstrap") is None:
        unobtainable("mmdebstrap is not installed")
    cache = project.root.parent / "cache"
    project.environ["XDG_CACHE_HOME"] = str(cache)
    source = {"bootstrap": {"tool": "mmdebstrap", "suite": "bookworm"}}
    project.add_distro(project.distro, family="debian", package_manager="apt", image=[source])
    process = project.start("run")
    until(lambda: list(cache.glob("distromatrix/bootstrap/*/*/usr")), 100)
    assert processes(str(cache))
    process.send_signal(number)
    assert ended(process, 15).code == (143 if number == signal.SIGTERM else -9)
    until(lambda: not processes(str(cache)), 15)
    assert str(cache) not in Path("/proc/mounts").read_text()
    if number == signal.SIGTERM:
        assert list(cache.glob("distromatrix/bootstrap/*")) == []
    assert project.left() == []


def processes(mark: str) -> list[str]:
    """Command lines that name it."""
    shown = subprocess.run(["ps", "axww", "-o", "args"], capture_output=True, text=True, check=True)
    return [line for line in shown.stdout.splitlines() if mark in line]


def test_after_kill_9_nothing_is_lost_and_only_the_rest_is_run(project: Project) -> None:
    project.on_a_host_of_its_own()
    go = project.root / "go"
    project.suites({"quick": "echo ran", "long": "[ -e go ] || sleep 600"})
    process = project.start("run", "-j", "2")
    until(lambda: under_test(project))
    killed(process)
    assert project.left() != []

    shown = project.call("report")
    assert project.results()["quick"]["verdict"] == "passed"
    assert "killed" in shown.said and shown.code == 69

    log = project.latest / "cells" / project.distro / "quick" / "log.txt"
    before = log.stat().st_mtime_ns
    go.touch()  # the snapshot has none: what is tested is what was there when the run began
    project.suites({"other": "true"})
    resumed = project.call("run", "--resume", "latest", "--timeout", "1s")
    assert resumed.code == 2  # another timeout is another plan
    process = project.start("run", "--resume", "latest")
    until(lambda: project.journal().count('"phase":"run"') >= 3)
    assert log.stat().st_mtime_ns == before
    process.send_signal(signal.SIGINT)
    assert ended(process).code == 130
    assert project.results()["quick"]["verdict"] == "passed"
    assert project.left() == []


def test_what_a_killed_run_left_is_removed_and_nothing_else(project: Project) -> None:
    here = project.on_a_host_of_its_own()
    living, other = project, Project(project.root.parent / "q", project.archives, project.distro)
    other.environ = project.environ
    other.suites({"long": "sleep 600"}, defaults=NETWORKED)
    strangers = [
        labelled("no-label", {}),
        labelled("other-host", {LABEL_RUN: "x", LABEL_FOLDER: "/gone", LABEL_HOST: "another"}),
    ]
    dead = ""
    try:
        runs = living.start("run")
        until(lambda: under_test(living) and len(living.left()) == 5)
        alive = set(living.left())
        process = other.start("run")
        until(lambda: '"phase":"run"' in other.journal())
        killed(process)
        left = set(other.left())
        dead = labelled("dead", {LABEL_RUN: "x", LABEL_FOLDER: "/gone", LABEL_HOST: here})
        # The machine, its view, the stage's volume and helper, the run's network.
        assert len(left) == 5
        assert sum("distromatrix-network-" in name for name in left) == 1

        dry = living.call("clean", "--dry-run")
        assert all(name in dry.out for name in (*left, dead))
        assert not any(name in dry.out for name in (*alive, *strangers))
        assert set(other.left()) == left

        cleaned = living.call("clean")
        assert cleaned.code == 0
        assert other.left() == []
        assert set(living.left()) >= alive
        assert names() >= set(strangers) and dead not in names()
        runs.send_signal(signal.SIGINT)
        ended(runs)
    finally:
        subprocess.run(["docker", "rm", "-f", *strangers, dead], capture_output=True, check=False)
        other.clean()


def test_the_next_run_removes_what_a_killed_one_left(project: Project) -> None:
    project.on_a_host_of_its_own()
    process = project.start("run")
    until(lambda: under_test(project))
    killed(process)
    assert project.left() != []
    assert project.call("run", "*/quick").code == 0
    assert project.left() == []


def labelled(name: str, labels: dict[str, str]) -> str:
    """A container that no run of the test made."""
    full = f"t-breaking-{name}-{time.monotonic_ns()}"
    flags = [f"--label={key}={value}" for key, value in labels.items()]
    image = subprocess.run(
        ["docker", "images", "-q"], capture_output=True, text=True, check=True
    ).stdout
    command = ["docker", "create", "--name", full, *flags, image.split()[0], "sh"]
    subprocess.run(command, check=True, capture_output=True)
    return full


def names() -> set[str]:
    command = ["docker", "ps", "-a", "--format", "{{.Names}}"]
    return set(subprocess.run(command, capture_output=True, text=True, check=True).stdout.split())
