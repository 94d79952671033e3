"""Engines as users have them: Docker 28 with the containerd image store, Podman 5, and that
Docker as another host by ssh."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from engine_worlds import World, world

from distromatrix.engines.contract import Command, EngineFacts, Machine, MachineSpec
from distromatrix.engines.docker.connection.api import DOCKER, PODMAN
from distromatrix.engines.docker.engine import DockerEngine
from distromatrix.errors import InfrastructureError
from given import ROOT, alpine_or_pulled

pytestmark = [pytest.mark.engine, pytest.mark.slow]


@pytest.fixture(scope="module")
def docker_28() -> Iterator[World]:
    with world("docker") as opened:
        yield opened


@pytest.fixture(scope="module")
def podman_5() -> Iterator[World]:
    with world("podman") as opened:
        yield opened


def called(
    environ: dict[str, str], *args: str, cwd: Path = ROOT
) -> subprocess.CompletedProcess[str]:
    """`python -m …` where that leads to the engine."""
    given = {"DISTROMATRIX_ARCHIVES": str(alpine_or_pulled().parent)}
    given |= {"DISTROMATRIX_REQUIRE_ENGINE": "1", "PYTHONDONTWRITEBYTECODE": "1"}
    return subprocess.run(
        [sys.executable, "-m", *args],
        cwd=cwd,
        env={**os.environ, **given, **environ},
        capture_output=True,
        text=True,
        check=False,
    )


def holds(environ: dict[str, str], marks: str) -> None:
    """The contract, all of it."""
    done = called(environ, "pytest", "-q", "-p", "no:cacheprovider", "-m", marks, "tests/contract")
    assert done.returncode == 0, done.stdout[-5000:] + done.stderr[-2000:]
    assert " passed" in done.stdout
    assert "skipped" not in done.stdout


def facts_of(environ: dict[str, str], patch: pytest.MonkeyPatch, access=DOCKER) -> EngineFacts:
    for name, value in environ.items():
        patch.setenv(name, value)
    engine = DockerEngine(access=access)
    try:
        return engine.facts()
    finally:
        engine.close()


IN_DOCKER = "engine and not slow and not podman and not guest"
IN_PODMAN = "podman and not slow"


def test_the_contract_holds_on_docker_28_with_the_containerd_image_store(
    docker_28: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert docker_28.inside("ps").returncode != 0  # its host has none, as small ones have none
    facts = facts_of(docker_28.environ(), monkeypatch)
    assert int(facts.version.partition(".")[0]) >= 28
    assert facts.storage_driver == "overlayfs"  # a snapshotter's name; the old store: overlay2
    holds(docker_28.environ(), IN_DOCKER)


def test_the_contract_holds_on_podman_5(podman_5: World, monkeypatch: pytest.MonkeyPatch) -> None:
    facts = facts_of(podman_5.environ(), monkeypatch, PODMAN)
    assert facts.product == "Podman"
    assert int(facts.version.partition(".")[0]) >= 5
    holds(podman_5.environ(), IN_PODMAN)


def test_the_contract_holds_by_ssh(docker_28: World, monkeypatch: pytest.MonkeyPatch) -> None:
    facts = facts_of(docker_28.environ_by_ssh(), monkeypatch)
    assert not facts.local
    holds(docker_28.environ_by_ssh(), IN_DOCKER)


@pytest.mark.parametrize("engine", ["docker", "podman"])
def test_the_example_says_on_newer_engines_what_it_says_on_older_ones(
    engine: str, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    opened: World = request.getfixturevalue({"docker": "docker_28", "podman": "podman_5"}[engine])
    done = _example(opened.environ(), tmp_path, "--engine", engine)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "18 passed  x 6 xfailed" in done.stdout


def test_the_example_says_by_ssh_what_it_says_here(docker_28: World, tmp_path: Path) -> None:
    wanted = ("debian-13", "alpine-3.20")
    done = _example(docker_28.environ_by_ssh(), tmp_path, *wanted)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "5 passed  x 3 xfailed" in done.stdout


def _example(environ: dict[str, str], folder: Path, *args: str) -> subprocess.CompletedProcess[str]:
    product = folder / "logtally"
    ignored = shutil.ignore_patterns(".distromatrix")
    shutil.copytree(ROOT / "examples/logtally", product, ignore=ignored)
    return called(environ, "distromatrix", "run", *args, cwd=product)


@pytest.fixture(params=["docker", "podman"])
def far(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[Machine]:
    """A machine of an engine by ssh."""
    opened: World = request.getfixturevalue(
        {"docker": "docker_28", "podman": "podman_5"}[request.param]
    )
    for name, value in opened.environ_by_ssh().items():
        monkeypatch.setenv(name, value)
    engine = DockerEngine(access={"docker": DOCKER, "podman": PODMAN}[request.param])
    tag = "distromatrix/test-far:1"
    with alpine_or_pulled().open("rb") as tar:
        engine.images.load_rootfs(tar, tag, {})
    spec = MachineSpec(name="distromatrix-test-far", image=tag, labels={}, network=False)
    machine = engine.open(spec)
    yield machine
    machine.close()
    engine.images.remove(tag)
    engine.close()


def test_more_commands_at_once_than_ssh_lets_through_one_connection(far: Machine) -> None:
    ended: list[int | None] = []
    # They wait for each other: 14 shells, where sshd's MaxSessions is 10.
    script = ">/tmp/a/x-$$; while [ $(ls /tmp/a | wc -l) -lt 14 ]; do sleep 0.1; done"

    def run() -> None:
        ended.append(far.run(Command(script, timeout=300)).status)

    far.run(Command("mkdir /tmp/a"))
    threads = [threading.Thread(target=run) for _ in range(14)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(400)
    assert ended == [0] * 14


@pytest.mark.parametrize(
    ("keys", "words"),
    [
        ({"key": "stranger_key"}, "Permission denied (publickey"),
        ({"host_key": "stranger_key"}, "Host key verification failed"),
    ],
)
def test_what_ssh_says_is_what_the_user_reads(
    keys: dict[str, str], words: str, docker_28: World, tmp_path: Path
) -> None:
    environ = docker_28.environ_by_ssh(**keys)
    done = _example(environ, tmp_path, "alpine-3.20/core")
    assert done.returncode == 69, done.stdout + done.stderr
    told = [line for line in (done.stdout + done.stderr).splitlines() if words in line]
    assert len(told) == 1, done.stdout + done.stderr
    assert environ["DOCKER_HOST"] in told[0]
    assert "Traceback" not in done.stderr


def test_a_host_without_an_engine_is_told_by_its_own_words(
    docker_28: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    environ = docker_28.environ_by_ssh()
    environ["DOCKER_HOST"] += "/run/nosuch.sock"
    with pytest.raises(InfrastructureError, match=r"nosuch\.sock"):
        facts_of(environ, monkeypatch)
