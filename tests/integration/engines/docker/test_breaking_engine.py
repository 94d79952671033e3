"""An engine that dies, freezes, or has no room left; and no room on our own side."""

from __future__ import annotations

import os
import signal
import tempfile
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from breaking_world import PrivateEngine, Project, ended, private_engine, small_disk, until

from distromatrix.engines import open_engine
from distromatrix.engines.contract import Command, MachineSpec
from distromatrix.errors import DiskFullError
from given import alpine_or_pulled

pytestmark = pytest.mark.engine


@pytest.fixture
def engine() -> Iterator[PrivateEngine]:
    """A dockerd of its own, on a disk of 200 MiB."""
    with (
        tempfile.TemporaryDirectory(prefix="t-", ignore_cleanup_errors=True) as name,
        small_disk(Path(name) / "data", "200m") as data,
    ):
        yield from private_engine(Path(name), data)


@pytest.fixture
def project(project: Project, engine: PrivateEngine) -> Project:
    project.environ["DOCKER_HOST"] = engine.host
    project.suites({"one": "echo so far; sleep 600", "two": "sleep 600", "three": "true"})
    return project


def test_an_engine_that_is_killed_gives_errors_and_no_hang(
    project: Project, engine: PrivateEngine
) -> None:
    process = project.start("run", "-j", "1", "--retries", "2")
    until(lambda: '"phase":"run"' in project.journal())
    engine.process.kill()
    result = ended(process)
    assert result.code == 69
    verdicts = {c["verdict"] for c in project.every_result()}
    assert verdicts <= {"error", "passed"} and "error" in verdicts
    assert any("the engine is gone" in c["reason"] for c in project.every_result())
    assert "Traceback" not in result.said


@pytest.mark.slow
def test_an_engine_that_freezes_is_given_up_after_about_a_minute(
    project: Project, engine: PrivateEngine
) -> None:
    process = project.start("run", "-j", "1")
    until(lambda: '"phase":"run"' in project.journal())
    os.kill(engine.process.pid, signal.SIGSTOP)
    began = time.monotonic()
    result = ended(process, 120)
    assert time.monotonic() - began < 100
    assert result.code == 69
    assert any("has not answered" in c["reason"] for c in project.every_result())
    assert "Traceback" not in result.said


@pytest.mark.slow
def test_a_signal_ends_a_run_whose_engine_is_frozen(
    project: Project, engine: PrivateEngine
) -> None:
    process = project.start("run", "-j", "1")
    until(lambda: '"phase":"run"' in project.journal())
    os.kill(engine.process.pid, signal.SIGSTOP)
    process.send_signal(signal.SIGTERM)
    assert ended(process, 15).code == 143


def test_a_full_disk_of_the_engine_is_no_failure_of_the_suite(
    project: Project, engine: PrivateEngine
) -> None:
    # a tmpfs is charged to the memory of who writes to it
    roomy = {"run": "dd if=/dev/zero of=big bs=1M", "memory": "1G"}
    project.suites({"fills": roomy, "next": "true"})
    result = project.call("run", "-j", "1")
    assert result.code == 69
    cell = project.results()["fills"]
    assert cell["verdict"] == "error"
    assert "disk is full" in cell["reason"]
    assert project.results()["next"]["verdict"] in ("passed", "error")


def test_a_disk_that_was_full_while_a_machine_lived_counts_as_full_for_it(
    engine: PrivateEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DOCKER_HOST", engine.host)
    docker = open_engine("docker")
    with alpine_or_pulled().open("rb") as alpine:
        docker.images.load_rootfs(alpine, "distromatrix/base:x", {})
    spec = MachineSpec(name="distromatrix-first", image="distromatrix/base:x", user="root")
    machine = docker.open(spec)
    assert machine.run(Command("dd if=/dev/zero of=/big bs=1M")).status == 1
    with pytest.raises(DiskFullError):
        docker.open(replace(spec, name="distromatrix-next"))
    assert machine.run(Command("rm /big")).status == 0
    assert machine.disk_free() == 0
    later = docker.open(replace(spec, name="distromatrix-later"))
    assert (later.disk_free() or 0) > 1024**2
    later.close()
    machine.close()
    docker.close()


def test_a_product_that_does_not_fit_on_the_engine_is_named_so(
    project: Project, engine: PrivateEngine
) -> None:
    with (project.root / "big").open("wb") as big:
        for _ in range(400):
            big.write(b"x" * 1024**2)  # no hole, which would take no place
    ended = project.call("run")
    assert ended.code == 69
    assert "disk is full" in ended.err


@pytest.mark.parametrize(
    "size", ["8k", "32k", *(pytest.param(size, marks=pytest.mark.slow) for size in ("64k", "1m"))]
)
def test_a_full_disk_of_our_own_is_one_line(
    project: Project, engine: PrivateEngine, size: str
) -> None:
    project.suites({"long": "yes | head -c 3000000; yes aaaaaaaaaaaaaaaaaaaaaa | head -c 3000000"})
    with small_disk(project.root / ".distromatrix", size):
        result = project.call("run")
        assert result.code == 69, result.said
        assert "Traceback" not in result.said
        assert "No space left" in result.said or "disk full" in result.said
        if size == "8k":  # nothing had begun
            assert len(result.said.strip().splitlines()) == 1
