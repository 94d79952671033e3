"""What is asked: the one that makes it, and through its socket."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest
from bench_world import MATRIX, World
from cli_world import DISTRO
from homes import set_homes

from distromatrix.testing.bench.remote import RemoteBench, Server
from distromatrix.testing.contract import Bench


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    root = tmp_path / "project"
    for folder in ("matrix", "distros"):
        (root / folder).mkdir(parents=True)
    (root / "matrix/default.yaml").write_text(MATRIX)
    for name in ("one", "two"):
        (root / f"distros/{name}.yaml").write_text(DISTRO.replace("NAME", name))
    set_homes(monkeypatch, tmp_path)
    monkeypatch.setenv("DISTROMATRIX_FAKE", str(tmp_path / "fake"))
    monkeypatch.chdir(root)
    made = World(root, tmp_path / "fake")
    yield made
    assert made.engine.leftovers() == ()
    assert list(root.glob(".distromatrix/sessions/*")) == []


@pytest.fixture(params=["direct", "remote"])
def bench(request: pytest.FixtureRequest, world: World) -> Iterator[Bench]:
    direct = world.bench()
    if request.param == "direct":
        yield direct
        direct.end()
        return
    with tempfile.TemporaryDirectory() as folder:
        server = Server(partial(getattr, direct), Path(folder))
        client = RemoteBench(server.address)
        yield client
        client.close()
        server.close()
        direct.end()
