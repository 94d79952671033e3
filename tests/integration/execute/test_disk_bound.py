"""What a suite may write to its disk, on real engines: by whatever way, and seen from outside."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from breaking_world import Project

from given import alpine_or_pulled

pytestmark = pytest.mark.engine

WRITE = "dd if=/dev/zero bs=1M count=160"
AS_ROOT = pytest.mark.skipif(os.geteuid() != 0, reason="only root sees what has no name any more")
SAYS = "wrote more than its disk: 64M"
PODMAN = pytest.param("podman", marks=(pytest.mark.podman, pytest.mark.slow))
docker_first = pytest.mark.parametrize("project", ["docker", PODMAN], indirect=True)


@pytest.fixture(params=["docker", pytest.param("podman", marks=pytest.mark.podman)])
def project(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Project]:
    made = Project(tmp_path / "p", alpine_or_pulled().parent, engine=request.param)
    yield made
    made.clean()


def suites(project: Project, **runs: str) -> None:
    limits = {"network": False, "memory": "512M", "disk": "64M", "timeout": "2m"}
    project.suites(runs, defaults=limits)


def test_who_writes_more_than_its_disk_is_ended_and_says_so(project: Project) -> None:
    suites(
        project,
        product=f"echo a >$DISTROMATRIX_ARTIFACTS/a; {WRITE} of=big; sleep 100",
        layer=f"{WRITE} of=/var/tmp/big; sleep 100",
        small="i=0; while [ $i -lt 40 ]; do i=$((i+1)); dd if=/dev/zero of=$i bs=1M count=4; done",
    )
    assert project.call("run", "-j", "1").code == 1
    for name, cell in project.results().items():
        assert (cell["verdict"], SAYS in cell["reason"]) == ("failed", True), name
    assert [file.read_text() for file in project.latest.rglob("artifacts/a")] == ["a\n"]
    assert project.left() == []


@AS_ROOT
@docker_first
def test_a_file_without_a_name_counts_as_long_as_it_is_open(project: Project) -> None:
    suites(project, removed=f"exec 9>big; rm big; {WRITE} >&9; sleep 100")
    assert project.call("run").code == 1
    assert SAYS in project.results()["removed"]["reason"]


@AS_ROOT
@docker_first
def test_holes_and_shared_memory_do_not_count(project: Project) -> None:
    holes = "truncate -s 900G big; truncate -s 900G /var/tmp/big; ln big other; sleep 3"
    suites(project, holes=holes, memory=f"{WRITE} of=/dev/shm/big; rm /dev/shm/big; sleep 1")
    done = project.call("run", "-j", "1")
    assert done.code == 0, {n: c["reason"] for n, c in project.results().items()}
