"""An engine that dies or falls silent in the middle of a run: an error, and no hang."""

from __future__ import annotations

import contextlib
import os
import secrets
import socket
import threading
from collections.abc import Iterator
from pathlib import Path
from time import sleep

import pytest

from distromatrix.engines.contract import LABEL_RUN, Command, MachineSpec
from distromatrix.engines.docker.engine import DockerEngine
from distromatrix.errors import EngineUnavailableError, MachineGoneError

pytestmark = pytest.mark.engine


class Proxy:
    """Stands between us and the engine, so that the connection can die and the engine not."""

    def __init__(self, path: Path, target: str) -> None:
        self._target = target
        self._pairs: list[socket.socket] = []
        self.silent = False
        self._server = socket.socket(socket.AF_UNIX)
        self._server.bind(str(path))
        self._server.listen()
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        while True:
            try:
                ours, _ = self._server.accept()
            except OSError:
                return
            theirs = socket.socket(socket.AF_UNIX)
            theirs.connect(self._target)
            self._pairs += [ours, theirs]
            for one, other in ((ours, theirs), (theirs, ours)):
                threading.Thread(target=self._pump, args=(one, other), daemon=True).start()

    def _pump(self, one: socket.socket, other: socket.socket) -> None:
        try:
            while data := one.recv(65536):
                while self.silent:
                    sleep(0.05)
                other.sendall(data)
        except OSError:
            pass

    def die(self) -> None:
        for one in (self._server, *self._pairs):
            with contextlib.suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
            one.close()


@pytest.fixture
def proxy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Proxy]:
    target = os.environ.get("DOCKER_HOST", "unix:///var/run/docker.sock").removeprefix("unix://")
    if not target.startswith("/"):
        pytest.skip("the engine is remote: nothing to stand between")
    opened = Proxy(tmp_path / "p.sock", target)
    run = f"test-{secrets.token_hex(6)}"
    direct = DockerEngine()
    direct.facts()
    monkeypatch.setenv("DOCKER_HOST", f"unix://{tmp_path}/p.sock")
    monkeypatch.setenv("TEST_RUN", run)
    yield opened
    opened.silent = False
    opened.die()
    for one in direct.leftovers():
        if one.run == run:
            direct.remove(one)
    direct.close()


def _spec(image: str) -> MachineSpec:
    name = f"distromatrix-test-{secrets.token_hex(6)}"
    return MachineSpec(
        name=name, image=image, labels={LABEL_RUN: os.environ["TEST_RUN"]}, network=False
    )


def test_an_engine_that_dies_ends_a_running_command(docker_alpine: str, proxy: Proxy) -> None:
    engine = DockerEngine()
    machine = engine.open(_spec(docker_alpine))
    threading.Timer(0.3, proxy.die).start()
    with pytest.raises(MachineGoneError, match="gone with its engine"):
        machine.run(Command("sleep 300"))
    with pytest.raises(EngineUnavailableError):
        engine.open(_spec(docker_alpine))
    machine.close()
    engine.close()


def test_a_kill_ends_a_running_command_of_a_silent_engine(
    docker_alpine: str, proxy: Proxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("distromatrix.engines.docker.container.SHORT_TIMEOUT", 1.0)
    engine = DockerEngine()
    machine = engine.open(_spec(docker_alpine))
    caught: list[BaseException] = []

    def run() -> None:
        try:
            machine.run(Command("sleep 300"))
        except MachineGoneError as error:
            caught.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    sleep(0.3)
    proxy.silent = True
    killer = threading.Thread(target=machine.kill)
    killer.start()
    thread.join(20)
    killer.join(20)
    assert caught
    proxy.silent = False
    machine.close()
    engine.close()
