"""What is asked: the one that makes it, and through its socket."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest
from bench_world import MATRIX, World
from homes import set_homes

from distromatrix.testing.bench.remote import RemoteBench, Server
from distromatrix.testing.contract import Bench


@pytest.fixture
def world(project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    (project / "matrix/default.yaml").write_text(MATRIX)
    set_homes(monkeypatch, tmp_path)
    monkeypatch.setenv("DISTROMATRIX_FAKE", str(tmp_path / "fake"))
    made = World(project, tmp_path / "fake")
    yield made
    assert made.engine.leftovers() == ()
    assert list(project.glob(".distromatrix/sessions/*")) == []


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
