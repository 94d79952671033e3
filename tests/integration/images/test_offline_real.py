"""A machine whose network is cut: images are carried there in a file, and runs pass."""

from __future__ import annotations

import json
import tarfile
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from breaking_world import PrivateEngine, Project, private_engine

from distromatrix.engines.docker.engine import DockerEngine
from distromatrix.images.store.carry import MANIFEST

pytestmark = [pytest.mark.engine, pytest.mark.slow]

# Written down by Python itself, wherever in the command it happens.
SPY = """
import sys

def note(event, args):
    if event in ("socket.connect", "socket.getaddrinfo", "socket.gethostbyname"):
        with open({file!r}, "a") as out:
            print(event, args[1] if event == "socket.connect" else args[0], file=out)

sys.addaudithook(note)
"""


@pytest.fixture
def cut_off() -> Iterator[PrivateEngine]:
    """An engine with a bridge for its containers, and no way out of its network."""
    shared = DockerEngine()
    driver = shared.facts().storage_driver
    shared.close()
    with tempfile.TemporaryDirectory(prefix="t-", ignore_cleanup_errors=True) as name:
        yield from private_engine(Path(name), Path(name) / "data", driver, bridge=True)


@pytest.fixture
def project(project: Project) -> Iterator[Project]:
    """On Debian and Alpine, with a prepared layer each and the container network."""
    prepare = "cat /etc/os-release >/opt/made"
    run = "cat /opt/made && test -d /sys/class/net/eth0"
    project.suites({"unit": {"prepare": prepare, "run": run, "network": True}})
    matrix = project.root / "matrix/default.yaml"
    matrix.write_text(matrix.read_text() + f"\nvariants: {{v: {{env: {{A: {project.distro}}}}}}}\n")
    matrix.write_text(matrix.read_text().replace("distros:", "distros:\n- debian-12", 1))
    yield project
    engine = DockerEngine()
    for tag in carried_tags(project):
        if tag.startswith("distromatrix/prepared:"):
            engine.images.remove(tag)
    engine.close()


def carried_tags(project: Project) -> list[str]:
    with tarfile.open(project.root / "images.tar") as tar:
        manifest = json.load(tar.extractfile(MANIFEST))  # type: ignore[arg-type]
    return [one["image"]["tag"] for one in manifest["images"]]


def move(project: Project, engine: PrivateEngine, tmp_path: Path) -> Path:
    """From now on the commands run in the engine's network. Returns the spy's file."""
    project.before = ("nsenter", f"--net=/proc/{engine.process.pid}/ns/net")
    project.environ |= {"DOCKER_HOST": engine.host, "DISTROMATRIX_ARCHIVES": str(tmp_path)}
    spy = tmp_path / "spy"
    spy.mkdir()
    (spy / "sitecustomize.py").write_text(SPY.format(file=str(spy / "asked")))
    runner = Path(__file__).parents[3] / "runner"
    project.environ["PYTHONPATH"] = f"{spy}:{runner}"
    return spy / "asked"


def test_images_carried_in_a_file_run_where_the_network_is_cut(
    project: Project, cut_off: PrivateEngine, tmp_path: Path
) -> None:
    exported = project.call("images", "export", "images.tar", timeout=300)
    assert exported.code == 0, exported.said
    asked = move(project, cut_off, tmp_path)
    routes = Path(f"/proc/{cut_off.process.pid}/net/route").read_text().splitlines()[1:]
    assert "00000000" not in [route.split()[1] for route in routes]  # no default one

    missing = project.call("run", "--offline")
    assert missing.code == 69
    assert "2 images not in the engine's store" in missing.err
    assert f"base image of {project.distro} (archive " in missing.err
    assert not (project.root / ".distromatrix/runs").exists()

    imported = project.call("images", "import", "images.tar", timeout=300)
    assert imported.code == 0, imported.said
    assert imported.out.count("loaded distromatrix/base:") == 2
    assert imported.out.count("loaded distromatrix/prepared:") == 2

    ran = project.call("run", "--offline", timeout=300)
    assert ran.code == 0, ran.said
    assert [c["verdict"] for c in project.every_result()] == ["passed", "passed"]
    log = project.latest / "cells" / "debian-12/unit/v/log.txt"
    assert "bookworm" in log.read_text()
    assert all(
        line.startswith("socket.connect /") for line in asked.read_text().splitlines()
    )  # the engine's socket alone
